"""An image in memory and the grid it stands on. World coordinates are RAS+ millimetres, as in nibabel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels stand: shape (X, Y, Z) and a 4x4 affine from voxel indices to RAS millimetres."""

    shape: tuple[int, int, int]
    affine: Array

    @property
    def spacing(self) -> Array:
        """Voxel edge lengths along the three array axes, in mm."""
        lengths: Array = np.linalg.norm(self.affine[:3, :3], axis=0)
        return lengths

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml (1 ml = 1000 cubic mm)."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0


@dataclass(frozen=True, eq=False)
class Image:
    """A three-dimensional image: data (X, Y, Z) and its affine from voxel indices to RAS millimetres.

    other : the second matrix of its header, where it says something else.
    notes : what was odd about its file, and how it was read.
    name  : of that file.
    """

    data: Array
    affine: Array
    other: Array | None = None
    notes: tuple[str, ...] = ()
    name: str = ""

    @property
    def grid(self) -> Grid:
        x, y, z = self.data.shape
        return Grid((x, y, z), self.affine)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The grid by each matrix of its header, the one that counts first."""
        return (self.grid,) if self.other is None else (self.grid, Grid(self.grid.shape, self.other))


def same_grid(first: Grid, second: Grid, tolerance: float = 0.1) -> bool:
    """Whether two grids are the same within a tolerance: equal shape, and no corner further apart than
    `tolerance` times the smallest voxel edge. Headers of one scan differ by rounding; half a voxel is an error."""
    if first.shape != second.shape:
        return False
    if np.array_equal(first.affine, second.affine):
        return True
    return bool(furthest_apart(first, second) <= tolerance * min(first.spacing.min(), second.spacing.min()))


def furthest_apart(first: Grid, second: Grid) -> float:
    """How far the corners of the first grid's shape lie apart by the two affines, in mm: the largest distance."""
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(first.shape) - 1
    return float(np.linalg.norm(corners @ (first.affine - second.affine).T, axis=1).max())
