"""Metrics of two challenges, of 2017 (Kuijf et al. 2019) and ISLES'22, that are not those that stand elsewhere."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array
from flairflow.metrics.lesions import Lesions
from flairflow.metrics.ratio import ratio
from flairflow.metrics.surface import border_distances, hausdorff95
from flairflow.metrics.voxels import in_plane


def challenge_metrics(prediction: Array, reference: Array, spacing: Array, lesions: Lesions) -> dict[str, float]:
    """wmh2017_... and isles22_... (`METRICS`) of two boolean masks (X, Y, Z) as `voxels.crop_together` gives them.

    spacing : voxel edges (3,) in mm; lesions: their 26-connected lesions.
    """
    slices = in_plane(slice_axis(spacing))
    recall, precision = lesions.recall, lesions.precision if len(lesions.predicted) else 1.0
    predicted, true = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    f1 = lesions.f1
    return {
        "wmh2017_hd95_mm": hausdorff95(*border_distances(prediction, reference, spacing, slices)),
        "wmh2017_avd_percent": ratio(100 * abs(predicted - true), true),
        "wmh2017_lesion_f1": ratio(2 * precision * recall, precision + recall, empty=0.0),
        "isles22_lesion_f1": 1.0 if np.isnan(f1) else f1,
    }


def slice_axis(spacing: Array) -> int:
    """The array axis across the slices: the one with the largest voxel edge, the last of equal ones (to 0.1%)."""
    return int(np.flatnonzero(spacing >= spacing.max() * (1 - 1e-3))[-1])
