"""How sure means and ratios over scans are, by participant: whoever is drawn comes with all scans.

Nothing here holds as many numbers as there are draws times participants: draws are made in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from flairflow.comparison.statistics.effect_sizes import LEVEL, RESAMPLES
from flairflow.images.grid import Array

# Numbers in a block of draws, and draws in it at most: small enough for what is worked on to stay in the cache.
BLOCK = 1 << 20
ROWS = 1024
# How much larger than the largest of n scores another one may be where nothing limits them: so many times, over the
# root of n, and more where hardly any is not 0 (`_unseen`). Found by simulation (benchmarks/intervals.py).
REACH = 64.0


def ratio_draws(above: Array, below: Array, participants: Array, resampled: bool = False) -> Array:
    """What ratios of two sums over scans are in each draw of the Bayesian bootstrap (Rubin 1981) over participants:
    each participant's scans get the same random weight, from the exponential distribution.

    above, below : (N, K) of N scans, for K ratios sum(above) / sum(below).
    participants : (N,) whose scans they are: numbers or names.
    resampled    : weights are how often participants are drawn with replacement (Efron 1979), whole numbers: for what
                   is no mean, such as a correlation of skewed volumes, these cover better.
    Returns (RESAMPLES, K), equal for equal arguments. NaN where the lower sum is 0. All ratios are of the same draws,
    so differences of columns are paired.
    """
    owners, persons = _owners(participants)
    upper = sums_by(owners, persons, above)
    # Ratios over the same scans share their lower sums.
    lower, which = np.unique(sums_by(owners, persons, below), axis=1, return_inverse=True)
    found = np.empty((RESAMPLES, above.shape[1]))
    for rows, weights in _blocks(persons, resampled):
        with np.errstate(invalid="ignore", divide="ignore"):
            found[rows] = (weights @ upper) / (weights @ lower)[:, which.ravel()]
    found[~np.isfinite(found)] = np.nan
    return found


def mean_draws(values: Array, participants: Array) -> Array:
    """The means over scans in each draw (`ratio_draws`); values (N, K), NaN where a scan does not count."""
    known = ~np.isnan(values)
    return ratio_draws(np.where(known, values, 0.0), known.astype(float), participants)


def interval(draws: Array) -> tuple[Array, Array]:
    """The 95 % percentile intervals of draws (R, K): lows (K,) and highs (K,); NaN where draws are."""
    ordered = np.sort(np.ascontiguousarray(draws.T), axis=1)
    places = (len(draws) - 1) * np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    below = places.astype(int)
    first, second = ordered[:, below], ordered[:, np.minimum(below + 1, len(draws) - 1)]
    with np.errstate(invalid="ignore"):
        bounds = np.where(first == second, first, first + (places - below) * (second - first))
    bounds[np.isnan(ordered[:, -1])] = np.nan
    return bounds[:, 0], bounds[:, 1]


def ratio_bounds(
    above: Array, below: Array, participants: Array, limits: Array, groups: Array | None = None
) -> tuple[Array, Array]:
    """95 % intervals of ratios of two sums over scans that cover where few scores say little, as 0 of 6 or one false
    lesion of 50 ml in 20 scans: lows (K,) and highs (K,).

    limits : (2, K), the lowest and the highest a ratio can be. Infinite: not known. NaN: the plain interval.
    groups : (N,) of the scans. Each group has its own ratios; the intervals are of their means over the groups.

    As `ratio_draws`, with one participant more whom nobody saw: for the lower end one with the lowest possible score,
    for the upper end one with the highest (Gaffke 2005; Learned-Miller & Thomas 2020). For scores of 0 and 1 of one
    scan each this is the interval of Clopper & Pearson (1934). Where no limit is known it is `REACH` / sqrt(n) times
    the largest of the n participants' scores, more if few are not 0; infinite if all are 0, as that is no evidence of
    size. NaN where there is no score.
    """
    draws = bounded_draws(above, below, participants, limits, groups)
    low, high = interval(draws[0])[0], interval(draws[1])[1]
    if groups is None and len(np.unique(participants)) == len(above):
        _count_exactly(low, high, above, below, limits)
    return low, high


def bounded_draws(above: Array, below: Array, participants: Array, limits: Array, groups: Array | None = None) -> Array:
    """The draws that the lower and the upper ends of `ratio_bounds` are percentiles of: (2, RESAMPLES, K)."""
    owners, persons = _owners(participants)
    names, of_group = np.unique(np.zeros(len(above), int) if groups is None else groups, return_inverse=True)
    largest = _scores(sums_by(owners, persons, above), sums_by(owners, persons, below)).max(axis=0, initial=0)
    parts = []
    for number in range(len(names)):
        own = of_group == number
        members, places = np.unique(owners[own], return_inverse=True)
        upper, lower = (sums_by(places, len(members), values[own]) for values in (above, below))
        there, (size, unseen) = lower.any(axis=0), _unseen(upper, lower, limits, largest)
        ends = [np.vstack([upper, size * score]) for score in unseen]
        # Ratios over the same scans share their lower sums; what has none is 0 / 1.
        lower, which = np.unique(np.vstack([lower, size, ~there]), axis=1, return_inverse=True)
        parts.append((np.append(members, persons + number), ends, lower, which.ravel(), there))
    total = np.sum([there for *_, there in parts], axis=0)
    draws = np.zeros((2, RESAMPLES, above.shape[1]))
    for rows, weights in _blocks(persons + len(parts)):
        for members, ends, lower, which, _ in parts:
            own = weights[:, members]
            share = (1 / (own @ lower[:-1] + lower[-1]))[:, which]
            for end in (0, 1):
                draws[end, rows] += (own @ ends[end]) * share
    draws[..., total == 0] = np.nan
    if len(parts) > 1:
        draws /= np.maximum(total, 1)
    return draws


def participants_with(values: Array, participants: Array) -> Array:
    """How many participants have a value in each column of values (N, K). An interval needs two."""
    owners, persons = _owners(participants)
    counts: Array = (sums_by(owners, persons, (~np.isnan(values)).astype(float)) > 0).sum(axis=0)
    return counts


def participant_means(values: Array, participants: Array) -> Array:
    """The mean of each participant's scans (P, K), participants in sorted order; NaN where a participant has none."""
    owners, persons = _owners(participants)
    known = ~np.isnan(values)
    sums = sums_by(owners, persons, np.where(known, values, 0.0))
    counts = sums_by(owners, persons, known.astype(float))
    means: Array = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def sums_by(owners: Array, count: int, values: Array) -> Array:
    """Sums (count, K) of the rows of values (N, K) by owner, numbers 0 to `count` - 1 (N,) of which each is there."""
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(count))
    sums: Array = np.add.reduceat(values[order], starts, axis=0) if count else np.zeros((0, values.shape[1]))
    return sums


def _owners(participants: Array) -> tuple[Array, int]:
    """The number of each scan's participant, by sorted names, and how many there are."""
    persons, owners = np.unique(participants, return_inverse=True)
    return owners.ravel(), len(persons)


def _blocks(people: int, resampled: bool = False) -> Iterator[tuple[slice, Array]]:
    """Random weights (rows, people) of all draws, some draws at a time; the same in every run."""
    generator = np.random.default_rng(0)
    rows = min(max(BLOCK // max(people, 1), 1), ROWS)
    for start in range(0, RESAMPLES, rows):
        stop = min(start + rows, RESAMPLES)
        if resampled:
            yield slice(start, stop), generator.multinomial(people, np.full(people, 1 / people), stop - start) * 1.0
        else:
            yield slice(start, stop), generator.standard_exponential((stop - start, people))


def _unseen(upper: Array, lower: Array, limits: Array, largest: Array) -> tuple[Array, Array]:
    """What the participant whom nobody saw adds to the lower sums (K,), as others do in the mean, and the lowest and
    the highest score of that one (2, K); 0 where there is none such. Of sums (P, K) by participant. `largest`: of all
    groups' scores, for a group that has none but 0."""
    people = (lower > 0).sum(axis=0)
    size = np.divide(lower.sum(axis=0), people, out=np.zeros(len(people)), where=people > 0)
    scores = _scores(upper, lower)
    some = np.maximum((scores > 0).sum(axis=0), 1)
    reach = np.maximum(REACH * (1 + 2 / some**2) / np.sqrt(np.maximum(people, 1)), 1)
    own = scores.max(axis=0, initial=0)
    largest = np.where(own > 0, own, largest)
    furthest = np.where(largest > 0, reach * largest, np.inf)
    unseen = np.where(np.isinf(limits), np.copysign(furthest, limits), limits)
    plain = np.isnan(limits).any(axis=0)
    return np.where(plain, 0.0, size), np.where(plain | (people == 0), 0.0, unseen)


def _scores(upper: Array, lower: Array) -> Array:
    """The sizes of the participants' scores (P, K); 0 where there is none."""
    scores: Array = np.abs(np.divide(upper, lower, out=np.zeros(upper.shape), where=lower > 0))
    return scores


def _count_exactly(low: Array, high: Array, above: Array, below: Array, limits: Array) -> None:
    """Put in the place of what was drawn the same without chance for shares of scans that are 0 or 1."""
    binary = (np.isin(above, (0, 1)) & np.isin(below, (0, 1)) & (above <= below)).all(axis=0)
    binary &= (limits == [[0], [1]]).all(axis=0) & below.any(axis=0)
    right, count = above[:, binary].sum(axis=0), below[:, binary].sum(axis=0)
    outside = (1 - LEVEL) / 2
    low[binary] = np.where(right > 0, stats.beta.ppf(outside, right, count - right + 1), 0.0)
    high[binary] = np.where(right < count, stats.beta.ppf(1 - outside, right + 1, count - right), 1.0)
