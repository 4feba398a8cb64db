"""The comparison of ensembles and intensity rules on the test scans, with what was spent on each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from flairflow.config.models import Config
from flairflow.paths import MODEL_FILES, Results
from flairflow.tables import Column, column, read_table, write_table
from flairflow.training.folders import model_folders

_, _, RECORD = MODEL_FILES

COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "ensemble": column("What segmented: an ensemble of models, or an intensity rule (tables/thresholds.tsv)"),
    "updates": column("Optimiser updates of the networks that segment, per seed; n/a: an intensity rule"),
    "updates_before": column("Updates per seed of what was trained first: teachers, earlier phases"),
    "lesion_scans": column("Test scans whose known mask has a lesion: n of the Dice, lesion F1 and volume error"),
    "dice_mean": column("Mean Dice coefficient over these scans"),
    "dice_sd": column("Standard deviation of the Dice coefficient over these scans (n - 1)"),
    "lesion_f1_mean": column("Mean lesion-wise F1 over these scans (tables/metrics.json says how)"),
    "lesion_f1_sd": column("Standard deviation of that (n - 1)"),
    "volume_error_ml_mean": column("Mean of predicted minus reference volume over these scans", "ml"),
    "volume_error_ml_sd": column("Standard deviation of that (n - 1)", "ml"),
    "lesion_free_scans": column("Test scans whose known mask is empty: n of what follows"),
    "false_scans": column("How many of these got a false lesion"),
    "false_lesions_mean": column("Mean number of false lesions (26-connected components)"),
    "false_lesions_sd": column("Standard deviation of that (n - 1)"),
    "false_ml_mean": column("Mean false lesion volume", "ml"),
    "false_ml_sd": column("Standard deviation of that (n - 1)", "ml"),
}


def write_comparison(config: Config, results: Results) -> None:
    """tables/comparison.tsv with its dictionary, from tables/metrics.tsv."""
    metrics = read_table(results.table("metrics"))
    updates = {name: ensemble_updates(model_folders(config, name)) for name in config.ensembles}
    write_table(results.table("comparison"), compare(metrics, config.labels, config.compared, updates), COLUMNS)


def compare(
    metrics: pd.DataFrame, labels: Sequence[str], ensembles: Sequence[str], updates: Mapping[str, tuple[int, int]]
) -> pd.DataFrame:
    """A row per label and ensemble from the scores per scan (`evaluation.metrics`), columns as in COLUMNS.

    updates : for ensembles, `ensemble_updates`.

    Scans with a lesion and scans known to have none are summed up apart: a Dice of the latter would say how many there
    are. NaN where there are no scans; a standard deviation needs two.
    """
    rows = []
    for label in labels:
        for ensemble in ensembles:
            own = metrics[(metrics["label"] == label) & (metrics["ensemble"] == ensemble)]
            bearing, free = own[own["dice"].notna()], own[own["false_ml"].notna()]
            row: dict[str, object] = {"label": label, "ensemble": ensemble, "lesion_scans": len(bearing)}
            row |= dict(zip(("updates", "updates_before"), updates.get(ensemble, (None, None)), strict=True))
            row |= _spread(bearing, "dice", "lesion_f1", "volume_error_ml")
            row |= {"lesion_free_scans": len(free), "false_scans": int((free["false_ml"] > 0).sum())}
            rows.append(row | _spread(free, "false_lesions", "false_ml"))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ensemble_updates(folders: Sequence[Path]) -> tuple[int, int]:
    """Optimiser updates per seed from the records of an ensemble's models: their own, and those spent before on what
    they go on from and learn from."""
    records = [json.loads((folder / RECORD).read_text(encoding="utf-8")) for folder in folders]
    seeds = len({record["seed"] for record in records})
    own, before = (
        round(sum(record.get(key, 0) for record in records) / seeds) for key in ("updates", "updates_before")
    )
    return own, before


def _spread(scores: pd.DataFrame, *names: str) -> dict[str, float]:
    return {
        f"{name}_{kind}": value
        for name in names
        for kind, value in (("mean", scores[name].astype(float).mean()), ("sd", scores[name].astype(float).std()))
    }
