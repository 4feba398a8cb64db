"""What a file of results says of all its scans, against what its scans say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flairflow.comparison.published.result_files import SUMMARY, Given
from flairflow.errors import ConfigError, in_short

TOLERANCE = 1e-6


def check_summary(given: Given, table: pd.DataFrame) -> None:
    """Raises ConfigError where the file's own summary is not what its scans give (`summarise`), to 1e-6.

    table : the file's scans, columns as in tables/metrics.tsv.
    """
    faults = []
    for metric, by_label in given.summary.items():
        for label, said in by_label.items():
            own = table.loc[table["label"] == label, metric] if metric in table else pd.Series(dtype=float)
            found = summarise(own)
            for name, value in said.items():
                if name != "n" and not found["n"] and not said.get("n"):
                    continue  # Of no scans, whatever it says.
                if name not in found:
                    known = ", ".join(found)
                    raise ConfigError(f"{given.path}: {SUMMARY}: {metric} of {label}: {name!r} is none of {known}")
                if not np.isclose(value, found[name], rtol=0, atol=TOLERANCE, equal_nan=True):
                    faults.append(f"{metric} of {label}: {name} is {value:.8g}, its scans give {found[name]:.8g}")
    if faults:
        raise ConfigError(
            f"{given.path}: its {SUMMARY} is not what its scans give: {in_short(faults)}. Scans were "
            f"added, lost or changed: ask the authors; if the scans are right, delete {SUMMARY!r} from the file"
        )


def summarise(scores: pd.Series) -> dict[str, float]:
    """mean and std (divided by n, not n - 1) over the n scans with a finite value; frac_present: the share above 0.
    NaN of none."""
    values = scores.to_numpy(float)
    values = values[np.isfinite(values)]
    if not len(values):
        return {"mean": np.nan, "std": np.nan, "n": 0, "frac_present": np.nan}
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "n": len(values),
        "frac_present": float((values > 0).mean()),
    }
