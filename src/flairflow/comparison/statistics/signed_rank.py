"""Wilcoxon's signed-rank test, exact with ties and for any number of differences."""

from __future__ import annotations

from functools import lru_cache
from math import gcd, pi

import numpy as np

from flairflow.images.grid import Array

# Up to so many differences sums are counted one by one, for more by their characteristic function.
COUNTED = 150
# P values of more differences are given as this where they are below it.
SMALLEST = 1e-12
# Numbers that are worked on at once.
BLOCK = 1 << 20
# Differences that are equal but for so much of the largest are equal: 0.3 - 0.2 and 0.2 - 0.1.
_ROUNDING = 1e-11
# Of a characteristic function what is below exp(-_NEGLIGIBLE / 2) = 1e-15 is left out.
_NEGLIGIBLE = 70.0

# The ranks of tied groups, twice their mean rank, and how many differences have each.
Ties = tuple[tuple[int, int], ...]


def signed_rank_p(differences: Array) -> float:
    """Two-sided p value of Wilcoxon's signed-rank test (Wilcoxon 1945) that paired differences (N,) lie around 0.

    Differences of 0 are left out; where nothing is left the two are the same: 1. Equal ones share their mean rank.
    Exact in every case: over all 2^N ways to give these ranks signs, each as likely, the share in which the sum is as
    far from 0 as here. For differences of -1 and 1 alone it is McNemar's test. Up to `COUNTED` differences the sums are
    counted by the shift algorithm (Streitberg & Roehmel 1986), a dynamic programme; above, where that takes seconds, by
    inverting their characteristic function, which gives the same to 1e-13. There what is below 1e-12 is given as that.
    """
    return ranks_p(signed_ranks(differences))


def ranks_p(ranks: Array) -> float:
    """The same from `signed_ranks`."""
    if not len(ranks):
        return 1.0
    values, times = np.unique(np.abs(ranks), return_counts=True)
    step = gcd(*values.tolist())
    total, distance = int(np.abs(ranks).sum()) // step, abs(int(ranks.sum())) // step
    if not distance:
        return 1.0
    # Hoeffding 1963: p <= 2 exp(-distance^2 / (2 sum of squared ranks)).
    if len(ranks) > COUNTED and distance**2 >= -2 * np.log(SMALLEST / 2) * (times * (values // step) ** 2).sum():
        return SMALLEST
    if len(ranks) <= COUNTED:
        counted = _distribution(tuple((values // step).tolist()), tuple(times.tolist()))
        return min(1.0, 2 * float(counted[: (total - distance) // 2 + 1].sum()))
    tied = tuple((rank, count) for rank, count in zip(values.tolist(), times.tolist(), strict=True) if count > 1)
    return max(SMALLEST, min(1.0, 2 * _tail((total - distance) // 2, total, *_spectrum(len(ranks), tied))))


def signed_ranks(differences: Array) -> Array:
    """Twice the ranks of the absolute differences, which makes mean ranks of ties whole numbers, each with the sign of
    its difference. Differences of 0 are left out: (M,) int, M <= N."""
    largest = np.abs(differences).max(initial=0.0)
    rounded = np.round(differences / largest / _ROUNDING) if largest else differences
    changed = rounded[rounded != 0]
    _, group, counts = np.unique(np.abs(changed), return_inverse=True, return_counts=True)
    ranks: Array = (2 * np.cumsum(counts) - counts + 1)[group] * np.sign(changed).astype(int)
    return ranks


@lru_cache(maxsize=64)
def _distribution(ranks: tuple[int, ...], times: tuple[int, ...]) -> Array:
    """The probabilities of every sum of the positive ranks, 0 to all of them, where each is positive or not by the toss
    of a coin: with every further rank each sum stays or grows by it."""
    found = np.ones(1)
    for rank, count in zip(ranks, times, strict=True):
        for _ in range(count):
            grown = np.zeros(len(found) + rank)
            grown[: len(found)] = found
            grown[rank:] += found
            found = grown / 2
    return found


def _tail(most: int, total: int, frequencies: Array, spectrum: Array) -> float:
    """The probability that the sum of the positive ranks, of 0 to `total`, is at most `most`, from its characteristic
    function at the frequencies 2 pi k / (total + 1) at which it is not negligible: the sum over these of the function
    times sum_{u=0}^{most} cos(x (total / 2 - u)), once for k and once for -k."""
    half = pi * frequencies / (total + 1)
    sums = np.full(len(half), most + 1.0)
    above = half > 0
    sums[above] = np.sin((most + 1) * half[above]) / np.sin(half[above]) * np.cos((total - most) * half[above])
    return float((np.where(above, 2, 1) * spectrum * sums).sum() / (total + 1))


@lru_cache(maxsize=64)
def _spectrum(count: int, tied: Ties) -> tuple[Array, Array]:
    """The frequencies k, 0 to half of all, at which the characteristic function of the sum of the positive ranks about
    its middle, prod cos(rank pi k / (total + 1)), is not negligible, and its values there.

    |cos x| <= exp(-sin(x)^2 / 2), so it is below exp(-F / 2) with F the sum of sin(rank pi k / (total + 1))^2. The root
    of F is the length of a vector of sines, which grows by no more than the length of their slopes. So blocks of
    frequencies are left out by F in their middles, the others halved.
    """
    ranks, times = _groups(count, tied)
    step = gcd(*ranks.tolist())
    modulus = count * (count + 1) // step + 1
    slope = pi / modulus * np.sqrt((times * (ranks / step) ** 2).sum())
    least = np.sqrt(_NEGLIGIBLE)
    # Where few are tied, blocks are many and cheap.
    width, few = 1, 3 * (times > 1).sum() < len(times)
    while slope * width < max((count / 2) ** 0.5 - least, 0) / (1 + few):
        width *= 2
    middles = np.arange(0, modulus // 2 + width, width)
    # At first by what F is at least whatever the ties add, as most are far from where it is small.
    sines = np.maximum(np.abs(np.sin(2 * pi * middles / modulus / step)), 1 / (2 * count + 1))
    smallest = (count + 0.5 - 0.5 / sines) / 2 - times[times > 1].sum()
    middles = middles[np.sqrt(np.maximum(smallest, 0)) - slope * width / 2 <= least]
    while True:
        near = np.sqrt(np.maximum(_sine_squares(pi * middles / modulus / step, ranks, times), 0)) - slope * width / 2
        middles = middles[near <= least]
        if width == 1:
            break
        width //= 2
        middles = np.unique(np.concatenate([middles - width, middles, middles + width]))
    chosen = middles[(middles >= 0) & (middles <= modulus // 2)]
    spectrum = np.ones(len(chosen))
    for alone in (True, False):
        for own in _parts(np.flatnonzero((times == 1) == alone), len(chosen)):
            cosines = np.cos(np.outer(ranks[own] // step, pi * chosen / modulus))
            spectrum *= (cosines if alone else cosines ** times[own, None]).prod(axis=0)
    return chosen, spectrum


def _sine_squares(angles: Array, ranks: Array, times: Array) -> Array:
    """sum times * sin(rank * angle)^2. Where few are tied as if none were, which is a closed form, then corrected for
    those."""
    count, tied = int(times.sum()), np.flatnonzero(times > 1)
    few = 3 * len(tied) < len(ranks)
    cosines = (_kernel(2 * angles, np.array([2 * count + 1]))[:, 0] - 1) / 2 if few else np.zeros(len(angles))
    for own in _parts(tied if few else np.arange(len(ranks)), len(angles)):
        weights = times[own] - _kernel(2 * angles, times[own]) if few else times[own]
        cosines += (np.cos(2 * np.outer(angles, ranks[own])) * weights).sum(axis=1)
    found: Array = (count - cosines) / 2
    return found


def _parts(numbers: Array, others: int) -> list[Array]:
    """The numbers in parts, each of which takes no more than some megabytes for every one of so many others."""
    parts = -(-len(numbers) * others // BLOCK)
    return np.array_split(numbers, parts) if parts else []


def _kernel(angles: Array, counts: Array) -> Array:
    """sin(count * angle) / sin(angle), (N, K), at multiples of pi its limit."""
    sines = np.sin(angles)[:, None]
    flat = np.abs(sines) < 1e-12
    found: Array = np.sin(np.outer(angles, counts)) / np.where(flat, 1.0, sines)
    found[flat[:, 0]] = counts * np.cos(np.outer(angles[flat[:, 0]], counts - 1))
    return found


def _groups(count: int, tied: Ties) -> tuple[Array, Array]:
    """Twice the mean rank and the size of every group of equal differences, those of one included."""
    alone = np.ones(count + 1, bool)
    for rank, times in tied:
        first = (rank - times + 1) // 2
        alone[first : first + times] = False
    single = 2 * np.flatnonzero(alone[1:]) + 2
    ranks = np.concatenate([single, np.array([rank for rank, _ in tied], int)])
    times_ = np.concatenate([np.ones(len(single), int), np.array([times for _, times in tied], int)])
    return ranks, times_
