"""What the choice of scans does to the ranking: those with a lesion alone, beside all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from flairflow.comparison.figures.style import (
    BLUE,
    GREY,
    NOT_SHARED,
    ORANGE,
    Drawing,
    counted,
    in_lines,
    left_out,
    of_label,
    plain,
    row_height,
    say,
    sheet,
    styled,
)
from flairflow.comparison.statistics.score_arrays import TRAINED_ONCE, comparable, scores_by_label
from flairflow.comparison.tables.summary import over_scans
from flairflow.metrics.registry import Metric


@styled
def ranking(metrics: pd.DataFrame, label: str, bearing: Metric, whole: Metric, ensembles: Sequence[str]) -> Drawing:
    """A line per ensemble from its rank among scans with a lesion to its rank among all scans, with the means.

    metrics : tables/metrics.tsv; bearing, whole : the metrics of the two sides. Means are over the scans that all
    ensembles have which are drawn: a rank among means of different scans would say which scans are hard.
    """
    both, others, shared = _shared(of_label(metrics, label), [bearing.name, whole.name], ensembles)
    sides = [_side(shared, metric.name) for metric in (bearing, whole)]
    known = len(both) > 1
    both = both if known else []
    both = [name for name in both if all(name in side.index for side in sides)]
    left, right = (side.loc[both] for side in sides)
    height = row_height(ensembles)
    figure, (axis,) = sheet(0.45 + height * max(len(both), 2))
    axis.set_axis_off()
    axis.set_xlim(-1.65, 2.65)
    # The heads take two rows' height above the first one.
    axis.set_ylim(max(len(both), 2) + 0.5, 0.5 - 0.35 / height)
    for words, side, place, align in (
        (f"scans with a lesion: mean {plain(bearing.name)}", left, -0.04, "right"),
        (f"all scans: mean {plain(whole.name)}", right, 1.04, "left"),
    ):
        head = f"{words}\nn = {counted(side['scans'])}"
        axis.text(place, 0.5 - 0.17 / height, head, ha=align, va="center", fontweight="bold")
    if both:
        _draw(axis, left, right)
    else:
        say(axis, NOT_SHARED if known else "nothing to rank")
    return Drawing(
        figure,
        f"{label}: the ranking by which scans count",
        f"{label}: ensembles ranked by mean {plain(bearing.name)} over the scans with a lesion (left) and by mean "
        f"{plain(whole.name)} over all scans (right), where a scan without a lesion counts 1 if none is predicted "
        f"and 0 otherwise. Means are over the n scans that all of them were scored on.{left_out(others)} "
        "Beside the rank the mean with its 95 % interval by participant (pooled view). "
        f"{TRAINED_ONCE} "
        "Solid blue with circles: first on the left; dashed orange with squares: first on the right; solid black "
        "with diamonds: first on both.",
        ("metrics",),
    )


def _side(shared: pd.DataFrame, metric: str) -> pd.DataFrame:
    """By ensemble scans, mean, low and high of a metric, as in the pooled view of tables/summary.tsv."""
    for scores in scores_by_label(shared, [metric]):
        for part in scores.populations():
            table = over_scans(part).set_axis(list(part.ensembles))
            return table[table["scans"] > 0]
    return pd.DataFrame({"scans": [], "mean": [], "low": [], "high": []})


def _shared(
    own: pd.DataFrame, names: Sequence[str], ensembles: Sequence[str]
) -> tuple[list[str], list[str], pd.DataFrame]:
    """The ensembles that have both metrics and can be compared, those that cannot (`comparable`), and the scores of the
    former, without those of scans that not all of them have."""
    scores = next(iter(scores_by_label(own[own["ensemble"].isin(ensembles)], names)), None)
    if scores is None:
        return [], [], own
    known = ~np.isnan(scores.values)
    able = np.all(known.any(axis=0), axis=-1)
    chosen = able & np.all([comparable(known[..., place] & able) for place in range(len(names))], axis=0)
    drawn, others = (
        [name for name in ensembles if name in scores.by(part).ensembles] for part in (chosen, able & ~chosen)
    )
    kept = own[own["ensemble"].isin(drawn)].copy()
    for place, name in enumerate(names):
        common = scores.scans[known[:, chosen, place].all(axis=1)]
        kept[name] = kept[name].where(kept["scan"].astype(str).isin(common))
    return drawn, others, kept[["scan", "dataset", "participant", "ensemble", "label", *names]]


def _draw(axis: Axes, left: pd.DataFrame, right: pd.DataFrame) -> None:
    # Equal means share a rank, but not a place.
    ranks = [side["mean"].rank(ascending=False, method="min") for side in (left, right)]
    places = [side["mean"].rank(ascending=False, method="first") for side in (left, right)]
    for name in left.index:
        first = ranks[0][name] == 1, ranks[1][name] == 1
        colour, style, marker, width = {
            (True, True): ("black", "solid", "D", 1.8),
            (True, False): (BLUE, "solid", "o", 1.8),
            (False, True): (ORANGE, "dashed", "s", 1.8),
            (False, False): (GREY, "solid", "o", 0.8),
        }[first]
        heights = [float(place[name]) for place in places]
        axis.plot([0.05, 0.95], heights, color=colour, linestyle=style, marker=marker, linewidth=width, label=name)
        ink = colour if any(first) else "black"
        for side, rank, height, start, step, align in (
            (left, ranks[0], heights[0], 0.0, -1, "right"),
            (right, ranks[1], heights[1], 1.0, 1, "left"),
        ):
            row = side.loc[name]
            bounds = "" if pd.isna(row["low"]) else f" ({row['low']:.3f}, {row['high']:.3f})"
            words = (f"{rank[name]:.0f}", f"{row['mean']:.3f}{bounds}", in_lines(name))
            for text, distance in zip(words, (0.04, 0.17, 0.94), strict=True):
                axis.text(start + step * distance, height, text, ha=align, va="center", color=ink)
