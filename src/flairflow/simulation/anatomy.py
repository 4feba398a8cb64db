"""A participant's head: tissues and lesions as shares of voxels, before any scanner has seen it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array, Grid, Image
from flairflow.simulation.fields import ramp, smooth_noise
from flairflow.simulation.lesions import Surroundings, draw_strokes, draw_wmh
from flairflow.simulation.template import load_template

# The head's field of view in its own space, mm: right-left, back-front, down-up.
LOW, HIGH = np.array([-108.0, -140.0, -116.0]), np.array([108.0, 112.0, 118.0])
TISSUES = ("grey", "white", "csf", "bone", "fat", "muscle")


@dataclass(frozen=True)
class Traits:
    """What a participant brings along.

    age     : years.      sex    : F or M.
    wmh_ml  : volume of white matter hyperintensities, ml; 0: none.
    strokes : number of ischaemic stroke lesions.
    chronic : whether these are old: with cavities as dark as CSF on FLAIR.
    """

    age: int
    sex: str
    wmh_ml: float
    strokes: int
    chronic: bool


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A head with lesions on an isotropic RAS grid, all maps float32 (X, Y, Z), shares of the voxel from 0 to 1.

    tissues : by name (TISSUES); what they leave of a voxel is air.
    lesions : by label; a lesion replaces the tissue under it. No two overlap.
    cavity  : the part of ISL that is fluid.
    """

    tissues: dict[str, Array]
    lesions: dict[str, Array]
    cavity: Array
    affine: Array


def make_anatomy(traits: Traits, seed: list[int], spacing: float, growth: float = 1.0) -> Anatomy:
    """A head with lesions on a grid of `spacing` mm; the same traits and seed give the same head.

    growth : factor on the WMH volume, and a little on stroke lesions, since the first session (1: first session).
    """
    generator = np.random.default_rng(seed)
    shape = np.ceil((HIGH - LOW) / spacing).astype(int)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = LOW + spacing / 2
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    points = _template_points(generator, grid, traits.age)
    template = load_template()
    grey, white = _sample(template.grey, points), _sample(template.white, points)
    # Shrunken brains in unshrunken skulls: the gap between brain and skull grows with age.
    outside = (
        _sample(template.outside, points, "nearest") - generator.uniform(0.0, 1.0) - 0.05 * max(traits.age - 45, 0)
    )
    ventricle = _sample(template.ventricle, points, "nearest")
    tissues = _wrap_head(generator, grey, white, outside, points, grid)

    around = Surroundings(grid, tissues["grey"], tissues["white"], -outside, ventricle, points)
    stroke, cavity = draw_strokes(generator, around, traits.strokes, traits.chronic, growth)
    wmh = draw_wmh(generator, around, traits.wmh_ml, growth) * (1.0 - stroke)
    return Anatomy(tissues, {"WMH": wmh, "ISL": stroke}, cavity, affine)


def _template_points(generator: np.random.Generator, grid: Grid, age: int) -> Array:
    """Where in the template (mm) each voxel of the grid comes from: float32 (3, X, Y, Z)."""
    axes = [np.arange(n) * grid.affine[i, i] + grid.affine[i, 3] for i, n in enumerate(grid.shape)]
    points = np.stack(np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij"))
    linear = np.diag(1.0 / np.clip(generator.normal(0.96, 0.035, 3), 0.88, 1.06))
    linear += np.clip(generator.normal(0.0, 0.015, (3, 3)), -0.03, 0.03) * (1 - np.eye(3))
    points = np.tensordot(linear.astype(np.float32), points, axes=1)
    for axis in range(3):
        points[axis] += 2.0 * smooth_noise(generator, grid, 35.0) + 0.8 * smooth_noise(generator, grid, 14.0)
    # Points are pulled towards the ventricles' middle, so that these appear larger, more so in the old.
    centre = np.array([0.0, -12.0, 14.0], np.float32)[:, None, None, None]
    pull = np.clip(generator.normal(0.06 + 0.006 * (age - 45), 0.08), -0.08, 0.42)
    offset = (points - centre) / np.array([22.0, 38.0, 22.0], np.float32)[:, None, None, None]
    points -= (points - centre) * (pull * np.exp(-0.5 * (offset**2).sum(axis=0))).astype(np.float32)
    return points


def _sample(image: Image, points: Array, mode: str = "constant") -> Array:
    """Linear interpolation of a map with a diagonal affine at world points (3, X, Y, Z): float32 (X, Y, Z)."""
    scale, origin = np.diag(image.affine)[:3], image.affine[:3, 3]
    voxels = [(points[i] - np.float32(origin[i])) / np.float32(scale[i]) for i in range(3)]
    return np.asarray(ndimage.map_coordinates(image.data, voxels, np.float32, order=1, mode=mode))


def _wrap_head(
    generator: np.random.Generator, grey: Array, white: Array, outside: Array, points: Array, grid: Grid
) -> dict[str, Array]:
    """Fluid, skull, scalp, face and neck around the brain: share of every tissue, float32 (X, Y, Z)."""
    width = max(1.5, float(grid.spacing[0]))
    brain = np.clip(grey + white, 0.0, 1.0)
    skull = generator.uniform(3.5, 6.0) + 0.8 * smooth_noise(generator, grid, 25.0)
    scalp = skull + generator.uniform(4.0, 7.0) + 0.8 * smooth_noise(generator, grid, 30.0)
    within_hull, within_skull, within_scalp = (
        ramp(-outside, width),
        ramp(skull - outside, width),
        ramp(scalp - outside, width),
    )
    x, y, z = points
    face = 50.0 * (1.0 - np.sqrt((x / 62) ** 2 + ((y - 38) / 50) ** 2 + ((z + 75) / 62) ** 2))
    neck = np.minimum(60.0 * (1.0 - np.sqrt((x / 58) ** 2 + ((y + 28) / 62) ** 2)), -48.0 - z)
    depth = np.maximum(face, neck)
    body, deep = ramp(depth, width), ramp(depth - 5.0 - 2.0 * smooth_noise(generator, grid, 12.0), 3.0)
    eyes = ramp(12.0 - np.sqrt((np.abs(x) - 32) ** 2 + (y - 66) ** 2 + (z + 38) ** 2), width) * (1.0 - within_skull)
    streaks = ramp(smooth_noise(generator, grid, 7.0) - 0.8, 1.0) * deep
    beyond = 1.0 - within_skull - eyes
    muscle = np.clip(np.minimum(beyond, deep - streaks), 0.0, 1.0)
    fat = np.clip(np.maximum(within_scalp - within_skull, np.minimum(body, beyond)) - muscle - eyes, 0.0, 1.0)
    csf = np.clip(within_hull - brain, 0.0, 1.0)
    bone = np.clip(within_skull - np.maximum(within_hull, brain), 0.0, 1.0)
    maps = (grey, white, csf + eyes, bone, fat, muscle)
    return {name: share.astype(np.float32) for name, share in zip(TISSUES, maps, strict=True)}
