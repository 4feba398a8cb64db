"""Label maps of whole heads, and what is worked out of each once: brain, distances, coordinates in the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from flairflow.errors import ConfigError
from flairflow.files import atomic
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


def load_anatomies(folder: Path, cache: Path) -> list[Anatomy]:
    """The label maps `*.nii.gz` of a folder; what was worked out of them before is read from the folder `cache`.

    The first time takes about a minute a head. Raises ConfigError where there is none.
    """
    paths = sorted(folder.glob("*.nii.gz"))
    if not paths:
        raise ConfigError(f"anatomies: no label map (*.nii.gz) in {folder}")
    return [load_anatomy(path, cache) for path in paths]


def load_anatomy(path: Path, cache: Path) -> Anatomy:
    """One label map, from the cache where it is there."""
    kept = cache / f"{path.name.removesuffix('.nii.gz')}.npz"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        anatomy = _work_out(path)
        with atomic(kept) as partial, partial.open("wb") as file:
            np.savez(file, **{field.name: getattr(anatomy, field.name) for field in fields(anatomy)})
    with np.load(kept, allow_pickle=False) as stored:
        return Anatomy(**{field.name: stored[field.name] for field in fields(Anatomy)})


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
    x, y, z = (axis.astype(np.float32) for axis in _coordinates(grid))
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
    return _anatomy(tissues, coarse)


def _work_out(path: Path) -> Anatomy:
    image = nib.as_closest_canonical(nib.load(path))
    labels = np.asarray(image.dataobj).astype(np.int16)
    low, high = (ends(np.argwhere(labels > 0), axis=0) for ends in (np.min, np.max))
    labels = np.pad(labels[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))], 4)
    table = np.full(max(1024, int(labels.max()) + 1), NAMES.index("soft tissue"), np.uint8)
    for number, values in enumerate(TISSUES.values()):
        table[list(values)] = number
    tissues = table[labels]
    return _anatomy(tissues, _template_coordinates(tissues[::2, ::2, ::2]))


def _anatomy(tissues: Array, template: Array) -> Anatomy:
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


def _coordinates(grid: Grid) -> Array:
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


def _template_coordinates(tissues: Array) -> Array:
    """MNI152 coordinates (3, x, y, z) of every voxel of a map at 2 mm, by a deformable registration (SyN) of tissues.

    Outside the brain they go on from its nearest voxel; nothing is placed there.
    """
    import ants

    from flairflow.images.ants import to_ants
    from flairflow.registration.template import load_template as load_flair_template

    def contrast(groups: Sequence[tuple[tuple[int, ...], float]]) -> Array:
        levels = np.zeros(len(NAMES), np.float32)
        for members, level in groups:
            levels[list(members)] = level
        return levels[tissues]

    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    fluid = tuple(NAMES.index(name) for name in ("ventricle", "third ventricle", "fourth ventricle", "csf"))
    head = Image(contrast([(BRAIN, 1.0), (WHITE, 0.8), (fluid, 0.25)]), affine)
    template = load_flair_template(2.0).image
    fixed, moving = to_ants(head), to_ants(template)
    found = ants.registration(fixed, moving, type_of_transform="SyN", reg_iterations=(40, 30, 10), random_seed=1)
    points = _coordinates(template.grid)
    carried = np.stack(
        [
            ants.apply_transforms(
                fixed,
                to_ants(Image(axis.astype(np.float32), template.affine)),
                found["fwdtransforms"],
                defaultvalue=999.0,
            ).numpy()
            for axis in points
        ]
    )
    outside = (np.abs(carried) > 200).any(axis=0)
    nearest = ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True)
    filled: Array = carried[(slice(None), *nearest)]
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
