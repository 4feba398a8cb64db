"""The border to ANTs: images and matrices. ANTs counts world coordinates in LPS millimetres, flairflow in RAS."""

from __future__ import annotations

from typing import Any

import numpy as np

from flairflow.images.grid import Array, Grid, Image

# Converts between LPS and RAS in either direction: it is its own inverse.
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def to_ants(image: Image) -> Any:
    """An image (X, Y, Z) as float32 ANTsImage standing at the same place.

    ITK knows no shear: directions that are not orthonormal become the nearest ones that are, the image centre staying
    where it is. `orthonormal` grids lose nothing by that.
    """
    import ants

    affine = FLIP @ orthonormal(image.grid).affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return ants.from_numpy(
        np.ascontiguousarray(image.data, np.float32),
        origin=[float(value) for value in affine[:3, 3]],
        spacing=[float(value) for value in spacing],
        direction=affine[:3, :3] / spacing,
    )


def from_ants(image: Any) -> Image:
    """A scalar three-dimensional ANTsImage as Image (X, Y, Z) with its affine to RAS mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(image.direction) * np.asarray(image.spacing)
    affine[:3, 3] = image.origin
    return Image(image.numpy(), FLIP @ affine)


def orthonormal(grid: Grid) -> Grid:
    """The nearest grid whose axes are at right angles: same shape, spacing and centre."""
    spacing = grid.spacing
    left, _, right = np.linalg.svd(grid.affine[:3, :3] / spacing)
    affine = np.eye(4)
    affine[:3, :3] = left @ right * spacing
    middle = (np.array(grid.shape) - 1) / 2
    affine[:3, 3] = grid.affine[:3, :3] @ middle + grid.affine[:3, 3] - affine[:3, :3] @ middle
    return Grid(grid.shape, affine)


def from_itk_parameters(parameters: Array, fixed_parameters: Array) -> Array:
    """ITK's affine parameters (9 matrix entries by row, 3 translations) and centre (3), LPS mm -> 4x4 matrix in RAS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(parameters[:9], (3, 3))
    centre = np.asarray(fixed_parameters)
    matrix[:3, 3] = np.asarray(parameters[9:]) + centre - matrix[:3, :3] @ centre
    in_ras: Array = FLIP @ matrix @ FLIP
    return in_ras


def to_itk_parameters(matrix: Array) -> Array:
    """A 4x4 matrix between RAS points -> ITK's twelve affine parameters for the centre 0, 0, 0."""
    flipped = FLIP @ matrix @ FLIP
    return np.concatenate([flipped[:3, :3].ravel(), flipped[:3, 3]])
