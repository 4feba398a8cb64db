"""Which ensemble suits which cohort: the expected Dice by how many of a cohort's scans have no lesion."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from flairflow.comparison.statistics.bootstrap import bounded_draws, interval, participants_with, ratio_draws
from flairflow.comparison.statistics.score_arrays import Scores, comparable, scores_by_label
from flairflow.images.grid import Array
from flairflow.tables import Column, column

SCORE = "dice_or_empty"
# Defined, and only there, where the reference has a lesion; imported results have the second.
OF_LESIONS = ("dice", "dsc")
SHARES = np.arange(21) / 20
_VIEW = column(
    "Which scans stand for which cohort",
    levels={
        "pooled": "all: scans without a lesion stand for those of a cohort, whatever datasets they are from",
        "within": "each dataset that has both kinds with its own means, and with the same weight (its scans) at every "
        "share: what changes is how many have a lesion, not which scanners and hospitals they are from",
    },
)
_COMPOSITION = column(
    "Share of the scans without a lesion that come from the one dataset with most of them: near 1 in the view pooled, "
    "scans without a lesion differ from the others by their dataset too"
)
SHARE_COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "view": _VIEW,
    "ensemble": column("What segmented"),
    "share": column("Share of a cohort's scans that have no lesion of this label"),
    "dice": column(
        "Expected mean of dice_or_empty in such a cohort: (1 - share) x mean over scans with a lesion + share x mean "
        "over scans without, of the test scans that all ensembles have. So it takes a cohort's scans of either kind to "
        "be like these; at share 1 it is the specificity by scan, at 0 the Dice. n/a: there are no such scans, or the "
        "ensemble has fewer than half of the first one's, so it is left out"
    ),
    "low": column("Lower end of its 95 % interval, made like those of shares in tables/summary.tsv"),
    "high": column("Upper end of it; n/a: fewer than two participants"),
    "lesion_scans": column("Scans with a lesion behind it; n/a: left out"),
    "lesion_free_scans": column("Scans without a lesion behind it; n/a: left out"),
    "free_of_one_dataset": _COMPOSITION,
}
CROSSING_COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "view": _VIEW,
    "from_share": column(
        "Share of lesion-free scans from which on the ensemble has the highest expected dice_or_empty"
    ),
    "to_share": column("Share up to which it has; the crossing with the next one's line"),
    "best": column("The ensemble (tables/lesion_free_share.tsv); of those whose lines are the same each has a row"),
    "from_low": column(
        "Lower end of the 95 % interval of from_share: the share from which on this line is above that of the ensemble "
        "before, in bootstrap draws of participants (0: above it everywhere, 1: nowhere)"
    ),
    "from_high": column("Upper end of it; n/a: the first range, or fewer than two participants"),
    "draws_best": column(
        "Share of the draws in which it is the best in the middle of its range; who ties has an equal part. n/a: fewer "
        "than two participants"
    ),
    "dice_from": column("Its expected dice_or_empty at the lower share"),
    "dice_to": column("Its expected dice_or_empty at the upper share"),
    "lesion_scans": column("Scans with a lesion behind it"),
    "lesion_free_scans": column("Scans without a lesion behind it"),
}


def expected_dice(metrics: pd.DataFrame) -> pd.DataFrame:
    """A row per label, view, ensemble that has `dice_or_empty`, and share of lesion-free scans from 0 to 1 in steps of
    0.05, from tables/metrics.tsv; columns as in SHARE_COLUMNS.

    The two means are of the test scans, so a cohort is meant whose scans are like these but for how many are
    lesion-free. Draws of participants are the same for all ensembles.
    """
    rows: list[tuple[object, ...]] = []
    for scores, others in _common(metrics):
        for view, seen in _views(scores):
            rows += [(scores.label, view, *row) for row in _shares(seen)]
        nothing = (np.nan, np.nan, np.nan, pd.NA, pd.NA, np.nan)
        rows += [(scores.label, "pooled", ensemble, share, *nothing) for ensemble in others for share in SHARES]
    counted = {name: "Int64" for name in SHARE_COLUMNS if name.endswith("scans")}
    return pd.DataFrame(rows, columns=list(SHARE_COLUMNS)).astype(counted)


def best_by_share(metrics: pd.DataFrame) -> pd.DataFrame:
    """For each label and view the ranges of the share of lesion-free scans in which an ensemble is best, from
    tables/metrics.tsv; columns as in CROSSING_COLUMNS.

    Expected Dice are straight lines over the share (`expected_dice`), so the crossings are exact for these means; how
    sure they are for others like these scans say the draws of participants. No row for a label without test scans of
    both kinds, nor where there is one ensemble alone.
    """
    rows: list[tuple[object, ...]] = []
    for scores, _ in _common(metrics):
        for view, seen in _views(scores):
            if len(seen.scores.ensembles) > 1:
                rows += [(scores.label, view, *row) for row in _crossings(seen)]
    return pd.DataFrame(rows, columns=list(CROSSING_COLUMNS))


@dataclass(frozen=True)
class _Seen:
    """Scans that stand for a cohort. apart: `_apart`; weights (N, 2 E) of the scans in the two means."""

    scores: Scores
    apart: Array
    weights: Array

    @property
    def sums(self) -> tuple[Array, Array]:
        """What the means are ratios of, (N, 2 E) each."""
        return np.where(self.weights > 0, np.nan_to_num(self.apart) * self.weights, 0.0), self.weights

    @property
    def ends(self) -> Array:
        """Expected Dice (2, E) where no scan is lesion-free and where all are; NaN where there are no such scans."""
        above, below = (values.sum(axis=0) for values in self.sums)
        means: Array = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
        return means.reshape(2, -1)

    @property
    def counts(self) -> Array:
        """Scans with a lesion and without, (2, E)."""
        counts: Array = (~np.isnan(self.apart)).sum(axis=0).reshape(2, -1)
        return counts

    @property
    def people(self) -> Array:
        """Their participants, (2, E)."""
        return participants_with(self.apart, self.scores.participants).reshape(2, -1)


def _views(scores: Scores) -> list[tuple[str, _Seen]]:
    """All scans, then, if several datasets have both kinds of scans, these within themselves."""
    apart = _apart(scores)
    known = ~np.isnan(apart)
    pooled = _Seen(scores, apart, known.astype(float))
    weights = np.zeros(apart.shape)
    both = []
    for name in np.unique(scores.datasets):
        own = scores.datasets == name
        counts = known[own].sum(axis=0)
        if counts.all():
            both.append(name)
            # A dataset weighs as many as its scans, in either mean.
            weights[own] = known[own] * (own.sum() / counts)
    if len(np.unique(scores.datasets)) < 2 or not both:
        return [("pooled", pooled)]
    chosen = np.isin(scores.datasets, both)
    return [("pooled", pooled), ("within", _Seen(scores.of(chosen), apart[chosen], weights[chosen]))]


def _shares(seen: _Seen) -> list[tuple[object, ...]]:
    ensembles = seen.scores.ensembles
    limits = np.repeat([[0.0], [1.0]], 2 * len(ensembles), axis=1)
    # Low ones and high ones, of scans with a lesion and of those without: (2, R, 2, E).
    draws = np.stack(np.split(bounded_draws(*seen.sums, seen.scores.participants, limits), 2, axis=2), axis=2)
    free = seen.scores.datasets[~np.isnan(seen.apart[:, len(ensembles) :]).all(axis=1)]
    of_one = np.unique(free, return_counts=True)[1].max() / len(free) if len(free) else np.nan
    rows: list[tuple[object, ...]] = []
    for share in SHARES:
        # The ends rest on one kind of scan alone.
        used = np.array([share < 1, share > 0])
        weights = np.array([1 - share, share])[used]
        dice = np.tensordot(weights, seen.ends[used], 1)
        low, high = (np.tensordot(drawn[:, used], weights, ([1], [0])) for drawn in draws)
        bounds = np.stack([interval(low)[0], interval(high)[1]])
        bounds[:, seen.people[used].min(axis=0) < 2] = np.nan
        rows += [
            (ensemble, share, dice[number], *bounds[:, number], *seen.counts[:, number], of_one)
            for number, ensemble in enumerate(ensembles)
        ]
    return sorted(rows, key=lambda row: ensembles.index(str(row[0])))


def _crossings(seen: _Seen) -> list[tuple[object, ...]]:
    ends = seen.ends
    if np.isnan(ends).any():
        return []
    draws = np.stack(np.split(ratio_draws(*seen.sums, seen.scores.participants), 2, axis=1), axis=1)
    if seen.people.min() < 2:
        draws = np.full_like(draws, np.nan)
    rows: list[tuple[object, ...]] = []
    found = _highest(ends)
    for low, high, best in found:
        before = [number for _, last, number in found if last == low]
        bounds = _taken_over(draws[..., best] - draws[..., before[0]]) if before else (np.nan, np.nan)
        surely = _surely_best(draws, (low + high) / 2, best)
        dice = [(1 - share) * ends[0, best] + share * ends[1, best] for share in (low, high)]
        rows.append((low, high, seen.scores.ensembles[best], *bounds, surely, *dice, *seen.counts[:, 0]))
    return rows


def _taken_over(ahead: Array) -> tuple[float, float]:
    """The 95 % interval of the share from which on a line is above another one, from draws (R, 2) of how far it is
    above where the share is 0 and where it is 1."""
    first, last = ahead[:, :1], ahead[:, 1:]
    crossing = np.divide(first, first - last, out=np.zeros_like(first), where=first < last)
    # A line that is behind at 0 and at 1 is nowhere above.
    crossing = np.where(first >= 0, 0.0, np.where(last <= 0, 1.0, crossing))
    low, high = interval(np.where(np.isnan(ahead).any(axis=1, keepdims=True), np.nan, crossing))
    return float(low[0]), float(high[0])


def _surely_best(draws: Array, share: float, best: int) -> float:
    """In which part of the draws (R, 2, E) of the ends a line is the highest at a share."""
    heights = (1 - share) * draws[:, 0] + share * draws[:, 1]
    heights = heights[~np.isnan(heights).any(axis=1)]
    # Rounding must not part lines that are the same.
    highest = np.isclose(heights, heights.max(axis=1, keepdims=True), rtol=0, atol=1e-12)
    return float((highest[:, best] / highest.sum(axis=1)).mean()) if len(heights) else np.nan


def _highest(ends: Array) -> list[tuple[float, float, int]]:
    """Of lines over 0 to 1, given by their ends (2, K), those that are highest: from, to and number; together if they
    are the same."""
    edges = {0.0, 1.0}
    for one, other in combinations(range(ends.shape[1]), 2):
        before, after = ends[:, one] - ends[:, other]
        if before * after < 0:
            # Lines that cross in one point do so only up to rounding.
            edges.add(round(float(before / (before - after)), 12))
    found: dict[int, tuple[float, float]] = {}
    points = sorted(edges)
    for low, high in pairwise(points):
        middle = (low + high) / 2
        heights = (1 - middle) * ends[0] + middle * ends[1]
        for number in np.flatnonzero(heights == heights.max()):
            found[int(number)] = (found.get(int(number), (low, high))[0], high)
    return sorted((low, high, number) for number, (low, high) in found.items())


def _common(metrics: pd.DataFrame) -> list[tuple[Scores, list[str]]]:
    """The scores of each label, of ensembles that have `dice_or_empty` and scans of which all of these have it, with
    the ensembles that are left out as they have other scans (`comparable`); none where it is not known which scans
    have a lesion."""
    found = []
    for scores in scores_by_label(metrics, (SCORE, *OF_LESIONS)):
        if SCORE in scores.metrics and len(scores.metrics) > 1:
            known = ~np.isnan(scores.of_metric(SCORE))
            chosen = comparable(known)
            measured = scores.by(chosen)
            if measured.ensembles:
                others = scores.by(known.any(axis=0) & ~chosen).ensembles
                found.append((measured.of(np.asarray(known[:, chosen].all(axis=1))), list(others)))
    return found


def _apart(scores: Scores) -> Array:
    """`dice_or_empty` (N, 2 E): of scans with a lesion, beside it of scans without, NaN elsewhere."""
    dice = scores.of_metric(SCORE)
    others = np.concatenate([scores.of_metric(name) for name in scores.metrics if name in OF_LESIONS], axis=1)
    lesion = ~np.isnan(others).all(axis=1, keepdims=True)
    return np.concatenate([np.where(lesion, dice, np.nan), np.where(lesion, np.nan, dice)], axis=1)
