"""How often 95 % intervals of means that are mostly 0, of rates and of ICCs hold the truth, by simulation.

    python benchmarks/intervals.py [--samples 200]

Scans of one participant each. A share of them is 0, the others are of a distribution that spreads over orders of
magnitude, as false volumes do. Columns: the interval of the tables, its median upper end over the mean, and the plain
percentile bootstrap.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from flairflow.comparison.statistics.bootstrap import interval, mean_draws, ratio_bounds
from flairflow.comparison.tables.agreement import correlation_bounds, intraclass_correlation
from flairflow.images.grid import Array

SIZES = (6, 20, 50, 300)
ZEROS = (0.5, 0.8, 0.9)
KINDS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Array], float]] = {
    "log-normal, 1": (lambda rng, shape: rng.lognormal(0, 1, shape), np.exp(1 / 2)),
    "log-normal, 1.5": (lambda rng, shape: rng.lognormal(0, 1.5, shape), np.exp(1.5**2 / 2)),
    "log-normal, 2": (lambda rng, shape: rng.lognormal(0, 2, shape), np.exp(2**2 / 2)),
    "exponential": (lambda rng, shape: rng.exponential(1, shape), 1.0),
    "geometric": (lambda rng, shape: rng.geometric(0.3, shape).astype(float), 1 / 0.3),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=200)
    samples = parser.parse_args().samples
    print(f"{samples} samples each; coverage in percent, upper end / mean, coverage of the percentile bootstrap\n")
    print(f"{'not 0':16s} {'zeros':>5s}" + "".join(f"{f'n = {count}':>18s}" for count in SIZES))
    for name, (draw, mean) in KINDS.items():
        for zeros in ZEROS:
            cells = [_amounts(draw, mean, zeros, count, samples) for count in SIZES]
            print(f"{name:16s} {zeros:5.1f}" + "".join(f"{cell:>18s}" for cell in cells))
    print("\nrates: coverage in percent, and of the percentile bootstrap\n")
    print(f"{'rate':>5s}" + "".join(f"{f'n = {count}':>12s}" for count in SIZES))
    for rate in (0.02, 0.1, 0.3):
        print(f"{rate:5.2f}" + "".join(f"{_rates(rate, count, samples):>12s}" for count in SIZES))
    print("\nICC of log-normal volumes (sd of logarithms 1.2, of their errors 0.4): coverage in percent, and by F\n")
    print("     " + "".join(f"{f'n = {count}':>12s}" for count in SIZES[1:]))
    print("     " + "".join(f"{_correlations(count, samples):>12s}" for count in SIZES[1:]))


def _amounts(
    draw: Callable[[np.random.Generator, tuple[int, int]], Array], mean: float, zeros: float, count: int, samples: int
) -> str:
    rng = np.random.default_rng(count)
    values = draw(rng, (count, samples)) * (rng.random((count, samples)) > zeros)
    truth = mean * (1 - zeros)
    low, high = _bounds(values, (0.0, np.inf))
    known = high[np.isfinite(high)]
    return f"{_covered(low, high, truth):.0f} {np.median(known) / truth:5.1f} {_plain(values, truth):4.0f}"


def _rates(rate: float, count: int, samples: int) -> str:
    values = (np.random.default_rng(count).random((count, 10 * samples)) < rate).astype(float)
    return f"{_covered(*_bounds(values, (0.0, 1.0)), rate):.0f} {_plain(values[:, :samples], rate):4.0f}"


def _correlations(count: int, samples: int) -> str:
    rng = np.random.default_rng(count)
    truth, _, _ = intraclass_correlation(_volumes(rng, 5_000_000))
    drawn = [_volumes(rng, count) for _ in range(samples)]
    found = [correlation_bounds(volumes, np.arange(count)) for volumes in drawn]
    by_f = [intraclass_correlation(volumes)[1:] for volumes in drawn]
    return " ".join(f"{_covered(*np.array(bounds).T, truth):.0f}" for bounds in (found, by_f))


def _volumes(rng: np.random.Generator, count: int) -> Array:
    """Reference and predicted volumes (N, 2)."""
    reference = rng.lognormal(1, 1.2, count)
    return np.stack([reference, reference * rng.lognormal(0, 0.4, count)], axis=1)


def _bounds(values: Array, limits: tuple[float, float]) -> tuple[Array, Array]:
    both = np.repeat(np.array(limits)[:, None], values.shape[1], axis=1)
    return ratio_bounds(values, np.ones(values.shape), np.arange(len(values)), both)


def _plain(values: Array, truth: float) -> float:
    return _covered(*interval(mean_draws(values, np.arange(len(values)))), truth)


def _covered(low: Array, high: Array, truth: float) -> float:
    return float(100 * ((low <= truth) & (truth <= high)).mean())


if __name__ == "__main__":
    main()
