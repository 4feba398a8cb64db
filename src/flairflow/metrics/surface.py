"""Metrics of the distances between the borders of two masks, in mm."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from flairflow.images.grid import Array
from flairflow.metrics.ratio import ratio
from flairflow.metrics.voxels import Offset, border

# What rounding in headers does to a distance, in mm.
ROUNDING = 1e-4


def border_distances(
    prediction: Array, reference: Array, spacing: Array, neighbours: list[Offset]
) -> tuple[Array, Array]:
    """From each border voxel of the prediction the distance (N,) in mm to the nearest one of the reference, and the
    other way round (M,). Where one mask has no voxel, distances to it are infinite.

    prediction, reference : boolean masks (X, Y, Z) as `voxels.crop_together` gives them.
    spacing               : voxel edges (3,) in mm.
    neighbours            : a voxel one of whose neighbours is outside the mask is of its border.
    """
    ours, theirs = (border(mask, neighbours) * spacing for mask in (prediction, reference))
    return _nearest(ours, theirs), _nearest(theirs, ours)


def surface_metrics(to_reference: Array, to_prediction: Array) -> dict[str, float]:
    """hd95_mm, assd_mm, nsd_1mm, nsd_2mm (`METRICS`) from the distances of borders by faces."""
    both = np.concatenate([to_reference, to_prediction])
    values = {"hd95_mm": hausdorff95(to_reference, to_prediction), "assd_mm": finite_mean(both)}
    for tolerance in (1, 2):
        values[f"nsd_{tolerance}mm"] = ratio(int((both <= tolerance + ROUNDING).sum()), len(both))
    return values


def hausdorff95(to_reference: Array, to_prediction: Array) -> float:
    """The larger of the 95th percentiles (linear between ranks) of both directions; NaN where a mask is empty."""
    if not (len(to_reference) and len(to_prediction)):
        return float("nan")
    return max(float(np.percentile(distances, 95)) for distances in (to_reference, to_prediction))


def finite_mean(distances: Array) -> float:
    """The mean distance; NaN where there is none or it is infinite."""
    return float(distances.mean()) if len(distances) and np.isfinite(distances).all() else float("nan")


def _nearest(points: Array, others: Array) -> Array:
    if not len(points) or not len(others):
        return np.full(len(points), np.inf)
    distances: Array = KDTree(others, leafsize=32).query(points)[0]
    return distances
