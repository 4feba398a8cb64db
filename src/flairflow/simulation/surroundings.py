"""What decides where lesions grow, and what a drawn lesion is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flairflow.images.grid import Array, Grid
from flairflow.simulation.fields import ramp, smooth_noise

EDGE = 1.5  # mm over which a lesion fades


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The N voxels `where` (X, Y, Z) of a grid that are within the skull, all values float32 (N,).

    grey, deep, white : share of the voxel: cortex, deep grey matter, white matter.
    depth             : mm below the hull of the brain.
    ventricle         : mm from the lateral ventricles, negative inside.
    points            : template coordinates, mm (3, N).
    """

    grid: Grid
    where: Array
    grey: Array
    deep: Array
    white: Array
    depth: Array
    ventricle: Array
    points: Array

    @cached_property
    def millimetres(self) -> Array:
        """World coordinates (N, 3), mm."""
        voxels = np.argwhere(self.where).astype(np.float32)
        origin, spacing = self.grid.affine[:3, 3], np.diag(self.grid.affine)[:3]
        return np.asarray(voxels * spacing.astype(np.float32) + origin.astype(np.float32))

    def noise(self, generator: np.random.Generator, length: float) -> Array:
        """A smooth random field (N,), see `smooth_noise`."""
        return np.asarray(smooth_noise(generator, self.grid, length)[self.where])

    def mirrored_noise(self, generator: np.random.Generator, length: float) -> Array:
        """The same, half of it alike on both sides of the head: disease of small vessels is."""
        field = smooth_noise(generator, self.grid, length)
        return np.asarray((0.8 * field + 0.6 * field[::-1])[self.where])

    def spread(self, values: Array) -> Array:
        """Values (N,) on the grid, 0 elsewhere: float32 (X, Y, Z)."""
        whole = np.zeros(self.grid.shape, np.float32)
        whole[self.where] = values
        return whole


@dataclass(frozen=True, eq=False)
class Lesions:
    """Shares of voxels (N,) of the lesions of one label, of their fluid part, of what surrounds them, and how vivid."""

    share: Array
    cavity: Array
    halo: Array
    vividness: Array


def grow(reach: Array, tissue: Array, volume: float, voxel_ml: float) -> Array:
    """A lesion's reach (N,), mm, moved so that the lesion fills `volume` ml of the tissue (N,), or all there is.

    A reach is positive inside and falls off like a distance: to add to it is to grow.
    """
    candidates = np.flatnonzero(np.isfinite(reach) & (tissue > 0))
    values, weights = reach[candidates], tissue[candidates]

    def filled(level: float) -> float:
        return float((ramp(values - level, EDGE) * weights).sum()) * voxel_ml

    return np.asarray(reach - _bisect(filled, volume, float(values.min()) - EDGE, float(values.max()) + EDGE))


def _bisect(filled: Callable[[float], float], volume: float, low: float, high: float) -> float:
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if filled(middle) > volume else (low, middle)
    return high
