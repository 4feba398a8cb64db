"""Intensity non-uniformity: N4 on a coarse grid, its field applied at full resolution."""

from __future__ import annotations

import numpy as np

from flairflow.errors import ScanError
from flairflow.images.grid import Array, Image
from flairflow.images.resample import crop, ras_grid, resample
from flairflow.images.values import tissue_range


def correct_bias(image: Image, brain: Array, resolution: float) -> Image:
    """Divide an image (X, Y, Z) by its bias field, estimated in the brain mask (same grid) at `resolution` mm.

    The field is smooth, so a grid of some 4 mm holds it (N4: Tustison et al. 2010, doi:10.1109/TMI.2010.2046908). Its
    mean logarithm over the brain is zero, so intensities keep their scale. Raises ScanError when N4 fails.
    """
    import ants

    from flairflow.images.ants import to_ants

    whole = ras_grid(image.grid, resolution)
    covered = resample(Image(brain.astype(np.float32), image.affine), whole).data >= 0.5
    where = np.argwhere(covered)
    if len(where) < 100:
        raise ScanError(f"bias correction: fewer than 100 voxels of {resolution:g} mm in the brain mask")
    low, high = where.min(axis=0), where.max(axis=0) + 1
    coarse = crop(whole, low, high)
    # N4 works on logarithms; voxels that are not positive carry no information on the field, nor do extremes.
    _, most = tissue_range(image.data[brain])
    positive = np.where(brain & (image.data > most), np.float32(most), np.maximum(image.data, 0))
    data = resample(Image(positive, image.affine), coarse).data
    mask = covered[tuple(map(slice, low, high))] & (data > 0)
    try:
        field = ants.n4_bias_field_correction(
            to_ants(Image(data, coarse.affine)),
            mask=to_ants(Image(mask.astype(np.float32), coarse.affine)),
            rescale_intensities=False,
            shrink_factor=1,
            convergence={"iters": [20, 10, 10], "tol": 1e-4},
            spline_param=200,
            return_bias_field=True,
        ).numpy()
    except RuntimeError as error:
        raise ScanError(f"bias correction failed: {error}") from error
    logarithm = np.log(np.maximum(field, 1e-3))
    logarithm -= logarithm[mask].mean()
    # Outside the brain the field of its nearest voxel goes on: nothing is known of it there, and nothing is read.
    full = _extended(Image(logarithm, coarse.affine), image)
    return Image((image.data / np.exp(full)).astype(np.float32), image.affine)


def _extended(field: Image, image: Image) -> Array:
    """A field resampled onto the image's grid, its border values going on beyond its box."""
    margin = int(np.ceil(max(np.array(image.grid.spacing).max() / field.grid.spacing[0], 1))) + 1
    padded = np.pad(field.data, margin, mode="edge")
    affine = field.affine.copy()
    affine[:3, 3] -= affine[:3, :3].sum(axis=1) * margin
    return resample(Image(padded, affine), image.grid).data
