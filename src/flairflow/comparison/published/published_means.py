"""Published means beside one's own: the table that `compare.published` names. Light: the rules ask."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from flairflow.comparison.markup import latex_table, markdown_table
from flairflow.comparison.published.scan_ids import repeated
from flairflow.config.models import Config
from flairflow.errors import ConfigError
from flairflow.metrics.registry import METRICS
from flairflow.tables import Column, column, read_foreign_table

log = logging.getLogger(__name__)

TITLE = "Means beside those published (published; difference)"
KEYS = ["label", "metric", "ensemble"]
COLUMNS: dict[str, Column] = {
    "published": column("The mean that was published (compare.published)"),
    "difference": column("mean minus published"),
}


def with_published(summary: pd.DataFrame, numbers: pd.DataFrame | None) -> pd.DataFrame:
    """The summary with the columns `published` and `difference` (mean minus published).

    summary : a row per label, metric, ensemble, view and dataset, with `mean`; published numbers are means over all
              scans, so they stand in the rows of the view `pooled`, NaN elsewhere.
    numbers : columns label, metric, ensemble, value (`read_numbers`); None: nothing was published.
    """
    if numbers is None:
        return summary.assign(published=np.nan, difference=np.nan)
    if lost := sorted(set(numbers["ensemble"]) - set(summary["ensemble"])):
        log.warning("published numbers of %s stand beside nothing: no ensemble has that name", ", ".join(lost))
    pooled = pd.MultiIndex.from_frame(summary.loc[summary["view"] == "pooled", KEYS])
    alone = numbers[~pd.MultiIndex.from_frame(numbers[KEYS]).isin(pooled) & ~numbers["ensemble"].isin(lost)]
    if len(alone):
        which = ", ".join(" ".join(row) for row in alone[KEYS].itertuples(index=False))
        log.warning("published numbers stand beside nothing, as there is no mean of these here: %s", which)
    published = summary[KEYS].merge(numbers, how="left", on=KEYS)["value"].set_axis(summary.index)
    published = published.where(summary["view"] == "pooled")
    return summary.assign(published=published, difference=summary["mean"] - published)


def as_markdown(summary: pd.DataFrame) -> str:
    """The means of `with_published` that have a published one, and these, as a section of Markdown; "" without any."""
    header, body = _cells(summary)
    return "\n".join(["", f"## {TITLE}", "", *markdown_table(header, body), ""]) if body else ""


def as_latex(summary: pd.DataFrame) -> str:
    """The same as a `table*` of LaTeX."""
    header, body = _cells(summary)
    return "\n".join([*latex_table(f"{TITLE}.", header, body), ""]) if body else ""


def read_numbers(path: Path | None) -> pd.DataFrame | None:
    """A TSV with the columns label, metric, ensemble and value; None without a path. Raises ConfigError, naming the
    file, where it has others, a metric that there is none of, a value that is no number, or one twice."""
    if path is None:
        return None
    table = read_foreign_table(path)
    if set(table.columns) != {*KEYS, "value"}:
        raise ConfigError(f"{path}: needs the columns {', '.join(KEYS)} and value, has {', '.join(table.columns)}")
    if unknown := [name for name in table["metric"].unique() if name not in METRICS]:
        raise ConfigError(f"{path}: metric {', '.join(unknown)} is not known (docs/metrics.md has all)")
    if twice := repeated(" ".join(row) for row in table[KEYS].itertuples(index=False)):
        raise ConfigError(f"{path}: stands twice: {'; '.join(twice)}; leave one")
    values = pd.to_numeric(table["value"], errors="coerce")
    if values.isna().any():
        line = int(values.isna().argmax()) + 2
        raise ConfigError(f"{path}: line {line}: {table['value'][line - 2]!r} is no number")
    return table.assign(value=values)


def check_published(config: Config) -> None:
    """Raises ConfigError, before anything runs, where the published numbers cannot be read or name other labels."""
    try:
        numbers = read_numbers(config.compare.published)
    except ConfigError as error:
        raise ConfigError(f"config: compare.published: {error}") from None
    if numbers is not None and (wrong := sorted(set(numbers["label"]) - set(config.labels))):
        raise ConfigError(
            f"config: compare.published: {config.compare.published}: label {', '.join(wrong)} is none of "
            f"{', '.join(config.labels)}"
        )


def _cells(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """A header, and a row per label and ensemble: per metric the mean, the published one and the difference."""
    rows = summary[summary["published"].notna()]
    metrics = list(rows["metric"].unique())
    body = []
    for (label, ensemble), own in rows.groupby(["label", "ensemble"], sort=False):
        found = {
            row.metric: f"{row.mean:.4f} ({row.published:g}; {row.difference:+.4f})"
            for row in own.itertuples(index=False)
        }
        body.append([str(label), str(ensemble), *(found.get(metric, "") for metric in metrics)])
    return ["label", "ensemble", *metrics], body
