"""Imported results compared with each other: the tables of the comparison without a cohort of one's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from flairflow.comparison.figures.write import write_figures
from flairflow.comparison.published.imported_scores import read_imported
from flairflow.comparison.published.published_means import read_numbers
from flairflow.comparison.tables.write import write_comparison_tables
from flairflow.errors import ConfigError
from flairflow.metrics.registry import COLUMNS
from flairflow.paths import COMPARISON_TABLES, Results, dictionary
from flairflow.tables import read_table, write_table

log = logging.getLogger(__name__)


def compare_results(paths: Sequence[Path], out: Path, published: Path | None) -> None:
    """Write tables/metrics.tsv of all tables (`import-results` makes such), the tables that compare their ensembles
    and their figures.

    published : means to stand beside theirs (`published_means`).
    Raises ConfigError, naming the file, for tables that cannot be compared, and for a folder that holds the results of
    a run or one of the tables: they would be written over.
    """
    results = Results(out)
    if results.config.exists():
        raise ConfigError(f"--out: {out} holds the results of a run; name another folder")
    for path in (*paths, *([published] if published else [])):
        if results.table("metrics").parent.resolve() == path.resolve().parent:
            raise ConfigError(f"--out: {path} stands where the tables of {out} go; name another folder")
    table = read_imported(paths)
    write_table(results.table("metrics"), table[[name for name in COLUMNS if name in table]], COLUMNS)
    write_comparison_tables(results, read_numbers(published))
    write_figures(results, list(table["label"].unique()), empty=False)
    for name in COMPARISON_TABLES:
        if read_table(results.table(name)).empty:
            log.info("table %s: no such scores to compare", name)
            for path in (results.table(name), dictionary(results.table(name))):
                path.unlink()
    log.info("compared %s: %s", ", ".join(table["ensemble"].unique()), results.table("metrics").parent)
