"""Random masks with many small lesions, and all metrics of a pair of masks, for the tests of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flairflow.images.grid import Grid
from flairflow.metrics.compute import Scores, score_masks

BRAIN_ML = 50.0


def random_masks(seed: int, shape: tuple[int, int, int] = (22, 19, 14)) -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a reference (X, Y, Z) bool that share some lesions, split and merge others, and miss some."""
    generator = np.random.default_rng(seed)
    prediction, reference = np.zeros((2, *shape), bool)
    for _ in range(25):
        low = generator.integers(0, np.array(shape) - 1)
        box = tuple(slice(a, a + n) for a, n in zip(low, generator.integers(1, 4, 3), strict=True))
        reference[box] = True
        if generator.random() < 0.7:
            moved = tuple(slice(max(part.start + d, 0), part.stop + d) for part, d in zip(box, (1, 0, -1), strict=True))
            prediction[moved if generator.random() < 0.5 else box] = True
    prediction ^= generator.random(shape) < 0.01
    return prediction, reference


def scores(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    counted: np.ndarray | None = None,
) -> Scores:
    """Every metric of masks, on a grid with voxel edges `spacing` in mm; all voxels counted unless said."""
    x, y, z = reference.shape
    counted = np.ones(reference.shape, bool) if counted is None else counted
    return score_masks(prediction, reference, counted, Grid((x, y, z), np.diag([*spacing, 1.0])), BRAIN_ML)


def known(value: float | None) -> float:
    """A score that must be defined."""
    assert value is not None
    return value
