"""Smooth random fields and soft edges, the two things everything synthetic is made of."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array, Grid


def smooth_noise(generator: np.random.Generator, grid: Grid, length: float) -> Array:
    """A smooth random field on a grid: float32 (X, Y, Z), mean 0 and standard deviation 1 over many draws.

    length : mm over which the field changes. The same generator state gives the same field at any voxel size,
    as long as the field of view stays: the values are drawn on a lattice of `length`, not on voxels.
    """
    nodes = [int(np.ceil(extent / length)) + 5 for extent in np.array(grid.shape) * grid.spacing]
    field = generator.standard_normal(nodes).astype(np.float32)
    for axis, count in enumerate(nodes):
        positions = (np.arange(grid.shape[axis]) + 0.5) * grid.spacing[axis] / length + 2.0
        weights = np.exp(-((positions[:, None] - np.arange(count)) ** 2) / (2 * 0.6**2)).astype(np.float32)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        field = np.moveaxis(np.tensordot(weights, field, axes=(1, axis)), 0, axis)
    return field


def ramp(depth: Array, width: float) -> Array:
    """Share of a voxel inside a surface, from its depth below it (mm, any shape): 0 to 1 over `width` mm."""
    inside: Array = np.clip(depth / width + 0.5, 0.0, 1.0)
    return inside
