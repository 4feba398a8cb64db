"""Masks brought to the reference image's grid, whatever image they were drawn on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flairflow.cohort.scan import Mask
from flairflow.images.axis_order import brought_over
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.nifti import read_labels
from flairflow.images.resample import resample


def known_voxels(mask: Mask, root: Path, image: Image) -> tuple[Array, Array]:
    """Where a mask below `root` says that its label is, and where it is to be ignored: bool each, in the order of the
    voxels of the image it was drawn on. Raises ScanError naming the file when it does not stand on that image."""

    def values(path: str) -> Array:
        return brought_over(read_labels(root / path), image, f"{Path(path).name}: mask")

    where, ignore = meaning(values(mask.path), mask.values, mask.ignore_values)
    if mask.ignore_path:
        ignore |= values(mask.ignore_path) != 0
        where &= ~ignore
    return where, ignore


def meaning(values: Array, label_values: tuple[int, ...], ignore_values: tuple[int, ...]) -> tuple[Array, Array]:
    """A mask's voxel values -> where the label is and where it is to be ignored (bool each, same shape).

    Without `label_values` every value but 0 and those to ignore means the label.
    """
    ignore: Array = np.isin(values, ignore_values)
    label: Array = np.isin(values, label_values) if label_values else (values != 0) & ~ignore
    return label, ignore


def carry(label: Array, ignore: Array, affine: Array, target: Grid, to_source: Array) -> tuple[Array, Array]:
    """Carry a label and its ignored voxels to another grid: linear on each, then the largest of label, ignored and
    neither (the one-hot's argmax) wins. Returns bool arrays on `target`.

    to_source : 4x4 matrix from world points (RAS mm) of the target to those of the mask.
    """
    parts = [resample(Image(part.astype(np.float32), affine), target, to_source).data for part in (label, ignore)]
    neither = 1.0 - parts[0] - parts[1]
    winner = np.argmax(np.stack([neither, *parts]), axis=0)
    return winner == 1, winner == 2
