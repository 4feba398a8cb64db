"""Metrics of probability maps: how well they rank voxels, and whether they mean what they say."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array
from flairflow.metrics.ratio import ratio

BINS = 15


def average_precision(probabilities: Array, truth: Array) -> float:
    """The sum over the values of `probabilities` (N,), from large to small, of (R_k - R_k-1) P_k: recall and precision
    of calling what has at least that value. NaN where no `truth` (N,) bool is set."""
    positives, counts = np.unique(probabilities[truth], return_counts=True)
    if not len(positives):
        return float("nan")
    # Recall changes at the values of positives alone. Most of a head is exactly 0: nothing to sort there.
    above = np.sort(probabilities[probabilities > 0])
    called = len(above) - np.searchsorted(above, positives, side="left")
    called[positives <= 0] = len(probabilities)
    true = np.cumsum(counts[::-1])[::-1]
    return float(np.sum(counts / counts.sum() * true / called))


def calibration_error(probabilities: Array, truth: Array) -> float:
    """The mean over `BINS` equal bins of probability, weighted by their voxels, of the distance between the mean
    probability (N,) and the share of `truth` (N,) bool in it. NaN where there are no voxels."""
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    expected = np.bincount(bins, weights=probabilities, minlength=BINS)
    there = np.bincount(bins[truth], minlength=BINS)
    return ratio(float(np.abs(expected - there).sum()), len(probabilities))
