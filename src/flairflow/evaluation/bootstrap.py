"""Bootstrap of means and ratios over scans, clustered: participants are drawn, and all their scans come with them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from flairflow.evaluation.statistics import LEVEL, RESAMPLES
from flairflow.images.grid import Array


def ratio_draws(above: Array, below: Array, participants: Array, strata: Array | None = None) -> Array:
    """What ratios of two sums over scans are in each draw of participants with replacement (Field & Welsh 2007).

    above, below : (N, K) of N scans, for K ratios sum(above) / sum(below).
    participants : (N,) whose scans they are: numbers or names.
    strata       : (N,) groups of participants; within each of them as many are drawn as it has. None: one group. A
                   participant's scans are of one group.
    Returns (RESAMPLES, K), equal for equal arguments. NaN where the lower sum of a draw is 0. All ratios are of the
    same draws, so differences of columns are paired.
    """
    persons, owners = np.unique(participants, return_inverse=True)
    upper, lower = (sums_by(owners, len(persons), values) for values in (above, below))
    # Ratios over the same scans share their lower sums.
    lower, which = np.unique(lower, axis=1, return_inverse=True)
    groups = np.zeros(len(persons), int)
    if strata is not None:
        groups[owners] = np.unique(strata, return_inverse=True)[1]
    counts = _drawn(tuple(groups.tolist()))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = (counts @ upper) / (counts @ lower)[:, which.ravel()]
    found[~np.isfinite(found)] = np.nan
    return found


def mean_draws(values: Array, participants: Array, strata: Array | None = None) -> Array:
    """The means over scans in each draw (`ratio_draws`); values (N, K), NaN where a scan does not count."""
    known = ~np.isnan(values)
    return ratio_draws(np.where(known, values, 0.0), known.astype(float), participants, strata)


def interval(draws: Array) -> tuple[Array, Array]:
    """The 95 % percentile intervals of draws (RESAMPLES, K): lows (K,) and highs (K,). NaN draws are left out."""
    bounds = np.full((2, draws.shape[1]), np.nan)
    missing = np.isnan(draws)
    whole, some = ~missing.any(axis=0), missing.any(axis=0) & ~missing.all(axis=0)
    levels = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    bounds[:, whole] = np.quantile(draws[:, whole], levels, axis=0)
    bounds[:, some] = np.nanquantile(draws[:, some], levels, axis=0)
    return bounds[0], bounds[1]


def participants_with(values: Array, participants: Array) -> Array:
    """How many participants have a value in each column of values (N, K). An interval needs two."""
    persons, owners = np.unique(participants, return_inverse=True)
    counts: Array = (sums_by(owners, len(persons), (~np.isnan(values)).astype(float)) > 0).sum(axis=0)
    return counts


def participant_means(values: Array, participants: Array) -> Array:
    """The mean of each participant's scans (P, K), participants in sorted order; NaN where a participant has none."""
    persons, owners = np.unique(participants, return_inverse=True)
    known = ~np.isnan(values)
    sums = sums_by(owners, len(persons), np.where(known, values, 0.0))
    counts = sums_by(owners, len(persons), known.astype(float))
    means: Array = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def sums_by(owners: Array, count: int, values: Array) -> Array:
    """Sums (count, K) of the rows of values (N, K) by owner, a number below `count` (N,)."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, owners, values)
    return sums


@lru_cache(maxsize=2)
def _drawn(groups: tuple[int, ...]) -> Array:
    """How often each participant is drawn, (RESAMPLES, participants), by the group of each; the same in every run."""
    counts = np.zeros((RESAMPLES, len(groups)))
    for group in set(groups):
        members = np.flatnonzero(np.array(groups) == group)
        # Groups of as many participants would else be drawn alike.
        drawn = np.random.default_rng(group).integers(len(members), size=(RESAMPLES, len(members)))
        drawn += np.arange(RESAMPLES)[:, None] * len(members)
        times = np.bincount(drawn.ravel(), minlength=RESAMPLES * len(members))
        counts[:, members] = times.reshape(RESAMPLES, len(members))
    return counts
