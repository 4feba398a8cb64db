"""Metrics of a scan as a whole: is anything called a lesion?"""

from __future__ import annotations

from flairflow.images.grid import Array


def scan_metrics(prediction: Array) -> dict[str, float]:
    """scan_sensitivity, scan_specificity (`METRICS`) of a boolean mask (X, Y, Z)."""
    called = float(prediction.any())
    return {"scan_sensitivity": called, "scan_specificity": 1.0 - called}
