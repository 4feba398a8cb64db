"""Intensity rules: what any model has to beat. Their thresholds are chosen on the training scans alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from flairflow.images.grid import Array

CANDIDATES = np.arange(0.0, 6.01, 0.1)


def best_thresholds(scans: Iterable[tuple[Array, Array]]) -> tuple[tuple[float, float, float], ...]:
    """The rules of one and of two thresholds with the highest mean Dice over the lesion-bearing scans.

    scans : for each, the brain's intensities (N,) in z-scores and the label there (N,) bool.
    Returns for each rule, in the order of `paths.RULES`, low, high and that Dice. A voxel is called a lesion where its
    intensity is above `low` and not above `high`; with one threshold `high` is infinite. Without a lesion to learn from
    nothing is called one.
    """
    dice = [_dice_by_thresholds(values, label) for values, label in scans if label.any()]
    if not dice:
        return ((np.inf, np.inf, np.nan),) * 2
    mean = np.mean(dice, axis=0)
    edges = np.append(CANDIDATES, np.inf)
    low = int(np.argmax(mean[:, -1]))
    one = float(edges[low]), np.inf, float(mean[low, -1])
    first, second = np.unravel_index(np.argmax(mean), mean.shape)
    return one, (float(edges[first]), float(edges[second]), float(mean[first, second]))


def _dice_by_thresholds(values: Array, label: Array) -> Array:
    """Dice by low (rows) and high (columns, infinity last), as many of each as candidates and one."""
    above, lesion_above = (
        np.append(len(these) - np.searchsorted(np.sort(these), CANDIDATES, side="right"), 0)
        for these in (values, values[label])
    )
    predicted = np.maximum(above[:, None] - above, 0)
    common = np.maximum(lesion_above[:, None] - lesion_above, 0)
    dice: Array = 2 * common / (predicted + label.sum())
    return dice
