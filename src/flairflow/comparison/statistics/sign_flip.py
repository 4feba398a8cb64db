"""The sign-flip test: whether a mean of paired differences is further from 0 than chance makes it."""

from __future__ import annotations

import numpy as np

from flairflow.comparison.statistics.bootstrap import BLOCK
from flairflow.comparison.statistics.effect_sizes import RESAMPLES
from flairflow.images.grid import Array


def flipped_sums(sums: Array) -> Array:
    """Totals of the sums of participants (P, K) with random signs: (R, K), as they are in the first row.

    All 2^P ways to give signs where these are at most `RESAMPLES` + 1, else that many at random, the same in every run.
    All columns are of the same signs, so differences of columns are those of paired differences.
    """
    people = len(sums)
    every = 2**people <= RESAMPLES + 1
    total = 2**people if every else RESAMPLES + 1
    generator, rows = np.random.default_rng(1), max(BLOCK // max(people, 1), 1)
    found = np.empty((total, sums.shape[1]))
    for start in range(0, total, rows):
        numbers = np.arange(start, min(start + rows, total))
        if every:
            flips = numbers[:, None] >> np.arange(people) & 1
        else:
            flips = generator.integers(2, size=(len(numbers), people), dtype=np.uint8)
            flips[numbers == 0] = 0
        found[start : numbers[-1] + 1] = flips.astype(float) @ sums
    return np.asarray(sums.sum(axis=0) - 2 * found)


def sign_flip_p(flipped: Array) -> Array:
    """Two-sided p values (K,) that differences lie around 0, each participant's as likely with the other sign, from
    their `flipped_sums` (R, K): the share of totals at least as far from 0 as the first, which is the observed one. 1
    where all differences are 0."""
    sizes = np.abs(flipped)
    p_values: Array = (sizes >= sizes[0] * (1 - 1e-9)).mean(axis=0)
    return p_values
