"""All tables that compare ensembles, written from the table of metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import pandas as pd

from flairflow.comparison.published import published_means
from flairflow.comparison.statistics.score_arrays import warn_of_other_scans
from flairflow.comparison.tables import agreement, lesion_free_share, main_table, pairs, ranks, size_recall, summary
from flairflow.files import write_text
from flairflow.paths import Results
from flairflow.tables import Column, read_table, write_table

log = logging.getLogger(__name__)


def write_comparison_tables(
    results: Results, published: pd.DataFrame | None = None, own: Iterable[str] = (), grid: str = ""
) -> None:
    """The tables that `results.comparison_tables` lists, from tables/metrics.tsv. Scans that not every ensemble has are
    named in the log. `published`: means to stand beside these (`comparison.published.published_means`).
    `own`: the ensembles of this run, scored on `grid`; others are imported."""
    metrics = read_table(results.table("metrics"))
    warn_of_other_scans(metrics)
    tables = comparison_tables(metrics, published)
    for name, (table, columns) in tables.items():
        write_table(results.table(name), table, columns)
    (main, _), (summed, _) = tables["main"], tables["summary"]
    note = main_table.grid_note(main, own, grid)
    write_text(results.main_table("md"), main_table.as_markdown(main, note) + published_means.as_markdown(summed))
    write_text(results.main_table("tex"), main_table.as_latex(main, note) + published_means.as_latex(summed))


def comparison_tables(
    metrics: pd.DataFrame, published: pd.DataFrame | None = None
) -> dict[str, tuple[pd.DataFrame, Mapping[str, Column]]]:
    """By name the tables of `paths.COMPARISON_TABLES`, each with its data dictionary. The log says how far it is."""
    about = f"{metrics['ensemble'].nunique()} ensembles on {metrics['scan'].nunique()} scans"
    log.info("1 of 4: means and their intervals, %s", about)
    summed = published_means.with_published(summary.summarise(metrics), published)
    log.info("2 of 4: ranks")
    mean_ranks, stability = ranks.rank_ensembles(metrics)
    log.info("3 of 4: every two ensembles in every metric and dataset")
    compared = pairs.compare_pairs(metrics)
    log.info("4 of 4: agreement of volumes, recall by size, cohorts with more and with fewer lesions")
    return {
        "summary": (summed, summary.COLUMNS | published_means.COLUMNS),
        "pairs": (compared, pairs.COLUMNS),
        "ranks": (mean_ranks, ranks.RANK_COLUMNS),
        "rank_stability": (stability, ranks.STABILITY_COLUMNS),
        "agreement": (agreement.volume_agreement(metrics), agreement.COLUMNS),
        "size_recall": (size_recall.recall_by_size(metrics), size_recall.COLUMNS),
        "lesion_free_share": (lesion_free_share.expected_dice(metrics), lesion_free_share.SHARE_COLUMNS),
        "crossings": (lesion_free_share.best_by_share(metrics), lesion_free_share.CROSSING_COLUMNS),
        "main": (main_table.main_table(summed, metrics), main_table.COLUMNS),
    }
