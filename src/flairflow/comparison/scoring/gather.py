"""The tables of metrics and of thresholds, gathered from the ledgers of the whole cohort's shards."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from flairflow.cohort.index import read_scans
from flairflow.cohort.scan import Scan
from flairflow.comparison.published.imported_scores import with_imported
from flairflow.comparison.scoring.evaluate import choose_thresholds
from flairflow.config.models import Config
from flairflow.metrics.registry import COLUMNS
from flairflow.paths import Results
from flairflow.shards.ledger import Row, stage_rows
from flairflow.tables import Column, column, write_table

THRESHOLD_COLUMNS: dict[str, Column] = {
    "rule": column("A voxel is called the label where low < intensity <= high; one_threshold has no high"),
    "label": column("Lesion label"),
    "low": column("Lower threshold, chosen on the training scans", "brain z-score"),
    "high": column("Upper threshold, chosen on the training scans; inf: none", "brain z-score"),
    "training_score": column(
        "Mean over these scans of Dice where there is a lesion, and of 1 / (1 + v / 1 ml) of v ml called one where "
        "there is none: the score by which networks are chosen"
    ),
    "scans": column("Training scans in which the label is annotated"),
}


def write_metrics(config: Config, results: Results) -> None:
    """tables/metrics.tsv: every score of every compared ensemble per test scan and label, and those of
    `compare.imported`."""
    scans = {scan.scan: scan for scan in read_scans(results.cohort, config.labels, config.images)}
    rows = []
    for ensemble in config.compared:
        for name, row in stage_rows(results, f"evaluate/{ensemble}", ["test"], having="annotated").items():
            if row.status == "ok":
                rows += _scores(scans[name], ensemble, row, config.labels)
    own = pd.DataFrame(rows, columns=list(COLUMNS))
    write_table(results.table("metrics"), with_imported(own, config), COLUMNS)


def write_thresholds(config: Config, results: Results) -> None:
    """tables/thresholds.tsv: the best thresholds of each intensity rule per label."""
    prepared = stage_rows(results, "preprocess", ["train"])
    scans = read_scans(results.cohort, config.labels, config.images)
    ready = [(scan, prepared[scan.scan]) for scan in scans if scan.scan in prepared]
    table = choose_thresholds([(scan, row) for scan, row in ready if row.status == "ok"], config, results)
    write_table(results.table("thresholds"), table, THRESHOLD_COLUMNS)


def _scores(scan: Scan, ensemble: str, row: Row, labels: Sequence[str]) -> list[dict[str, object]]:
    scores: list[dict[str, object]] = []
    for label in labels:
        found = {key.split(" ")[1]: value for key, value in row.values.items() if key.split(" ")[0] == label}
        if found:
            about = {"scan": scan.scan, "dataset": scan.dataset, "participant": scan.person}
            scores.append({**about, "ensemble": ensemble, "label": label, **found})
    return scores
