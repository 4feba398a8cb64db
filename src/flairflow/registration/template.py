"""FLAIR -> MNI152: affine or SyN. The template is the one inside nilearn's wheel, so nothing is ever downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from scipy import ndimage

from flairflow.files import atomic
from flairflow.images.ants import FLIP
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import ras_grid, resample
from flairflow.images.transforms import write_transform
from flairflow.registration.ants_registration import Warp, deform, optimise
from flairflow.registration.pose import (
    Sample,
    centre_of_tissue,
    coarse_image,
    correlation,
    find_pose,
    sample_region,
    seeded_starts,
    values_at,
    working_image,
)
from flairflow.registration.template_brain import refined_brain

TEMPLATE = "MNI152"

# Correlation in the brain with the template: two blobs of a head's size reach the first, good scans the second.
CHANCE, GOOD = 0.3, 0.8

# Heads are smaller than this template, a small, atrophied brain by up to a quarter. A search that starts at its size
# alone takes the scalp for the brain's surface where the space between them is wide.
SCALES = (0.78, 1.1)

# Percentile of a head's intensities at which they are cut: a scalp brighter than the brain outweighs it.
CEILING = 60.0


@dataclass(frozen=True, eq=False)
class TemplateAlignment:
    """How a FLAIR lies to the template.

    matrix  : 4x4 from RAS points of the template to those of the FLAIR (mm).
    quality : 0..1, the correlation of the FLAIR with a FLAIR-like template inside the brain at 5 mm, scaled from what
              any bright ball reaches (0.3; upside-down heads 0.4) to that of good scans (0.8). Under 0.25 it is wrong.
    starts  : how many initial poses were tried.
    warp    : SyN's displacements, which refine the matrix.
    """

    matrix: Array
    quality: float
    starts: int
    warp: Warp | None = None

    def save(self, prefix: Path, source: str) -> dict[str, Path]:
        """Write what ANTs needs to carry images between `source` and the template; the files by role.

        `antsApplyTransforms -t warp -t affine` brings the scan to the template; `-t [affine,1] -t inverse_warp` back.
        """
        forward, backward = f"from-{source}_to-{TEMPLATE}", f"from-{TEMPLATE}_to-{source}"
        files = {"to_template": prefix.with_name(f"{prefix.name}{forward}_mode-image_xfm.txt")}
        write_transform(files["to_template"], self.matrix)
        if self.warp is not None:
            for role, name, field in (
                ("template_warp", forward, self.warp.forward),
                ("template_inverse_warp", backward, self.warp.inverse),
            ):
                files[role] = prefix.with_name(f"{prefix.name}{name}_desc-warp_mode-image_xfm.nii.gz")
                _write_displacements(files[role], field, self.warp.affine)
        return files


def align_to_template(
    flair: Image, *, kind: Literal["affine", "syn"], resolution: float = 2.0, seed: int, minimum_quality: float
) -> TemplateAlignment:
    """Align a FLAIR (X, Y, Z), full-head or skull-stripped, in any pose, to the template: where its brain is not known.

    resolution      : voxel size in mm of the images that ANTs sees.
    minimum_quality : when the first few hundred initial poses give less, thousands more in all directions are tried.
                      The best is returned whatever its quality; the caller judges.
    The same seed and number of threads give the same result; more threads change its last digits. Raises ScanError when
    ITK fails.
    """
    template = load_template(resolution)
    moving = working_image(flair, resolution, CEILING)
    coarse = coarse_image(moving)
    tissue, middle = centre_of_tissue(coarse), template.brain.points.mean(axis=0)

    def attempt(count: int, widest: float, climbs: int) -> Array:
        starts = seeded_starts(tissue, middle, seed=seed, count=count, widest=widest, scales=SCALES)
        pose = find_pose(coarse, template.head, correlation, starts=starts, climbs=climbs, scaling=True)
        return optimise(moving, template.image, template.region, pose, kind="Affine", seed=seed, share=0.25)

    starts = 300
    matrix = attempt(starts, 15.0, climbs=2)
    if quality(coarse, template.brain, matrix) < minimum_quality:
        starts += 2000
        again = attempt(2000, 90.0, climbs=3)
        matrix = max((matrix, again), key=lambda matrix: quality(coarse, template.brain, matrix))
    warp = deform(moving, template.image, template.region, matrix, seed=seed) if kind == "syn" else None
    return TemplateAlignment(matrix, quality(coarse, template.brain, matrix), starts, warp)


def template_brain_mask(alignment: TemplateAlignment, flair: Image, resolution: float = 2.0) -> Array:
    """The brain mask (X, Y, Z), bool, of an aligned FLAIR: the template's, refined by the FLAIR itself at `resolution`
    mm."""
    template, moving = load_template(resolution), working_image(flair, resolution, CEILING)
    brain = refined_brain(_template_brain(template.mask, alignment.matrix, alignment.warp, moving.grid), moving)
    # Half a coarse voxel at the border of the field of view lies beyond the centres of its voxels.
    padded = np.pad(brain.data, 1, mode="edge")
    affine = brain.affine.copy()
    affine[:3, 3] -= affine[:3, :3].sum(axis=1)
    mask: Array = resample(Image(padded, affine), flair.grid, cval=-1.0).data > 0
    return mask


@dataclass(frozen=True, eq=False)
class Template:
    """What is compared with a FLAIR. `head` samples `region`, the brain and 8 mm around it; `brain` the brain alone."""

    image: Image
    mask: Image
    region: Array
    head: Sample
    brain: Sample


@lru_cache(maxsize=2)
def load_template(resolution: float) -> Template:
    """The template as a FLAIR would show it, at `resolution` mm: grey matter a little brighter than white, CSF dark.

    A T1-weighted template has the opposite order; this one lets a plain correlation tell right from wrong poses. Around
    the brain there is nothing, as in skull-stripped scans; the skull of others, inside the region, is as dark.
    """
    from nilearn import datasets

    grey = datasets.load_mni152_gm_template(resolution=1)
    white = datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32)
    brain = datasets.load_mni152_brain_mask(resolution=1).get_fdata(dtype=np.float32)
    affine = np.asarray(grey.affine, float)
    contrast = np.maximum(0.25 * brain, grey.get_fdata(dtype=np.float32) + 0.8 * white)

    def on_grid(spacing: float) -> tuple[Image, Image, Array]:
        grid = ras_grid(Grid(contrast.shape, affine), spacing)
        mask = resample(Image(brain, affine), grid)
        near: Array = ndimage.distance_transform_edt(mask.data < 0.5, sampling=spacing) <= 8.0
        return resample(Image(contrast, affine), grid), mask, near

    image, mask, region = on_grid(resolution)
    coarse, coarse_mask, coarse_region = on_grid(max(5.0, resolution))
    return Template(
        image, mask, region, sample_region(coarse, coarse_region), sample_region(coarse, coarse_mask.data > 0.5)
    )


def quality(coarse: Image, brain: Sample, matrix: Array) -> float:
    """See `TemplateAlignment.quality`; of a FLAIR at 5 mm, the template's brain, and the matrix between the two."""
    values, inside = values_at(coarse, brain.points, matrix)
    # A slab is judged by what it shows, but a sliver of brain says nothing.
    if inside.mean() < 0.2:
        return 0.0
    found = correlation(brain.values[inside], values[inside])
    return float(np.clip((found - CHANCE) / (GOOD - CHANCE), 0.0, 1.0))


def _template_brain(mask: Image, matrix: Array, warp: Warp | None, grid: Grid) -> Array:
    """The template's brain mask (X, Y, Z), bool, on a grid over the FLAIR."""
    if warp is not None:
        voxels = np.indices(mask.data.shape).astype(np.float32)
        voxels += np.moveaxis(warp.inverse @ np.linalg.inv(mask.affine[:3, :3]).T, -1, 0)
        mask = Image(ndimage.map_coordinates(mask.data, voxels, order=1), mask.affine)
    moved: Array = resample(mask, grid, to_source=np.linalg.inv(matrix)).data > 0.5
    return moved


def _write_displacements(path: Path, field: Array, affine: Array) -> None:
    """Write displacements (X, Y, Z, 3) in RAS mm as ITK reads them: (X, Y, Z, 1, 3) in LPS mm, intent "vector"."""
    file = nib.Nifti1Image((field * np.diag(FLIP)[:3]).astype(np.float32)[:, :, :, np.newaxis], affine)
    file.header.set_intent("vector")
    file.header.set_xyzt_units("mm")
    with atomic(path) as partial:
        nib.save(file, partial)
