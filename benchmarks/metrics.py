"""How long all metrics of a scan take, and how long the usual loop with a mask per lesion takes on the same masks.

    python benchmarks/metrics.py

One scan of 182 x 218 x 182 voxels of 1 mm with 200 lesions, on one core. No files are read or written.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import platform
import time
from collections.abc import Callable

import cc3d
import numpy as np
import psutil
from scipy import ndimage

from flairflow.images.grid import Array, Grid
from flairflow.metrics.compute import score_masks, score_probabilities

SHAPE = (182, 218, 182)
LESIONS = 200
REACH = 12


def main() -> None:
    print(
        f"{platform.machine()}, {psutil.cpu_count()} cores (one used), Python {platform.python_version()}, "
        f"{time.strftime('%F')}"
    )
    prediction, reference, brain = _masks()
    counted, grid = np.ones(SHAPE, bool), Grid(SHAPE, np.eye(4))
    brain_ml = float(brain.sum()) / 1000
    probabilities = _probabilities(prediction, brain)
    _, count = cc3d.connected_components(reference, connectivity=26, return_N=True)
    print(f"{count} lesions, {reference.sum() / 1000:.1f} ml; predicted {prediction.sum() / 1000:.1f} ml")
    masks = _seconds(lambda: score_masks(prediction, reference, counted, grid, brain_ml))
    maps = _seconds(lambda: score_probabilities(probabilities, reference, counted, brain))
    loop = _seconds(lambda: _loop(prediction, reference), times=1)
    print(f"all metrics of masks          {masks:7.2f} s")
    print(f"all metrics of probabilities  {maps:7.2f} s")
    print(f"a mask per lesion             {loop:7.2f} s   (lesion counts alone; {loop / masks:.0f} times all metrics)")


def _masks() -> tuple[Array, Array, Array]:
    """A prediction that misses some lesions and shifts others, the reference, and the brain: lesions that do not touch,
    small ones many, in an ellipsoid."""
    generator = np.random.default_rng(0)
    middle = (np.array(SHAPE) - 1) / 2
    points = np.stack(np.meshgrid(*[np.arange(size) for size in SHAPE], indexing="ij"), axis=-1)
    brain = (((points - middle) / (68, 85, 65)) ** 2).sum(axis=-1) < 1
    distance = np.linalg.norm(np.stack(np.meshgrid(*[np.arange(-REACH, REACH + 1)] * 3)), axis=0)
    prediction, reference, near = np.zeros((3, *SHAPE), bool)
    places = generator.permutation(np.argwhere(brain))
    made = 0
    for place in places:
        radius = min(1.0 + generator.exponential(1.2), REACH - 3)
        box, moved = (tuple(slice(c - REACH, c + REACH + 1) for c in place + shift) for shift in (0, (1, 0, -1)))
        if (near[box] & (distance < radius + 2)).any():
            continue
        near[box] |= distance < radius + 2
        reference[box] |= distance < radius
        if generator.random() < 0.8:
            prediction[moved] |= distance < radius * generator.uniform(0.6, 1.2)
        made += 1
        if made == LESIONS:
            break
    return prediction, reference, brain


def _probabilities(prediction: Array, brain: Array) -> Array:
    """A map as networks make them: near 0 in most of the brain, 0 outside."""
    generator = np.random.default_rng(1)
    noise = generator.normal(size=SHAPE).astype(np.float32)
    logits = 4 * ndimage.gaussian_filter(prediction.astype(np.float32), 1) * 3 - 5 + noise
    return np.where(brain, 1 / (1 + np.exp(-logits)), 0).astype(np.float32)


def _loop(prediction: Array, reference: Array) -> tuple[int, int, int]:
    """True, false and missed lesions by a mask per lesion over the whole head."""
    predicted, one = ndimage.label(prediction)
    true, other = ndimage.label(reference)
    hits = sum(bool(((predicted == number) & reference).any()) for number in range(1, one + 1))
    missed = sum(not ((true == number) & prediction).any() for number in range(1, other + 1))
    return hits, one - hits, missed


def _seconds(work: Callable[[], object], times: int = 5) -> float:
    """The median of some runs."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


if __name__ == "__main__":
    main()
