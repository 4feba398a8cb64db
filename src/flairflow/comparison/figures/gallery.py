"""The best, the median and the worst scan of an ensemble, as they look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flairflow.comparison.figures.style import PAGE, Drawing, of_label, plain, say, short, styled
from flairflow.images.grid import Array
from flairflow.images.overlays import COLOURS, Axial, outline, show

# A slice without masks, the same with masks, and further ones with masks.
ACROSS = 5


@dataclass(frozen=True)
class Picture:
    """A scan of the gallery: which it is, its scores, and how it looks with the masks `predicted` and `known`, or why
    that cannot be shown."""

    place: str
    scan: str
    dice: float
    reference_ml: float
    predicted_ml: float
    look: Axial | str


def best_median_worst(metrics: pd.DataFrame, label: str, ensemble: str) -> list[tuple[str, pd.Series]]:
    """The rows of tables/metrics.tsv with the highest, the middle and the lowest Dice of an ensemble, each with the
    word for it; fewer where there are fewer scans with a lesion. Of equal ones those with more lesion are worse."""
    rows = of_label(metrics, label, ensemble=ensemble).dropna(subset=["dice", "reference_ml", "predicted_ml"])
    rows = rows.sort_values(["dice", "reference_ml", "scan"], ascending=[False, True, True], kind="stable")
    last = len(rows) - 1
    places = {last // 2: "median", last: "worst", 0: "best"} if len(rows) else {}
    return [(places[place], rows.iloc[place]) for place in sorted(places)]


@styled
def gallery(pictures: Sequence[Picture], label: str, ensemble: str, native: bool = True) -> Drawing:
    """A row of axial slices per scan: the one with most lesion without masks and with them, and further ones.

    native : whether the scores are of the masks that are shown, or of what the network says on its own grid.
    """
    colour = COLOURS[0]
    rows = max(len(pictures), 1)
    height = 0.45 + 1.8 * rows
    # Laid out by hand: titles over the first slice are wider than it.
    figure = Figure(figsize=(PAGE, height))
    figure.subplots_adjust(0.005, 0.25 / height, 0.995, 1 - 0.2 / height, 0.03, 0.14)
    axes = list(figure.subplots(rows, ACROSS, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    for picture, row in zip(pictures, np.array_split(np.asarray(axes, object), rows), strict=False):
        row[0].set_title(f"{picture.place}: {picture.scan}, {_scores(picture)}")
        if isinstance(picture.look, str):
            say(row[ACROSS // 2], picture.look)
        else:
            _draw(list(row), picture.look, colour)
    if pictures:
        handles = [
            Line2D([], [], color=colour, label=f"{label} by {short(ensemble)}"),
            Line2D([], [], color="black", linestyle="dotted", label="known mask (white on the images)"),
        ]
        figure.legend(handles=handles, loc="lower left", ncols=2)
    else:
        say(axes[ACROSS // 2])
    scored = "" if native else " Masks are as delivered; Dice and volumes are those on the grid of the network."
    words = "; ".join(f"{picture.place}: {picture.scan}, {_scores(picture)}" for picture in pictures)
    return Drawing(
        figure,
        f"{label}: best, median and worst scan",
        f"{label}: the test scans with the highest, the middle and the lowest Dice of {plain(ensemble)} among those "
        f"with a lesion ({words or 'no such scan'}). Left the axial slice with most lesion, beside it the same and "
        "further slices with the predicted mask (solid) and the known one (dotted), where labels overlap that of the "
        f"label that takes precedence; voxels that count nowhere are not marked.{scored} The patient's right is on "
        "the left.",
        ("metrics",),
    )


def _draw(row: Sequence[Axes], look: Axial, colour: str) -> None:
    slices = _telling(look.brain, look.masks["predicted"] | look.masks["known"], len(row) - 1)
    for axis, number in zip(row, [slices[0], *slices], strict=False):
        show(axis, look, number)
    for axis, number in zip(row[1:], slices, strict=False):
        outline(axis, look.masks["predicted"][..., number], colour, "solid", 0.7)
        outline(axis, look.masks["known"][..., number], "white", "dotted", 0.7)


def _telling(brain: Array, lesion: Array, count: int) -> list[int]:
    """The slice with most lesion, then from below up to `count` - 1 spread over the others that have some; of the brain
    where there is none."""
    amount = lesion.sum(axis=(0, 1)) if lesion.any() else brain.sum(axis=(0, 1))
    most = int(np.argmax(amount))
    others = [number for number in np.flatnonzero(amount) if number != most]
    parts = [part for part in np.array_split(np.asarray(others, int), count - 1) if len(part)]
    return [most, *(int(part[np.argmax(amount[part])]) for part in parts)]


def _scores(picture: Picture) -> str:
    return f"Dice {picture.dice:.2f}, predicted {picture.predicted_ml:.2f} ml, known {picture.reference_ml:.2f} ml"
