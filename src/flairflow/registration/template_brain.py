"""The template's brain mask, fitted to the scan: an affine cannot follow each gyrus, the scan's own brightness can."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array, Image

# In mm. The template is trusted but for a shell of its surface; meninges and vessels thinner than twice OPENING are cut
# from the brain, sulci narrower than twice CLOSING belong to it.
INSIDE, OUTSIDE, OPENING, CLOSING = 5.0, 4.0, 3.0, 6.0


def refined_brain(brain: Array, flair: Image) -> Image:
    """Fit a brain mask (X, Y, Z), bool, to the FLAIR on the same isotropic grid; signed distance to its surface in mm.

    In a shell from 5 mm inside the mask's surface to 4 mm outside, what is at least half as bright as the brain stays
    if it is a thick part of it; sulci are closed. A mask that reaches no 5 mm deep is left as it is.
    """
    spacing = float(flair.grid.spacing[0])
    depth = signed_distance(brain, spacing)
    core = depth > INSIDE
    if not core.any():
        return Image(depth, flair.affine)
    tissue = (depth > -OUTSIDE) & (flair.data > 0.5 * np.median(flair.data[core])) | core
    parts, _ = ndimage.label(_distance_to(~tissue, spacing) > OPENING)
    thick = parts == np.bincount(parts[core & (parts > 0)], minlength=2)[1:].argmax() + 1
    opened = core | (tissue & (_distance_to(thick, spacing) <= OPENING))
    margin = int(np.ceil(CLOSING / spacing)) + 1
    # At the border of the field of view the brain goes on: an edge there is none to be eroded.
    widened = _distance_to(np.pad(opened, margin, mode="edge"), spacing) <= CLOSING
    closed = (_distance_to(~widened, spacing) > CLOSING)[(slice(margin, -margin),) * 3]
    return Image(signed_distance(ndimage.binary_fill_holes(closed | opened), spacing), flair.affine)


def signed_distance(mask: Array, spacing: float) -> Array:
    """Distance to the surface of a mask (X, Y, Z) with isotropic voxels in mm, float32, positive inside."""
    distance: Array = (_distance_to(~mask, spacing) - _distance_to(mask, spacing)).astype(np.float32)
    return distance


def _distance_to(mask: Array, spacing: float) -> Array:
    """Distance of each voxel to the nearest of the mask in mm; nowhere further than the grid is long."""
    if not mask.any():
        return np.full(mask.shape, spacing * max(mask.shape))
    distance: Array = ndimage.distance_transform_edt(~mask, sampling=spacing)
    return distance
