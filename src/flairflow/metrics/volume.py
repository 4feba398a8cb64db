"""Metrics of volume."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array


def volume_metrics(prediction: Array, reference: Array, voxel_ml: float) -> dict[str, float]:
    """reference_ml, predicted_ml, volume_error_ml, absolute_volume_error_ml, false_ml (`METRICS`) of two boolean masks
    (X, Y, Z)."""
    predicted, true = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    return {
        "reference_ml": true * voxel_ml,
        "predicted_ml": predicted * voxel_ml,
        "volume_error_ml": (predicted - true) * voxel_ml,
        "absolute_volume_error_ml": abs(predicted - true) * voxel_ml,
        "false_ml": predicted * voxel_ml,
    }
