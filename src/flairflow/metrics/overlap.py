"""Metrics of overlapping voxels."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array
from flairflow.metrics.ratio import ratio


def overlap_metrics(prediction: Array, reference: Array) -> dict[str, float]:
    """dice, dice_or_empty (`METRICS`) of two boolean masks (X, Y, Z)."""
    common = int(np.count_nonzero(prediction & reference))
    both = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    return {"dice": ratio(2 * common, both), "dice_or_empty": ratio(2 * common, both, empty=1.0)}
