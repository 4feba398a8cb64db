"""What heads are drawn from: tissues, distances to the brain and its ventricles, places in the template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from flairflow.errors import ConfigError
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import crop, ras_grid, resample
from flairflow.simulation.template import load_template

# What a head is made of, and the labels that stand for it: FreeSurfer's in the brain, SynthSeg's outside of it
# (Billot et al. 2023, doi:10.1016/j.media.2023.102789; the numbers from 500 on were told apart by eye).
TISSUES: dict[str, tuple[int, ...]] = {
    "air": (0,),
    "white": (2, 41, 25, 57, 77),
    "cortex": (3, 42),
    "cerebellar cortex": (8, 47),
    "cerebellar white": (7, 46),
    "thalamus": (10, 49),
    "caudate": (11, 50, 26, 58),
    "putamen": (12, 51),
    "pallidum": (13, 52),
    "hippocampus": (17, 53, 18, 54),
    "brain stem": (16, 28, 60),
    "ventricle": (4, 5, 43, 44, 72),
    "third ventricle": (14,),
    "fourth ventricle": (15,),
    "csf": (24,),
    "vessel": (30, 62),
    "chiasm": (85,),
    "other": (136, 137, 163, 164),
    "artery": (502,),
    "eye": (506,),
    "soft tissue": (507,),
    "optic nerve": (508,),
    "mucosa": (509,),
    "skin": (511,),
    "cord": (512,),
    "sinus": (514,),
    "skull": (515,),
    "marrow": (516,),
    "rest": (530,),
}
NAMES = tuple(TISSUES)
BRAIN = tuple(NAMES.index(name) for name in NAMES[1:18] if name != "csf")
GREY = tuple(NAMES.index(name) for name in ("cortex", "cerebellar cortex"))
WHITE = tuple(NAMES.index(name) for name in ("white", "cerebellar white"))
DEEP = tuple(
    NAMES.index(name) for name in ("thalamus", "caudate", "putamen", "pallidum", "hippocampus", "brain stem", "other")
)

# The brain is its tissue with the sulci closed: what is less than twice this apart, in mm. The fluid of the label maps
# reaches to the dura, which a FLAIR hardly shows and people's masks leave out.
CLOSING = 10.0
STEP = 0.25  # mm: distances are kept in steps of this, as int8.


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A head on a RAS grid of 1 mm, (X, Y, Z), and maps of it on every second voxel, whose centres are shared.

    tissues   : index into NAMES, uint8.
    surface   : int8 in steps of 0.25 mm: distance to the brain's surface, positive inside, cut at +-31 mm.
    ventricle : uint8 on the coarse grid: distance to the lateral ventricles in quarters of mm, 0 inside of them.
    template  : float16 (3, x, y, z) on the coarse grid: where each voxel lies in MNI152 space, mm.
    """

    tissues: Array
    surface: Array
    ventricle: Array
    template: Array


def template_anatomy() -> Anatomy:
    """The template's own head, for where there are no label maps: a smooth brain in a plain skull, without a face."""
    template = load_template()
    shape = np.array(template.grey.data.shape)
    margin = 16
    grid = crop(template.grey.grid, np.full(3, -margin), shape + margin)

    def at(image: Image, beyond: float) -> Array:
        return resample(image, grid, cval=beyond).data

    grey, white, outside = at(template.grey, 0.0), at(template.white, 0.0), at(template.outside, 30.0)
    ventricle, fluid = at(template.ventricle, 60.0), at(template.fluid, 0.0)
    x, y, z = (axis.astype(np.float32) for axis in coordinates(grid))
    tissue = (grey + white > 0.5) & (fluid < 0.5) & (ventricle > 0)
    low = z < -25 - 0.3 * (y + 40)
    tissues = np.full(grid.shape, NAMES.index("air"), np.uint8)
    for limit, name in ((14.0, "skin"), (12.0, "soft tissue"), (6.0, "skull"), (0.0, "csf")):
        tissues[outside < limit] = NAMES.index(name)
    tissues[(ventricle < 0) & (outside < 0)] = NAMES.index("ventricle")
    deep = (np.abs(x) < 34) & (np.abs(y + 6) < 34) & (np.abs(z - 4) < 18)
    stem = (np.abs(x) < 18) & (np.abs(y + 27) < 16) & (z < -16)
    for where, name in (
        (tissue & (white >= grey), "white"),
        (tissue & (white < grey), "cortex"),
        (tissue & (white >= grey) & low, "cerebellar white"),
        (tissue & (white < grey) & low & (y < -35), "cerebellar cortex"),
        (tissue & (white < grey) & deep, "thalamus"),
        (tissue & stem, "brain stem"),
    ):
        tissues[where] = NAMES.index(name)
    coarse = np.stack(np.broadcast_arrays(x, y, z))[:, ::2, ::2, ::2]
    return build_anatomy(tissues, coarse)


def build_anatomy(tissues: Array, template: Array) -> Anatomy:
    """From tissues (X, Y, Z), indices into NAMES at 1 mm, and MNI152 coordinates (3, x, y, z) of every second voxel."""
    brain = np.isin(tissues, BRAIN)
    brain = _closed(_largest(brain))
    surface = ndimage.distance_transform_edt(brain) - ndimage.distance_transform_edt(~brain)
    # Voxel centres lie half a voxel off the surface between them.
    surface = surface - 0.5 * np.sign(surface)
    ventricles = tissues[::2, ::2, ::2] == NAMES.index("ventricle")
    ventricle = ndimage.distance_transform_edt(~ventricles, sampling=2.0)
    return Anatomy(
        tissues,
        np.clip(np.rint(surface / STEP), -127, 127).astype(np.int8),
        np.clip(np.rint(ventricle / STEP), 0, 255).astype(np.uint8),
        template.astype(np.float16),
    )


def coordinates(grid: Grid) -> Array:
    """World coordinates (3, X, Y, Z) of the voxels of a grid, mm."""
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")).reshape(3, -1)
    points: Array = (grid.affine[:3, :3] @ voxels + grid.affine[:3, 3:]).reshape(3, *grid.shape)
    return points


def _largest(mask: Array) -> Array:
    parts, _ = ndimage.label(mask)
    largest: Array = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return largest


def _closed(mask: Array) -> Array:
    margin = int(CLOSING) + 1
    padded = np.pad(mask, margin)
    widened = ndimage.distance_transform_edt(~padded) <= CLOSING
    closed = ndimage.distance_transform_edt(widened) > CLOSING
    filled: Array = ndimage.binary_fill_holes(closed | padded)[(slice(margin, -margin),) * 3]
    return filled


def standard_mask(path: Path, spacing: float = 2.0) -> Image:
    """A lesion mask in MNI152 space as share of voxels, uint8 in 255ths, on a RAS grid of `spacing` mm around it."""
    stored = nib.load(path)
    mask = Image(np.asarray(stored.dataobj) > 0, np.asarray(stored.affine, float))
    where = np.argwhere(mask.data)
    if not len(where):
        raise ConfigError(f"{path}: an empty mask has no shape")
    low, high = np.maximum(where.min(axis=0) - 4, 0), np.minimum(where.max(axis=0) + 5, mask.data.shape)
    part = mask.data[tuple(map(slice, low, high))].astype(np.float32)
    box = crop(mask.grid, low, high)
    shares = resample(Image(part, box.affine), ras_grid(box, spacing))
    return Image(np.rint(np.clip(shares.data, 0.0, 1.0) * 255).astype(np.uint8), shares.affine)
