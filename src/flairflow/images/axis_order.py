"""The same voxels in another order: editors store an image with its axes exchanged or turned round."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import nibabel as nib
import numpy as np

from flairflow.errors import ScanError
from flairflow.images.grid import Array, Grid, Image, furthest_apart, same_grid

SAME_ORDER = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])


def order_between(sources: Sequence[Grid], targets: Sequence[Grid]) -> Array | None:
    """How to order voxels for them to stand as those of the target do; None where they are not the same voxels.

    sources, targets : one grid for each matrix that the header of an image has. Programs differ in which of two they
                       go by, so the same voxels by any pair are the same.
    Returns nibabel's orientation array, for `apply_orientation`.
    """
    pairs = list(product(sources, targets))
    if any(same_grid(source, target) for source, target in pairs):
        return SAME_ORDER
    for source, target in pairs:
        order = nib.io_orientation(np.linalg.inv(target.affine) @ source.affine)
        if np.isnan(order).any():
            continue
        affine = source.affine @ nib.orientations.inv_ornt_aff(order, source.shape)
        x, y, z = np.array(source.shape)[np.argsort(order[:, 0])].tolist()
        if same_grid(Grid((x, y, z), affine), target):
            return np.asarray(order)
    return None


def is_reordered(order: Array) -> bool:
    """Whether an order is another one than the target's own."""
    return not np.array_equal(order, SAME_ORDER)


def brought_over(mask: Image, image: Image, what: str) -> Array:
    """The data of a mask with its voxels in the order of the image's. Raises ScanError, beginning with `what`, where
    they are not the same voxels."""
    order = order_between(mask.grids, image.grids)
    if order is None:
        raise ScanError(f"{what} is not on the grid of its image ({how_apart(mask.grid, image.grid)})")
    ordered: Array = nib.orientations.apply_orientation(mask.data, order)
    return ordered


def how_apart(source: Grid, target: Grid) -> str:
    """In what two grids differ, in words."""
    if sorted(source.shape) != sorted(target.shape):
        shapes = (" x ".join(map(str, grid.shape)) for grid in (source, target))
        return "shape {} against {}".format(*shapes)
    if source.shape != target.shape:
        return "shape and position differ"
    return f"position differs by up to {furthest_apart(source, target):.1f} mm"
