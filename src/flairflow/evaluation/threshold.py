"""The best single intensity threshold: what any model has to beat. Chosen on the training scans alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from flairflow.images.grid import Array

CANDIDATES = np.arange(0.0, 6.01, 0.1)


def best_threshold(scans: Iterable[tuple[Array, Array]]) -> tuple[float, float]:
    """The threshold of highest mean Dice over lesion-bearing scans, and that Dice.

    scans : for each, the brain's intensities (N,) in z-scores and the label there (N,) bool. A voxel is called a lesion
            where its intensity is above the threshold.
    """
    dice = [_dice_by_threshold(values, label) for values, label in scans if label.any()]
    if not dice:
        return float("inf"), float("nan")
    mean = np.mean(dice, axis=0)
    best = int(np.argmax(mean))
    return float(CANDIDATES[best]), float(mean[best])


def _dice_by_threshold(values: Array, label: Array) -> Sequence[float]:
    predicted = len(values) - np.searchsorted(np.sort(values), CANDIDATES, side="right")
    common = label.sum() - np.searchsorted(np.sort(values[label]), CANDIDATES, side="right")
    dice: Sequence[float] = 2 * common / (predicted + label.sum())
    return dice
