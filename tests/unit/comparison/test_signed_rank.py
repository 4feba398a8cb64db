"""The signed-rank test against enumeration, counting with whole numbers, scipy and the binomial distribution."""

from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flairflow.comparison.statistics import signed_rank
from flairflow.comparison.statistics.signed_rank import COUNTED, SMALLEST, signed_rank_p, signed_ranks
from flairflow.images.grid import Array


def counted(differences: Array) -> float:
    """The p value by counting the ways to every sum in whole numbers of any size."""
    changed = differences[differences != 0]
    ranks = [int(rank) for rank in 2 * stats.rankdata(np.abs(changed))]
    ways = {0: 1}
    for rank in ranks:
        more: dict[int, int] = dict(ways)
        for total, number in ways.items():
            more[total + rank] = more.get(total + rank, 0) + number
        ways = more
    observed = sum(rank for rank, value in zip(ranks, changed, strict=True) if value > 0)
    less = min(observed, sum(ranks) - observed)
    few: int = sum(number for total, number in ways.items() if total <= less)
    return float(min(1.0, 2 * few / 2 ** len(ranks)))


def test_the_test_enumerated() -> None:
    differences = np.array([0.9, 0.3, -0.2, 0.5, 0.4, -0.1, 0.8])
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    observed = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    sums = [sum(r for r, sign in zip(ranks, signs, strict=True) if sign) for signs in product((0, 1), repeat=7)]
    assert signed_rank_p(differences) == pytest.approx(2 * np.mean([total <= observed for total in sums]))
    assert signed_rank_p(np.append(differences, [0.0, 0.0])) == signed_rank_p(differences)
    assert signed_rank_p(np.zeros(5)) == signed_rank_p(np.array([])) == 1


@given(st.lists(st.integers(-4, 4).filter(bool), min_size=1, max_size=9))
def test_with_ties_it_is_what_enumeration_gives(differences: list[int]) -> None:
    own = np.array(differences, float)
    ranks = stats.rankdata(np.abs(own))
    signs = np.array(list(product((-1, 1), repeat=len(own))))
    observed = np.sign(own) @ ranks
    below, above = np.mean(signs @ ranks <= observed), np.mean(signs @ ranks >= observed)
    assert signed_rank_p(own) == pytest.approx(min(1, 2 * min(below, above)))


@pytest.mark.parametrize(("one", "other"), [(10, 3), (11, 3), (15, 5), (70, 60), (230, 190), (700, 640)])
def test_of_ones_alone_it_is_mcnemars_test(one: int, other: int) -> None:
    p = signed_rank_p(np.array([1.0] * one + [-1.0] * other))
    assert p == pytest.approx(stats.binomtest(one, one + other).pvalue, abs=1e-12)


def test_eleven_against_three() -> None:
    """The normal approximation says 0.033."""
    assert signed_rank_p(np.array([1.0] * 11 + [-1.0] * 3)) == pytest.approx(0.0574, abs=5e-5)


@pytest.mark.parametrize("count", [40, COUNTED, COUNTED + 1, 260])
def test_without_ties_it_is_scipys_exact_test(count: int) -> None:
    differences = np.random.default_rng(count).normal(0.1, 1, count)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank_p(differences) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["counts", "a block of ones", "a few ties", "two sizes", "none tied", "even ranks"])
@pytest.mark.parametrize("shift", [0.0, 0.15])
def test_of_many_it_is_what_counting_gives(kind: str, shift: float) -> None:
    rng = np.random.default_rng(len(kind))
    count = COUNTED + 20
    normal = rng.normal(shift, 1, count)
    ones = rng.choice([-1.0, 1.0], 60, p=[0.5 - shift / 2, 0.5 + shift / 2])
    differences = {
        "counts": np.round(3 * normal),
        "a block of ones": np.concatenate([normal[60:] / 10, ones]),
        "a few ties": np.concatenate([normal[4:], [0.5, 0.5, -0.5, 0.75]]),
        "two sizes": np.sign(normal) * (1 + (np.abs(normal) > 1)),
        "none tied": normal,
        "even ranks": np.concatenate([normal[61:], ones, [9.0]]),
    }[kind]
    assert len(signed_ranks(differences)) > COUNTED or kind == "counts"
    assert signed_rank_p(differences) == pytest.approx(counted(differences), abs=1e-12)


def test_what_is_too_small_to_say_is_given_as_a_bound() -> None:
    differences = np.arange(1.0, 301)
    assert signed_rank_p(differences) == SMALLEST
    assert signed_rank_p(differences[:100]) == pytest.approx(2 / 2.0**100)


def test_differences_that_are_the_same_but_for_rounding_are_ties() -> None:
    assert 0.3 - 0.2 != 0.2 - 0.1
    assert signed_ranks(np.array([0.3 - 0.2, -(0.2 - 0.1), 0.5, 1e-17])).tolist() == [3, -3, 6]
    assert signed_ranks(np.zeros(3)).tolist() == []


def test_parts_change_nothing_and_many_differences_take_little(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    differences = np.round(rng.normal(0.02, 1, 4000), 2)
    tracemalloc.start()
    once = signed_rank_p(differences)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # With so many the normal approximation is good too.
    assert once == pytest.approx(stats.wilcoxon(differences, method="approx").pvalue, rel=0.01)
    assert most < 150e6
    monkeypatch.setattr(signed_rank, "BLOCK", 1 << 14)
    signed_rank._spectrum.cache_clear()
    assert signed_rank_p(differences) == pytest.approx(once, abs=1e-12)
