"""The MNI152 template as maps that a participant's anatomy is warped from. nilearn has it in its wheel: no download."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array, Image


@dataclass(frozen=True, eq=False)
class Template:
    """Maps in MNI152 space, each (X, Y, Z) in RAS order with its own affine.

    grey, white : share of the voxel, 0 to 1, at 1 mm.
    fluid       : how much a voxel looks like CSF, at 1 mm: 0 in tissue, from about 0.1 in the bottom of a narrow sulcus
                  to 1 and above in ventricles. Where one cuts it says how wide the sulci are.
    outside     : mm from the smooth hull around brain and subarachnoid space, negative inside, at 2 mm.
    ventricle   : mm from the lateral ventricles, negative inside, at 2 mm.
    """

    grey: Image
    white: Image
    fluid: Image
    outside: Image
    ventricle: Image


@lru_cache(maxsize=1)
def load_template() -> Template:
    """The template, made once per process in about four seconds."""
    from nilearn import datasets

    grey_file = datasets.load_mni152_gm_template(resolution=1)
    affine = np.asarray(grey_file.affine, float)
    grey = np.asarray(grey_file.get_fdata(dtype=np.float32))
    white = np.asarray(datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32))
    t1w = np.asarray(datasets.load_mni152_template(resolution=1).get_fdata(dtype=np.float32))

    # Distances vary slowly: every second voxel will do, with a margin that holds skull and scalp.
    margin = 16
    tissue = np.pad(ndimage.gaussian_filter(grey + white, 0.7)[::2, ::2, ::2], margin)
    coarse = affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    coarse[:3, 3] -= 2.0 * margin
    brain = tissue > 0.3
    filled = _distance(~brain) <= 10.0
    hull = _distance(filled) > 8.0  # closes the sulci and adds 2 mm of CSF around the brain
    outside = _distance(~hull) - _distance(hull)

    x, y, z = np.meshgrid(
        *(np.arange(n) * 2.0 + o for n, o in zip(hull.shape, coarse[:3, 3], strict=True)), indexing="ij"
    )
    central = (np.abs(x) < 40) & (y > -60) & (y < 45) & (z > -4) & (z < 36) & (outside < -24)
    # The third ventricle is in the same box, in the midline and low.
    ventricles = (tissue < 0.5) & central & ~((np.abs(x) < 5) & (z < 8))
    ventricle = _distance(~ventricles) - _distance(ventricles)

    # The grey matter map has a thin rim along the ventricles. It is partial volume of white matter and CSF.
    near = ndimage.affine_transform(ventricle, np.eye(3) / 2, np.full(3, float(margin)), grey.shape, order=1) < 5.0
    thick = ndimage.binary_opening(grey > 0.4, iterations=2)
    rim = np.where(near & ~ndimage.binary_dilation(thick, iterations=1), grey, 0.0).astype(np.float32)
    fluid = _fluid(grey, white, t1w, deep=near)
    return Template(
        Image(grey - rim, affine),
        Image(white + rim, affine),
        Image(fluid, affine),
        Image(outside, coarse),
        Image(ventricle, coarse),
    )


def _fluid(grey: Array, white: Array, t1w: Array, deep: Array) -> Array:
    """What the tissue maps leave, with the average sulci brought out: these are valleys (positive Laplacian) of the
    tissue maps, and of the T1w where the maps hold nothing but grey matter."""
    tissue = grey + white
    valley = np.clip(ndimage.gaussian_laplace(tissue, 1.0) / 0.08, 0.0, 1.0)
    fold = np.clip(ndimage.gaussian_laplace(t1w, 1.0) / 0.05, 0.0, 1.0) * (grey > 0.7)
    ridges = np.where(deep, 0.0, np.maximum(valley * (tissue > 0.2), 0.45 * fold))
    # Dots in a row become a line.
    ridges = ndimage.gaussian_filter(ridges, 0.7)
    return np.asarray(1.0 - tissue + 0.5 * ridges, np.float32)


def _distance(mask: np.ndarray) -> np.ndarray:
    """mm from each voxel of a 2 mm mask to the nearest voxel that is not in it, float32 (X, Y, Z)."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=2.0), np.float32)
