"""The comparison of ensembles and intensity rules on the test scans, with what was spent on each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from flairflow.comparison.tables.summary import summarise
from flairflow.config.models import Config
from flairflow.paths import MODEL_FILES, Results
from flairflow.tables import Column, column, read_table, write_table
from flairflow.training.ensemble_members import model_folders

_, _, RECORD = MODEL_FILES

COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "ensemble": column("What segmented: an ensemble of models, or an intensity rule (tables/thresholds.tsv)"),
    "updates": column("Optimiser updates of the networks that segment, per seed; n/a: an intensity rule"),
    "updates_before": column("Updates per seed of what was trained first: teachers, earlier phases"),
    "other_scans": column(
        "Whether its scans are not those of the label's first ensemble: means of different scans do not say which "
        "ensemble is better"
    ),
    "lesion_scans": column("Test scans whose known mask has a lesion: n of the Dice, lesion F1 and volume error"),
    "dice_mean": column("Mean Dice coefficient over these scans"),
    "dice_sd": column("Standard deviation of the Dice coefficient over these scans (n - 1)"),
    "dice_low": column("Lower end of the 95 % interval of dice_mean, as in tables/summary.tsv (pooled)"),
    "dice_high": column("Upper end of it"),
    "lesion_f1_mean": column("Mean lesion-wise F1 over these scans (tables/metrics.json says how)"),
    "lesion_f1_sd": column("Standard deviation of that (n - 1)"),
    "lesion_f1_iou_mean": column(
        "Mean lesion-wise F1 of lesions matched by an intersection over union above 0.5, which a mask that floods the "
        "brain does not have"
    ),
    "lesion_f1_iou_sd": column("Standard deviation of that (n - 1)"),
    "missed_scans": column("How many of these got no lesion at all"),
    "volume_error_ml_mean": column("Mean of predicted minus reference volume over these scans", "ml"),
    "volume_error_ml_sd": column("Standard deviation of that (n - 1)", "ml"),
    "absolute_volume_error_ml_mean": column(
        "Mean absolute difference of the volumes over these scans: with their signs errors cancel", "ml"
    ),
    "absolute_volume_error_ml_sd": column("Standard deviation of that (n - 1)", "ml"),
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
    """A row per label and ensemble from the scores per scan (`metrics.registry`), columns as in COLUMNS.

    updates : for ensembles, `ensemble_updates`.

    Scans with a lesion and scans known to have none are summed up apart: a Dice of the latter would say how many there
    are. NaN where there are no scans; a standard deviation needs two.
    """
    summed = summarise(metrics[["scan", "dataset", "participant", "ensemble", "label", "dice"]])
    intervals = summed[summed["primary"] & (summed["metric"] == "dice")].set_index(["label", "ensemble"])
    rows = []
    for label in labels:
        first: set[str] | None = None
        for ensemble in ensembles:
            own = metrics[(metrics["label"] == label) & (metrics["ensemble"] == ensemble)]
            bearing, free = own[own["dice"].notna()], own[own["false_ml"].notna()]
            row: dict[str, object] = {"label": label, "ensemble": ensemble, "lesion_scans": len(bearing)}
            scans = set(own["scan"])
            first = scans if first is None and scans else first
            row["other_scans"] = bool(scans) and scans != first
            if (label, ensemble) in intervals.index:
                found: Any = intervals.loc[(label, ensemble)]
                row |= {"dice_low": found["low"], "dice_high": found["high"]}
            row |= dict(zip(("updates", "updates_before"), updates.get(ensemble, (None, None)), strict=True))
            row |= _spread(bearing, "dice", "lesion_f1", "lesion_f1_iou", "volume_error_ml", "absolute_volume_error_ml")
            row["missed_scans"] = int((bearing["scan_sensitivity"] == 0).sum())
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
