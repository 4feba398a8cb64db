"""Label maps of whole heads, and what is worked out of each once: brain, distances, coordinates in the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from flairflow.errors import ConfigError
from flairflow.files import atomic
from flairflow.images.grid import Array, Image
from flairflow.simulation.heads.anatomies import BRAIN, NAMES, TISSUES, WHITE, Anatomy, build_anatomy, coordinates


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


def _work_out(path: Path) -> Anatomy:
    image = nib.as_closest_canonical(nib.load(path))
    labels = np.asarray(image.dataobj).astype(np.int16)
    low, high = (ends(np.argwhere(labels > 0), axis=0) for ends in (np.min, np.max))
    labels = np.pad(labels[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))], 4)
    table = np.full(max(1024, int(labels.max()) + 1), NAMES.index("soft tissue"), np.uint8)
    for number, values in enumerate(TISSUES.values()):
        table[list(values)] = number
    tissues = table[labels]
    return build_anatomy(tissues, _template_coordinates(tissues[::2, ::2, ::2]))


def _template_coordinates(tissues: Array) -> Array:
    """MNI152 coordinates (3, x, y, z) of every voxel of a map at 2 mm, by a deformable registration (SyN) of tissues.

    Outside the brain they go on from its nearest voxel; nothing is placed there.
    """
    import ants

    from flairflow.images.ants import to_ants
    from flairflow.registration.template import load_template

    def contrast(groups: Sequence[tuple[tuple[int, ...], float]]) -> Array:
        levels = np.zeros(len(NAMES), np.float32)
        for members, level in groups:
            levels[list(members)] = level
        return levels[tissues]

    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    fluid = tuple(NAMES.index(name) for name in ("ventricle", "third ventricle", "fourth ventricle", "csf"))
    head = Image(contrast([(BRAIN, 1.0), (WHITE, 0.8), (fluid, 0.25)]), affine)
    template = load_template(2.0).image
    fixed, moving = to_ants(head), to_ants(template)
    found = ants.registration(fixed, moving, type_of_transform="SyN", reg_iterations=(40, 30, 10), random_seed=1)
    points = coordinates(template.grid)
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
