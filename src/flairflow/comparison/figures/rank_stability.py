"""How stable the ranking is: in how many of the bootstrap draws an ensemble takes a rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from flairflow.comparison.figures.style import (
    NOT_SHARED,
    Drawing,
    counted,
    in_lines,
    left_out,
    name_rows,
    of_label,
    plain,
    population,
    row_height,
    say,
    sheet,
    styled,
)
from flairflow.comparison.statistics.score_arrays import TRAINED_ONCE
from flairflow.images.grid import Array
from flairflow.metrics.registry import Metric


@styled
def rank_stability(
    shares: pd.DataFrame, ranks: pd.DataFrame, label: str, metrics: Sequence[Metric], ensembles: Sequence[str]
) -> Drawing:
    """Shades per metric: rows are ensembles by mean rank, columns ranks, the cells percent of the draws.

    shares, ranks : tables/rank_stability.tsv and tables/ranks.tsv.
    """
    figure, axes = sheet(0.75 + row_height(ensembles, 0.19) * max(len(ensembles), 2), 1, len(metrics))
    tests = []
    others: dict[str, None] = {}
    for axis, metric in zip(axes, metrics, strict=True):
        rows = of_label(ranks, label, metric=metric.name, view="pooled").set_index("ensemble")
        others |= dict.fromkeys(rows.index[rows["scans"].isna()])
        apart = rows["scans"].eq(0).any()
        rows = rows.dropna(subset=["mean_rank"])
        rows = rows[rows.index.isin(ensembles)].sort_values("mean_rank", kind="stable")
        axis.set_title(f"{plain(metric.name)}\n{population(metric)}, n = {counted(rows['scans'])}")
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        if rows.empty:
            axis.set_xticks([])
            axis.set_yticks([])
            say(axis, NOT_SHARED if apart else "no such scan")
            continue
        places = range(1, len(rows) + 1)
        own = of_label(shares, label, metric=metric.name, view="pooled")
        table = own.pivot(index="ensemble", columns="rank", values="share").reindex(index=rows.index, columns=places)
        _shade(axis, 100 * table.fillna(0).to_numpy(float))
        if table.isna().all(axis=None):
            say(axis, "one participant: nothing to draw")
        name_rows(axis, list(rows.index))
        axis.set_yticks(
            range(len(rows)), [f"{in_lines(str(name))} ({mean:.1f})" for name, mean in rows["mean_rank"].items()]
        )
        axis.grid(visible=False)
        axis.set_xticks(range(len(rows)), [str(place) for place in places])
        axis.set_xlabel("rank")
        tests.append(f"{plain(metric.name)}: {_p_value(rows['friedman_p'].iloc[0])}")
    return Drawing(
        figure,
        f"{label}: stability of the ranking",
        f"{label}: percent of the bootstrap draws of participants in which an ensemble takes a rank, 1 the best; "
        "empty: less than 0.5 %. In brackets the mean rank over participants, by which the rows are ordered. n: "
        f"scans that all of them were scored on.{left_out(others)} Friedman's test that all rank alike: "
        f"{'; '.join(tests) or 'no such scan'}. {TRAINED_ONCE} "
        + " ".join(f"{plain(metric.name)}: {metric.description}." for metric in metrics),
        ("rank_stability", "ranks"),
    )


def _shade(axis: Axes, percent: Array) -> None:
    axis.imshow(percent, cmap="Blues", vmin=0, vmax=130, aspect="auto")
    for (row, column), value in np.ndenumerate(percent):
        if value >= 0.5:
            axis.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if value > 75 else "black")


def _p_value(value: float) -> str:
    return "not possible" if pd.isna(value) else "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
