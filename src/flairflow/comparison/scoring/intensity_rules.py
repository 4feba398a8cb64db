"""Intensity rules: what any model has to beat. Their thresholds are chosen on the training scans alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from flairflow.images.grid import Array

CANDIDATES = np.arange(0.0, 6.01, 0.1)
# As in `training.selection`, which chooses networks and needs torch.
TOLERATED_ML = 1.0


def best_thresholds(scans: Iterable[tuple[Array, Array, float]]) -> tuple[tuple[float, float, float], ...]:
    """The rules of one and of two thresholds with the highest mean score over the scans, scored as networks are when
    they are chosen: by Dice where there is a lesion, else by 1 / (1 + v / 1 ml) of v ml predicted.

    scans : for each, the brain's intensities (N,) in z-scores, the label there (N,) bool, and the ml of a voxel.
    Returns for each rule, in the order of `paths.RULES`, low, high and that score. A voxel is called a lesion where its
    intensity is above `low` and not above `high`; with one threshold `high` is infinite. Without a lesion to learn from
    nothing is called one.
    """
    scores, lesion = [], False
    for values, label, voxel_ml in scans:
        scores.append(_scores_by_thresholds(values, label, voxel_ml))
        lesion |= bool(label.any())
    if not lesion:
        return ((np.inf, np.inf, np.nan),) * 2
    mean = np.mean(scores, axis=0)
    edges = np.append(CANDIDATES, np.inf)
    low = int(np.argmax(mean[:, -1]))
    one = float(edges[low]), np.inf, float(mean[low, -1])
    first, second = np.unravel_index(np.argmax(mean), mean.shape)
    return one, (float(edges[first]), float(edges[second]), float(mean[first, second]))


def _scores_by_thresholds(values: Array, label: Array, voxel_ml: float) -> Array:
    """Scores by low (rows) and high (columns, infinity last), as many of each as candidates and one."""
    above, lesion_above = (
        np.append(len(these) - np.searchsorted(np.sort(these), CANDIDATES, side="right"), 0)
        for these in (values, values[label])
    )
    predicted = np.maximum(above[:, None] - above, 0)
    if not label.any():
        return np.asarray(1 / (1 + predicted * voxel_ml / TOLERATED_ML))
    common = np.maximum(lesion_above[:, None] - lesion_above, 0)
    dice: Array = 2 * common / (predicted + label.sum())
    return dice
