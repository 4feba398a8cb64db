"""Which ensemble for which cohort: the expected Dice against the share of scans without a lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from flairflow.comparison.figures.style import (
    GREY,
    NOT_SHARED,
    SIGNS,
    Drawing,
    apart,
    counted,
    left_out,
    of_label,
    plain,
    say,
    sheet,
    short,
    styled,
)
from flairflow.comparison.statistics.score_arrays import TRAINED_ONCE


@styled
def cohorts(shares: pd.DataFrame, crossings: pd.DataFrame, label: str, ensembles: Sequence[str]) -> Drawing:
    """Expected Dice, 0 or 1 on empty references, of every ensemble by the share of lesion-free scans in a cohort.

    shares, crossings : tables/lesion_free_share.tsv and tables/crossings.tsv.
    """
    own = of_label(shares, label, view="pooled")
    of_one = own["free_of_one_dataset"].max()
    others = list(dict.fromkeys(own.loc[own["lesion_scans"].isna(), "ensemble"]))
    own = own.dropna(subset=["lesion_scans"])
    nowhere = len(own) and not own[["lesion_scans", "lesion_free_scans"]].to_numpy().any()
    lesion, free = (counted(own[f"{kind}_scans"]) for kind in ("lesion", "lesion_free"))
    # The ends rest on one kind of scan alone; in between there is a value only where there are both.
    between = own[own["share"].between(0, 1, inclusive="neither")].dropna(subset=["dice"])
    known = set(between["ensemble"])
    own = own[own["ensemble"].isin(known)].sort_values("share")
    curves = {name: own[own["ensemble"] == name] for name in ensembles if name in known}
    stretches = of_label(crossings, label, view="pooled")
    stretches = stretches[stretches["best"].isin(list(curves))].sort_values("from_share", kind="stable")
    best = list(dict.fromkeys(stretches["best"]))
    figure, (axis,) = sheet(max(2.8, 1.0 + 0.14 * len(ensembles)) + 0.14 * (len(best) + 1) // 2)
    for name, curve in curves.items():
        if name not in best:
            axis.plot(100 * curve["share"], curve["dice"], color="0.6", linewidth=0.8, zorder=1, label=f"_{name}")
    where, sure = {}, {}
    for number, name in enumerate(best):
        rows = stretches[stretches["best"] == name]
        where[name] = " and ".join(
            f"{_percent(row.from_share)} to {_percent(row.to_share)} %" for row in rows.itertuples()
        )
        sure[name] = " and ".join(map(_certainty, rows.itertuples()))
        words = f"{short(name)}: best at {where[name]}"
        _draw(axis, curves[name], SIGNS[number % len(SIGNS)], number, words)
    _mark_crossings(axis, [float(share) for share in sorted(set(stretches["from_share"])) if share > 0])
    axis.set_xlim(0, 100)
    axis.set_xlabel("share of the cohort's scans that have no lesion (%)")
    axis.set_ylabel("expected Dice, without a lesion 0 or 1")
    axis.grid(axis="y")
    if curves:
        _name_ends(axis, {name: float(curve["dice"].iloc[-1]) for name, curve in curves.items()}, best)
        narrow = all(len(name) + len(shares) < 40 for name, shares in where.items())
        figure.legend(loc="outside lower left", ncols=2 if narrow else 1, handlelength=3.4)
    else:
        say(axis, NOT_SHARED if nowhere else "no such scan: it takes scans with a lesion and scans known to have none")
    return Drawing(
        figure,
        f"{label}: which ensemble for which cohort",
        f"{label}: expected Dice of a scan from a cohort, by the share of the cohort's scans that have no lesion; "
        f"such a scan counts 1 if none is predicted and 0 otherwise: at 100 % it is the specificity by scan. From "
        f"{lesion} test scans with a lesion and {free} without, which all were scored on.{left_out(others)} It takes a "
        f"cohort's scans of either kind to be like these{_of_one(of_one)}. {TRAINED_ONCE} Best at: "
        f"{'; '.join(f'{plain(name)} {text}{sure[name]}' for name, text in where.items()) or 'not known'}. In "
        "brackets the 95 % interval of where it begins, and in how many draws it is best in the middle. Those have 95 "
        "% intervals by participant (bands); dotted lines: where the best one changes. The others are grey, "
        "their intervals are in the table.",
        ("lesion_free_share", "crossings"),
    )


def _draw(axis: Axes, curve: pd.DataFrame, sign: tuple[object, ...], number: int, words: str) -> None:
    colour, style, marker = sign
    percent = 100 * curve["share"]
    axis.fill_between(percent, curve["low"], curve["high"], color=colour, alpha=0.12, linewidth=0)  # type: ignore[arg-type]
    for edge in ("low", "high"):
        axis.plot(percent, curve[edge], color=colour, linestyle=style, linewidth=0.4, label="_edge")  # type: ignore[arg-type]
    # Markers of different lines lie beside each other.
    every = max(len(curve) // 5, 1)
    axis.plot(
        percent,
        curve["dice"],
        color=colour,  # type: ignore[arg-type]
        linestyle=style,  # type: ignore[arg-type]
        marker=marker,  # type: ignore[arg-type]
        markevery=(number % every, every),
        linewidth=1.6,
        label=words,
    )


def _mark_crossings(axis: Axes, shares: Sequence[float]) -> None:
    """Dotted lines with their percent above, moved apart where the numbers would touch."""
    for share, place in zip(shares, apart([100 * share for share in shares], 6, 0, 100), strict=True):
        axis.axvline(100 * share, color="black", linewidth=0.7, linestyle=(0, (1, 2)))
        axis.annotate(
            f"{_percent(share)} %",
            (100 * share, 1),
            (place, 1.035),
            xycoords=axis.get_xaxis_transform(),
            ha="center",
            va="bottom",
            arrowprops=_LEADER | {"shrinkA": 0, "relpos": (0.5, 0)},
        )


def _name_ends(axis: Axes, ends: Mapping[str, float], best: Sequence[str]) -> None:
    """The names beside the right ends of the lines, moved apart where they would touch."""
    low, high = axis.get_ylim()
    inches = float(axis.figure.get_size_inches()[1]) - 0.9  # type: ignore[union-attr]
    places = apart(list(ends.values()), 0.13 * (high - low) / inches, low, high)
    for (name, end), place in zip(ends.items(), places, strict=True):
        axis.annotate(
            short(name, 26),
            (100, end),
            (103, place),
            ha="left",
            va="center",
            color="black" if name in best else GREY,
            fontweight="bold" if name in best else "normal",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": "0.6",
                "linewidth": 0.5,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def _of_one(share: float) -> str:
    if not share > 0.5:
        return ""
    return (
        f"; {100 * share:.0f} % of those without a lesion are of one dataset, so the ends differ by dataset too (the "
        "tables' view within compares within datasets)"
    )


def _certainty(row: Any) -> str:
    """How sure it is that an ensemble is best in a range, a row of tables/crossings.tsv."""
    begins = "" if pd.isna(row.from_low) else f"from {_percent(row.from_low)} to {_percent(row.from_high)} %, "
    return "" if pd.isna(row.draws_best) else f" ({begins}{100 * row.draws_best:.0f} % of draws)"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


# From a text to what it names.
_LEADER = {"arrowstyle": "-", "linewidth": 0.5, "shrinkB": 0}
