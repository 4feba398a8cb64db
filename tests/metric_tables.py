"""Small tables like results/tables/metrics.tsv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

Scores = Mapping[str, Mapping[str, Sequence[float]]]


def metric_table(
    scores: Scores, participants: Sequence[str] = (), datasets: Sequence[str] = (), label: str = "A"
) -> pd.DataFrame:
    """The table of scores[ensemble][metric] of the scans s00, s01, ...; by default each of a participant of its own."""
    parts = []
    for ensemble, of_metrics in scores.items():
        table = pd.DataFrame(of_metrics, dtype=float)
        names = [f"s{number:02d}" for number in range(len(table))]
        about = {
            "scan": names,
            "dataset": list(datasets)[: len(table)] or "ds",
            "participant": list(participants)[: len(table)] or names,
        }
        parts.append(table.assign(**about, ensemble=ensemble, label=label))
    return pd.concat(parts, ignore_index=True)


def random_table(seed: int, scans: int, ensembles: int, people: int, missing: float = 0.0) -> pd.DataFrame:
    """Scores of scans of which half have a lesion: lesion-bearing, lesion-free and all metrics of two labels; a share
    of them is missing, by metric and by row."""
    rng = np.random.default_rng(seed)
    parts = []
    for label in ("A", "B"):
        lesion = rng.random(scans) < 0.5
        owner = rng.integers(people, size=scans)
        for number in range(ensembles):
            table = pd.DataFrame(
                {
                    "scan": [f"s{scan:03d}" for scan in range(scans)],
                    "dataset": [f"d{person % 3}" for person in owner],
                    "participant": [f"p{person:02d}" for person in owner],
                    "ensemble": f"e{number}",
                    "label": label,
                    "reference_ml": np.where(lesion, rng.lognormal(0, 1, scans), 0.0),
                    "predicted_ml": rng.lognormal(0, 1, scans) * (rng.random(scans) < 0.7),
                    # Of few values, so that there are ties.
                    "dice": np.where(lesion, rng.integers(0, 5, scans) / 4, np.nan),
                    "hd95_mm": np.where(lesion, rng.lognormal(1, 1, scans), np.nan),
                    "false_ml": np.where(lesion, np.nan, rng.integers(0, 3, scans) / 2),
                    "lesions_under_0.1ml": np.where(lesion, rng.integers(0, 4, scans), np.nan),
                }
            )
            table["volume_error_ml"] = table["predicted_ml"] - table["reference_ml"]
            table["found_under_0.1ml"] = np.floor(table["lesions_under_0.1ml"] * rng.random(scans))
            for size in ("0.1_to_1ml", "1_to_10ml", "over_10ml"):
                table[f"lesions_{size}"] = table[f"found_{size}"] = np.where(lesion, 0.0, np.nan)
            table["dice_or_empty"] = table["dice"].where(lesion, (table["predicted_ml"] == 0).astype(float))
            for name in table.columns[5:]:
                table.loc[rng.random(scans) < missing, name] = np.nan
            parts.append(table[rng.random(scans) >= missing])
    return pd.concat(parts, ignore_index=True)
