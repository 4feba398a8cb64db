"""Resampling between grids by one affine, without aliasing where the target is coarser."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array, Grid, Image


def resample(image: Image, target: Grid, to_source: Array | None = None, order: int = 1, cval: float = 0.0) -> Image:
    """Resample onto `target` by linear interpolation (`order` 1) or nearest neighbour (0).

    to_source : 4x4 matrix from world points (RAS mm) of the target to those of the image; default: the same space.
    Axes that get coarser are smoothed first (Gaussian, sd = sqrt(ratio^2 - 1) / 2.355 source voxels: the resolution
    that is lost, full width at half maximum). Outside the image the value is `cval`.
    """
    world = np.eye(4) if to_source is None else to_source
    voxels = np.linalg.inv(image.affine) @ world @ target.affine
    data = image.data.astype(np.float32)
    if order > 0:
        # How far one step along each target axis moves along each source axis, in source voxels.
        ratio = np.abs(voxels[:3, :3]).max(axis=1)
        sigma = np.sqrt(np.maximum(ratio**2 - 1.0, 0.0)) / 2.355
        if (sigma > 0.2).any():
            data = ndimage.gaussian_filter(data, np.where(sigma > 0.2, sigma, 0.0), mode="nearest")
    out = ndimage.affine_transform(
        data, voxels[:3, :3], voxels[:3, 3], output_shape=target.shape, order=order, mode="constant", cval=cval
    )
    return Image(out, target.affine)


def resample_masks(bits: Image, count: int, target: Grid, to_source: Array | None = None) -> Image:
    """Resample an image of `count` label bits: each bit by itself, linear, more than half covered (one-hot, then argmax
    against its own background), so that overlaps stay what they were."""
    out = np.zeros(target.shape, np.uint8)
    for bit in range(count):
        mask = (bits.data >> bit) & 1
        if mask.any():
            covered = resample(Image(mask, bits.affine), target, to_source).data > 0.5
            out |= covered.astype(np.uint8) << bit
    return Image(out, target.affine)


def ras_grid(source: Grid, spacing: float) -> Grid:
    """The grid of isotropic `spacing` (mm) over the field of view of `source`, along its own axes taken in RAS order.

    An oblique scan stays oblique, so that resampling to it mixes no slices by rotation.
    """
    orientation = nib.io_orientation(source.affine)
    canonical = source.affine @ nib.orientations.inv_ornt_aff(orientation, source.shape)
    old_shape = np.array(source.shape)[np.argsort(orientation[:, 0])]
    old_spacing = np.linalg.norm(canonical[:3, :3], axis=0)
    x, y, z = np.maximum(np.ceil(old_shape * old_spacing / spacing - 1e-3), 1).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = canonical[:3, :3] / old_spacing * spacing
    centre = (canonical @ np.append((old_shape - 1) / 2, 1.0))[:3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array([x, y, z]) - 1) / 2)
    return Grid((int(x), int(y), int(z)), affine)


def crop(grid: Grid, low: Array, high: Array) -> Grid:
    """The part of a grid from voxel `low` up to, but not including, voxel `high`."""
    affine = grid.affine.copy()
    affine[:3, 3] = (grid.affine @ np.append(low, 1.0))[:3]
    x, y, z = (np.asarray(high) - low).astype(int)
    return Grid((int(x), int(y), int(z)), affine)
