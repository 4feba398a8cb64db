"""The main table of a paper: an ensemble a row, a few metrics with their intervals; as TSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from flairflow.comparison.markup import latex_table, markdown_table
from flairflow.comparison.statistics.score_arrays import TRAINED_ONCE
from flairflow.metrics.registry import METRICS
from flairflow.tables import Column, column

# What is shown side by side. None of them says all: which ensemble is best depends on which scans are looked at, a mask
# of the whole brain has the lesion F1 of any overlap and the sensitivity 1, an empty one the specificity 1, and errors
# of volumes with their signs cancel.
BLOCKS: dict[str, tuple[str, ...]] = {
    "Scans with a lesion": ("dice", "lesion_f1", "lesion_f1_iou", "hd95_mm"),
    "All scans, and those without a lesion": (
        "dice_or_empty",
        "volume_error_ml",
        "absolute_volume_error_ml",
        "scan_sensitivity",
        "scan_specificity",
        "false_ml",
    ),
    "Metrics of arXiv 2601.20503": ("dsc", "ldsc", "ap", "dice_or_empty", "lfp_empty"),
}
NOTHING = "No test scan was scored, so there is nothing to compare."
SHOWN = tuple(dict.fromkeys(name for names in BLOCKS.values() for name in names))
# The first is for labels of which some test scans are lesion-free; imported results may lack either.
PRIMARY_METRICS = ("dice_or_empty", "dice", "dsc")
COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "ensemble": column("What segmented"),
    "view": column("View of tables/summary.tsv, the primary one"),
    "scans": column("Scans with a score"),
    "lesion_scans": column("Scans with a lesion; n/a: the scores do not say which these are"),
    "lesion_free_scans": column("Scans known to have none; n/a: the scores do not say which these are"),
    "participants": column("Participants whose scans they are"),
    "primary_metric": column(
        "The metric by which the label's ensembles are to be judged first, chosen before any result is seen: "
        "dice_or_empty where a test scan has no lesion, else dice; the others are secondary"
    ),
    "other_scans": column(
        "Whether these are not the same scans as those of the label's first ensemble: means of different scans do not "
        "say which ensemble is better"
    ),
}
for _name in SHOWN:
    COLUMNS |= {
        _name: column(f"Mean of {_name} (tables/metrics.json)", METRICS[_name].units),
        f"{_name}_low": column("Lower end of its 95 % interval (tables/summary.json)", METRICS[_name].units),
        f"{_name}_high": column("Upper end of it", METRICS[_name].units),
        f"{_name}_scans": column("Scans on which it is defined"),
    }
_ARROWS = {"higher": "↑", "lower": "↓", "zero": "→ 0"}


def main_table(summary: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """A row per label and ensemble of tables/summary.tsv in its primary view; columns as in COLUMNS, NaN for metrics
    that an ensemble does not have.

    metrics : tables/metrics.tsv, which the summary is of; it says whether ensembles have the same scans.
    """
    scored = metrics[metrics[metrics.columns.intersection(list(METRICS))].notna().any(axis=1)]
    scans = {key: set(own) for key, own in scored.groupby(["label", "ensemble"])["scan"]}
    primary = summary[summary["primary"].astype(bool)]
    ensembles = list(primary["ensemble"].unique())
    first = primary_metrics(metrics)
    rows: list[dict[str, object]] = []
    for label, of_label in primary.groupby("label", sort=False):
        present = [name for name in ensembles if (of_label["ensemble"] == name).any()]
        for ensemble in present:
            own = of_label[of_label["ensemble"] == ensemble].set_index("metric")
            row: dict[str, object] = {"label": label, "ensemble": ensemble, "view": own["view"].iloc[0]}
            row |= dict(zip(("scans", "lesion_scans", "lesion_free_scans"), _counts(own["scans"]), strict=True))
            row["participants"] = int(own["participants"].max())
            row["primary_metric"] = first.get(str(label))
            row["other_scans"] = scans[label, ensemble] != scans[label, present[0]]
            for name in own.index.intersection(SHOWN):
                found = own.loc[name]
                row |= {name: found["mean"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
                row[f"{name}_scans"] = int(found["scans"])
            rows.append(row)
    counts = [name for name in COLUMNS if name.endswith("scans") and name != "other_scans"]
    types = {"other_scans": "bool"} | dict.fromkeys(counts, "Int64")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def primary_metrics(metrics: pd.DataFrame) -> dict[str, str]:
    """For each label the metric to judge by first (`PRIMARY_METRICS`), from tables/metrics.tsv: by which scans there
    are, not by what the ensembles have."""
    found: dict[str, str] = {}
    for label, own in metrics.groupby("label", sort=False):
        known = [name for name in metrics.columns.intersection(list(METRICS)) if own[name].notna().any()]
        free = any(METRICS[name].where == "free" for name in known)
        chosen = [name for name in PRIMARY_METRICS[0 if free else 1 :] if name in known]
        found |= {str(label): name for name in chosen[:1]}
    return found


def as_markdown(table: pd.DataFrame, note: str = "") -> str:
    """The main table as Markdown: a table per block that has values, and what the numbers are, with a note more."""
    if table.empty:
        return f"{NOTHING}\n"
    lines = [" ".join([_caption(table), note]).strip(), ""]
    for title, header, body in blocks(table):
        lines += [f"## {title}", "", *markdown_table(header, body), ""]
    return "\n".join(lines)


def as_latex(table: pd.DataFrame, note: str = "") -> str:
    """The main table as LaTeX, a `table*` per block that has values; it needs the package booktabs."""
    if table.empty:
        return f"% {NOTHING}\n"
    lines = ["% needs \\usepackage{booktabs}"]
    for title, header, body in blocks(table):
        lines += latex_table(" ".join([f"{title}.", _caption(table), note]).strip(), header, body)
    return "\n".join([*lines, ""])


def grid_note(table: pd.DataFrame, own: Iterable[str], grid: str) -> str:
    """A sentence on the grids of the main table's scores, "" where all are of one's own ensembles: what is imported
    was scored elsewhere, and on coarser grids Dice is another."""
    own = set(own)
    others = [name for name in dict.fromkeys(table["ensemble"]) if name not in own]
    if not others or len(others) == table["ensemble"].nunique():
        return ""
    return (
        f"Own scores are on the {grid} grid; imported ones ({', '.join(others)}) on the grid they were scored on, "
        "which may be another."
    )


def blocks(table: pd.DataFrame) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, header and cells of each block, without metrics and ensembles that have nothing in it."""
    known = [name for name in SHOWN if table[name].notna().any()]
    earlier: set[str] = set()
    for title, names in BLOCKS.items():
        shown = [name for name in names if name in known]
        # A metric that stood in a block before makes none by itself.
        own = [name for name in shown if name not in earlier]
        earlier |= set(shown)
        if own:
            arrows = [f"{name.replace('_', ' ')} {_ARROWS[METRICS[name].better or 'zero']}" for name in shown]
            rows = table[table[own].notna().any(axis=1)].to_dict("records")
            body = [
                [
                    str(row["label"]),
                    str(row["ensemble"]),
                    _sizes(row),
                    *(_cell(row, name) for name in shown),
                ]
                for row in rows
            ]
            yield title, ["label", "ensemble", "n", *arrows], body


def _cell(row: Mapping[Hashable, Any], name: str) -> str:
    digits = 2 if METRICS[name].units else 3
    mean, low, high = (float(row[name + end]) for end in ("", "_low", "_high"))
    if np.isnan(mean):
        return "n/a"
    expected = row[{"lesion": "lesion_scans", "free": "lesion_free_scans", "all": "scans"}[METRICS[name].where]]
    fewer = "" if row[f"{name}_scans"] == expected else f" ({row[f'{name}_scans']:.0f})"
    above = "n/a" if np.isnan(high) else f"{high:.{digits}f}"
    return f"{mean:.{digits}f}{fewer}" + ("" if np.isnan(low) else f" [{low:.{digits}f}, {above}]")


def _counts(scans: pd.Series) -> tuple[int, int | None, int | None]:
    """By metric the scans on which it is defined: how many there are, with a lesion, and without. Where only metrics
    of all scans say how many there are of one kind it is what the other leaves; None where nothing tells them apart."""
    kinds = scans.groupby(scans.index.map(lambda name: METRICS[name].where)).max().astype(int).to_dict()
    lesion, free, every = (kinds.get(kind) for kind in ("lesion", "free", "all"))
    if lesion is None and free is None:
        return every or 0, None, None
    lesion = max((every or 0) - (free or 0), 0) if lesion is None else lesion
    free = max((every or 0) - lesion, 0) if free is None else free
    return lesion + free, lesion, free


def _sizes(row: Mapping[Hashable, Any]) -> str:
    kinds = row["lesion_scans"], row["lesion_free_scans"]
    text = f"{row['scans']}" if pd.isna(kinds[0]) else f"{kinds[0]:.0f} + {kinds[1]:.0f}"
    return f"{text} *" if row["other_scans"] else text


def _caption(table: pd.DataFrame) -> str:
    view = ", ".join(table["view"].unique()) or "n/a"
    counts = [
        f"{label}: n = {_sizes_of_all(own)} (participants: {_range(own['participants'])})"
        for label, own in table.groupby("label", sort=False)
    ]
    return (
        f"Means over the test scans ({view}) with 95 % intervals, participants drawn with all their scans. "
        f"{TRAINED_ONCE} Primary metric: {_primary(table)}; the others are secondary. "
        "n: scans with a lesion + scans without, one number where the scores do not say which have one. In round "
        "brackets after a mean: the scans it is of, where it is not defined for all of these (a distance is not where "
        "nothing is predicted). "
        + ("*: not the same scans as those of the label's first ensemble. " if table["other_scans"].any() else "")
        + "; ".join([*counts, ""]).strip().rstrip(";")
        + "."
    )


def _primary(table: pd.DataFrame) -> str:
    named = table.dropna(subset=["primary_metric"]).drop_duplicates("label")
    words = [f"{row.label} {str(row.primary_metric).replace('_', ' ')}" for row in named.itertuples()]
    return ", ".join(words) or "n/a"


def _sizes_of_all(own: pd.DataFrame) -> str:
    known = own.dropna(subset=["lesion_scans"])
    if known.empty:
        return _range(own["scans"])
    return f"{_range(known['lesion_scans'])} + {_range(known['lesion_free_scans'])}"


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"
