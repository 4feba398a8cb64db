"""Overlay mosaics: the slices with most lesion, masks as outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from flairflow.files import atomic
from flairflow.images.grid import Array, Grid, Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers tell apart, in the order of the labels.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#d55e00", "#999999")
BRAIN = "0.7"
SLICES = 6


@dataclass(frozen=True)
class Axial:
    """A scan as radiologists look at it, cropped to the brain: rows from anterior to posterior, columns from the
    patient's right to left, axial slices from below in the last axis.

    aspect : height of a pixel by its width; thickness: of a slice, in mm; window: the intensities of black and white.
    """

    image: Array
    brain: Array
    masks: Mapping[str, Array]
    aspect: float
    thickness: float
    window: tuple[float, float]


def axial(image: Image, brain: Array, masks: Mapping[str, Array]) -> Axial:
    """Turn and crop a scan. All arrays (X, Y, Z) on the image's grid."""
    turned = _radiological(image.data, image.grid)
    inside = _radiological(brain, image.grid)
    width, height, thickness = _radiological_spacing(image.grid)
    low, high = np.percentile(turned[inside], [1, 99.7])
    box = _box(inside)
    return Axial(
        turned[box],
        inside[box],
        {name: _radiological(mask, image.grid)[box] for name, mask in masks.items()},
        height / width,
        thickness,
        (float(low), float(high)),
    )


def show(axis: Axes, scan: Axial, number: int) -> None:
    """Draw a slice, without masks."""
    low, high = scan.window
    axis.imshow(scan.image[..., number], cmap="gray", vmin=low, vmax=high, aspect=scan.aspect)
    axis.set_axis_off()


def outline(axis: Axes, mask: Array, colour: str, style: str, width: float = 0.9) -> None:
    """Draw the border of a slice of a mask; width in points."""
    if mask.any():
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=width, linestyles=style)


def write_mosaic(
    path: Path, image: Image, brain: Array, predicted: Mapping[str, Array], known: Mapping[str, Array] | None = None
) -> None:
    """Write a PNG of axial slices of a scan: above without, below with the masks (coloured outlines: predicted; dotted
    white: known; thin grey: the brain mask). All arrays (X, Y, Z) on the image's grid; shown as radiologists do, the
    patient's right on the left.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    known = known or {}
    layers = {**{f"p{k}": v for k, v in predicted.items()}, **{f"k{k}": v for k, v in known.items()}}
    scan = axial(image, brain, layers)
    slices = _slices(scan.brain, list(scan.masks.values()))
    figure, axes = pyplot.subplots(2, len(slices), figsize=(2.1 * len(slices), 5.2), squeeze=False)
    figure.patch.set_facecolor("black")
    for column, number in enumerate(slices):
        for row in range(2):
            axis = axes[row][column]
            show(axis, scan, number)
            if row == 1:
                outline(axis, scan.brain[..., number], BRAIN, "solid", 0.5)
                for label, colour in zip(predicted, COLOURS, strict=False):
                    outline(axis, scan.masks[f"p{label}"][..., number], colour, "solid")
                for label in known:
                    outline(axis, scan.masks[f"k{label}"][..., number], "white", "dotted")
        axes[0][column].set_title(f"slice {number + 1} ({scan.thickness:.1f} mm)", color="0.7", fontsize=7)
    handles = [Line2D([], [], color=colour, label=label) for label, colour in zip(predicted, COLOURS, strict=False)]
    handles.append(Line2D([], [], color=BRAIN, linewidth=0.5, label="brain mask"))
    if known:
        handles.append(Line2D([], [], color="white", linestyle="dotted", label="known masks"))
    figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), frameon=False, labelcolor="white", fontsize=9
    )
    figure.subplots_adjust(0.005, 0.06, 0.995, 0.95, 0.02, 0.02)
    with atomic(path) as partial:
        figure.savefig(partial, dpi=90, format="png")
    pyplot.close(figure)


def _radiological(array: Array, grid: Grid) -> Array:
    """Axial slices in the last axis, rows from anterior to posterior, columns from the patient's right to left."""
    transform = nib.orientations.ornt_transform(nib.io_orientation(grid.affine), nib.orientations.axcodes2ornt("LPS"))
    turned = nib.orientations.apply_orientation(array, transform)
    return np.swapaxes(turned, 0, 1)


def _radiological_spacing(grid: Grid) -> tuple[float, float, float]:
    order = np.argsort(nib.io_orientation(grid.affine)[:, 0])
    x, y, z = grid.spacing[order]
    return float(x), float(y), float(z)


def _slices(brain: Array, masks: Sequence[Array]) -> list[int]:
    """Evenly spread over the brain, each moved within its stretch to where most lesion is."""
    inside = np.flatnonzero(brain.any(axis=(0, 1)))
    trimmed = inside[len(inside) // 6 : len(inside) - len(inside) // 8]
    lesion = sum((mask.sum(axis=(0, 1)) for mask in masks), np.zeros(brain.shape[2]))
    stretches = [part for part in np.array_split(trimmed, SLICES) if len(part)]
    middles = [part[len(part) // 2] for part in stretches]
    return [
        int(part[np.argmax(lesion[part])]) if lesion[part].any() else int(middle)
        for part, middle in zip(stretches, middles, strict=True)
    ]


def _box(brain: Array) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(brain.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    return slice(max(rows[0] - 3, 0), rows[-1] + 4), slice(max(columns[0] - 3, 0), columns[-1] + 4)
