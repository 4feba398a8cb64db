"""Voxels and their neighbours, looked up where it matters only: at the voxels of a lesion, not all over the head."""

from __future__ import annotations

from itertools import product

import numpy as np

from flairflow.images.grid import Array

Offset = tuple[int, int, int]
_CUBE: list[Offset] = [(x, y, z) for x, y, z in product((-1, 0, 1), repeat=3) if (x, y, z) != (0, 0, 0)]
# The voxels that share a face.
FACES = [offset for offset in _CUBE if sum(map(abs, offset)) == 1]
MARGIN = 2
# All voxels whose centres are at most two voxel edges away: the ball of radius 2.
BALL = [(x, y, z) for x, y, z in product(range(-2, 3), repeat=3) if 0 < x * x + y * y + z * z <= MARGIN**2]


def in_plane(axis: int) -> list[Offset]:
    """The eight neighbours in the slice across an array axis."""
    return [offset for offset in _CUBE if offset[axis] == 0]


def crop_together(first: Array, second: Array) -> tuple[Array, Array]:
    """Two boolean masks (X, Y, Z) cut to the box around both, with `MARGIN` voxels of background on every side, also
    where the image ends."""
    both = first | second
    if not both.any():
        return (np.zeros((2 * MARGIN + 1,) * 3, bool),) * 2
    box = []
    for axis in range(3):
        there = np.flatnonzero(both.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(int(there[0]), int(there[-1]) + 1))
    one, other = (np.pad(mask[tuple(box)], MARGIN) for mask in (first, second))
    return one, other


def any_neighbour(mask: Array, voxels: Array, offsets: list[Offset]) -> Array:
    """For each of the flat indices `voxels` (N,), in C order and `MARGIN` away from every side: is the mask (X, Y, Z)
    set at any of the offsets from it? Returns (N,) bool."""
    flat = np.ascontiguousarray(mask).ravel()
    _, y, z = mask.shape
    found = np.zeros(len(voxels), bool)
    for i, j, k in offsets:
        found |= flat[voxels + (i * y + j) * z + k]
    return found


def border(mask: Array, offsets: list[Offset]) -> Array:
    """The voxels of a cropped mask of which a neighbour is outside of it: indices (N, 3)."""
    voxels = np.flatnonzero(mask)
    edge = voxels[any_neighbour(~mask, voxels, offsets)]
    return np.stack(np.unravel_index(edge, mask.shape), axis=-1)
