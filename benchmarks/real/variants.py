"""The same head as other files: what a segmentation should not depend on."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import resample

TILT_DEGREES = 10.0


def variants(image: Image, brain: Array) -> dict[str, Image]:
    """An image (X, Y, Z) with its brain mask, as it is and changed: turned in its file, on other voxels, in other
    units, without what is not brain, and with the shear of a tilted gantry in its header. The anatomy stays."""
    return {
        "as it is": image,
        "reoriented": _reoriented(image),
        "resampled": resample(image, _other_voxels(image.grid, (0.8, 1.25, 0.9)), cval=float(image.data.min())),
        "rescaled": Image(image.data * np.float32(0.013) - np.float32(7.0), image.affine),
        "stripped": Image(np.where(brain, image.data, 0), image.affine),
        "sheared": resample(image, _tilted(image.grid), cval=float(image.data.min())),
    }


def _reoriented(image: Image) -> Image:
    there = nib.orientations.axcodes2ornt("PSR")
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), there)
    data = nib.orientations.apply_orientation(image.data, turn)
    return Image(np.ascontiguousarray(data), image.affine @ nib.orientations.inv_ornt_aff(turn, image.data.shape))


def _other_voxels(grid: Grid, factors: tuple[float, float, float]) -> Grid:
    """Voxels with edges times `factors`, over the same field of view."""
    x, y, z = (np.ceil(np.array(grid.shape) / factors)).astype(int)
    affine = grid.affine @ np.diag([*factors, 1.0])
    affine[:3, 3] = (grid.affine @ np.append((np.array(factors) - 1) / 2, 1.0))[:3]
    return Grid((int(x), int(y), int(z)), affine)


def _tilted(grid: Grid) -> Grid:
    """Slices each a little further along the second axis than the one before, and a header that says so."""
    step = np.tan(np.deg2rad(TILT_DEGREES)) * grid.spacing[2] / grid.spacing[1]
    x, y, z = grid.shape
    more = int(np.ceil(step * (z - 1)))
    tilt = np.eye(4)
    tilt[1, 2], tilt[1, 3] = step, -more
    return Grid((x, y + more, z), grid.affine @ tilt)
