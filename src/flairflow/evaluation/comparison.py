"""The comparison of ensembles and intensity rules on the test scans: a table, and a figure of the scores behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from flairflow.config.models import Config
from flairflow.files import atomic
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
    """tables/comparison.tsv with its dictionary and figure, from tables/metrics.tsv."""
    metrics = read_table(results.table("metrics"))
    updates = {name: ensemble_updates(model_folders(config, name)) for name in config.ensembles}
    write_table(results.table("comparison"), compare(metrics, config.labels, config.compared, updates), COLUMNS)
    draw_comparison(results.comparison_figure, metrics, config.labels, config.compared)


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


def draw_comparison(path: Path, metrics: pd.DataFrame, labels: Sequence[str], ensembles: Sequence[str]) -> None:
    """A PNG with a row per label: Dice of every lesion-bearing scan and false ml of every lesion-free one, by ensemble,
    with their means."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.6 + len(labels) * (0.9 + 0.36 * len(ensembles))), layout="constrained")
    panels = (("dice", "Dice, scans with a lesion"), ("false_ml", "false ml, scans known to have none"))
    axes = figure.subplots(len(labels), len(panels), squeeze=False)
    for row, label in zip(axes, labels, strict=True):
        for axis, (score, title) in zip(row, panels, strict=True):
            for place, ensemble in enumerate(ensembles):
                own = metrics[(metrics["label"] == label) & (metrics["ensemble"] == ensemble)]
                values = own[score].dropna().to_numpy(float)
                # Equal scores lie beside each other, not on each other; the same scan has the same height everywhere.
                heights = place + 0.25 * np.linspace(-1, 1, max(len(values), 2))[: len(values)]
                axis.scatter(values, heights, s=14, alpha=0.55, linewidths=0, color="#0b5d8f")
                if len(values):
                    axis.plot([values.mean()] * 2, [place - 0.36, place + 0.36], color="#d55e00", linewidth=2)
            axis.set_yticks(range(len(ensembles)), [name.replace("_", " ") for name in ensembles])
            axis.set_ylim(len(ensembles) - 0.5, -0.5)
            axis.set_title(f"{label}: {title}", fontsize=10, loc="left")
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="x", color="0.9")
            axis.set_axisbelow(True)
            if not metrics.loc[metrics["label"] == label, score].notna().any():
                axis.text(0.5, 0.5, "no such scan", transform=axis.transAxes, ha="center", color="0.4")
        row[0].set_xlim(-0.02, 1.0)
        row[1].set_xlim(left=0)
        row[1].set_yticklabels([])
    figure.supxlabel("dots: scans, bars: means", fontsize=9, color="0.4")
    with atomic(path) as partial:
        figure.savefig(partial, dpi=110, format="png")


def _spread(scores: pd.DataFrame, *names: str) -> dict[str, float]:
    return {
        f"{name}_{kind}": value
        for name in names
        for kind, value in (("mean", scores[name].astype(float).mean()), ("sd", scores[name].astype(float).std()))
    }
