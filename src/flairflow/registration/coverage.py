"""How much of the template's brain an image shows: a slab or half a head has volumes of a part of a brain only."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array, Grid

# Below this share a scan is flagged: what lies outside of the field of view of good scans is a few percent at most.
ENOUGH = 0.9


def brain_shown(grid: Grid, matrix: Array, points: Array) -> float:
    """The share, 0..1, of the template's brain that lies in the field of view.

    grid   : that of the image.
    matrix : 4x4 from RAS points of the template to those of the image (mm).
    points : (N, 3) of the template's brain, evenly spread.
    """
    to_voxels = np.linalg.inv(grid.affine) @ matrix
    voxels = points @ to_voxels[:3, :3].T + to_voxels[:3, 3]
    # A voxel reaches half of its edge beyond its centre.
    inside = (voxels >= -0.5) & (voxels <= np.array(grid.shape) - 0.5)
    return float(inside.all(axis=1).mean())


def partly_shown(share: float) -> str:
    """What to flag of such a share, or ""."""
    return f"shows {share:.0%} of the brain only" if share < ENOUGH else ""
