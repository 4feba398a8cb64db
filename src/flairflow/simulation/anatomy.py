"""A participant's head: tissues and lesions as shares of voxels, before any scanner has seen it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array, Grid, Image
from flairflow.simulation.fields import ramp, smooth_noise
from flairflow.simulation.strokes import draw_strokes
from flairflow.simulation.surroundings import Surroundings
from flairflow.simulation.template import load_template
from flairflow.simulation.wmh import draw_wmh

# The head's field of view in its own space, mm: right-left, back-front, down-up.
LOW, HIGH = np.array([-108.0, -140.0, -116.0]), np.array([108.0, 112.0, 118.0])
TISSUES = ("grey", "deep", "white", "csf", "choroid", "lining", "bone", "fat", "muscle")


@dataclass(frozen=True)
class Traits:
    """What a participant brings along.

    age     : years.      sex : F or M.
    wmh_ml  : volume of white matter hyperintensities, ml; 0: none.
    acute   : number of recent ischaemic stroke lesions.
    chronic : number of old ones: with cavities as dark as CSF on FLAIR and a bright rim.
    """

    age: int
    sex: str
    wmh_ml: float
    acute: int
    chronic: int


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A head with lesions on an isotropic RAS grid, all maps float32 (X, Y, Z), shares of the voxel from 0 to 1.

    tissues   : by name (TISSUES); what they leave of a voxel is air. `deep` is grey matter of basal ganglia and
                thalamus, `lining` the septum pellucidum and the ventricles' wall.
    lesions   : by label, WMH, ISL and cavity; a lesion replaces the tissue under it. WMH and ISL do not overlap, cavity
                is the part of ISL that is fluid.
    halos     : by label, WMH and ISL: the lesion and where tissue around it is slightly brighter than it should be.
    vividness : how far the lesion at a voxel stands out, 1 being usual; 0 to about 1.5.
    flow      : where CSF moves so fast that FLAIR may fail to suppress it.
    bright    : where cortex is brighter than elsewhere in everybody: insula, cingulum, mesial temporal lobe.
    """

    tissues: dict[str, Array]
    lesions: dict[str, Array]
    halos: dict[str, Array]
    vividness: Array
    flow: Array
    bright: Array
    affine: Array


def make_anatomy(traits: Traits, seed: list[int], spacing: float, growth: float = 1.0) -> Anatomy:
    """A head with lesions on a grid of `spacing` mm; the same traits and seed give the same head.

    growth : factor on the lesions' volumes since the first session (1: first session).
    """
    generator = np.random.default_rng(seed)
    shape = np.ceil((HIGH - LOW) / spacing).astype(int)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = LOW + spacing / 2
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    points = _template_points(generator, grid, traits.age)
    template = load_template()
    # Shrunken brains in unshrunken skulls: the gap between brain and skull grows with age.
    gap = generator.uniform(0.0, 1.0) + 0.05 * max(traits.age - 45, 0)
    outside = _sample(template.outside, points.reshape(3, -1), "nearest").reshape(grid.shape) - np.float32(gap)
    where = outside < 2.0 - gap
    within = points[:, where]
    ventricle = _sample(template.ventricle, within, "nearest")
    brain = _brain_tissues(generator, within, ventricle, -outside[where], traits.age, grid, where)
    tissues = _wrap_head(generator, brain, where, outside, points, grid)

    around = Surroundings(grid, where, brain["grey"], brain["deep"], brain["white"], -outside[where], ventricle, within)
    strokes = draw_strokes(generator, around, traits.acute, traits.chronic, growth)
    wmh = draw_wmh(generator, around, traits.wmh_ml, growth)
    free = 1.0 - strokes.share
    vividness = np.where(strokes.share > 0, strokes.vividness, wmh.vividness)
    x, y, z = within
    return Anatomy(
        tissues,
        {
            "WMH": around.spread(wmh.share * free),
            "ISL": around.spread(strokes.share),
            "cavity": around.spread(strokes.cavity),
        },
        {"WMH": around.spread(wmh.halo * free), "ISL": around.spread(strokes.halo)},
        around.spread(vividness),
        around.spread(flow_region(x, y, z)),
        around.spread(bright_cortex(x, y, z)),
        affine,
    )


def _template_points(generator: np.random.Generator, grid: Grid, age: int) -> Array:
    """Where in the template (mm) each voxel of the grid comes from: float32 (3, X, Y, Z)."""
    points = np.stack(np.meshgrid(*(_axis(grid, i) for i in range(3)), indexing="ij"))
    linear = np.diag(1.0 / np.clip(generator.normal(0.96, 0.035, 3), 0.88, 1.06))
    linear += np.clip(generator.normal(0.0, 0.015, (3, 3)), -0.03, 0.03) * (1 - np.eye(3))
    points = np.tensordot(linear.astype(np.float32), points, axes=1)
    # Coarse: the shape of the head. Fine: the course of the gyri, which is anybody's own.
    for axis in range(3):
        points[axis] += 2.5 * smooth_noise(generator, grid, 50.0) + 1.1 * smooth_noise(generator, grid, 13.0)
    # Points are pulled towards the ventricles' middle, so that these appear larger, more so in the old.
    centre = np.array([0.0, -12.0, 14.0], np.float32)[:, None, None, None]
    pull = np.clip(generator.normal(0.02 + 0.008 * (age - 45), 0.08), -0.10, 0.46)
    offset = (points - centre) / np.array([22.0, 38.0, 22.0], np.float32)[:, None, None, None]
    weight = np.float32(pull) * np.exp(-0.5 * (offset**2).sum(axis=0))
    # Not so the cisterns behind the third ventricle, between the two.
    weight *= 1.0 - 0.8 * np.exp(-((points[0] / 8) ** 2)) * ramp(-22.0 - points[1], 16.0)
    points -= (points - centre) * weight
    return points


def _axis(grid: Grid, axis: int) -> Array:
    """World coordinate (mm) of each voxel along an axis, float32."""
    return np.asarray(np.arange(grid.shape[axis]) * grid.affine[axis, axis] + grid.affine[axis, 3], np.float32)


def _sample(image: Image, points: Array, mode: str = "constant") -> Array:
    """Linear interpolation of a map with a diagonal affine at world points (3, N): float32 (N,)."""
    scale, origin = np.diag(image.affine)[:3], image.affine[:3, 3]
    voxels = [(points[i] - np.float32(origin[i])) / np.float32(scale[i]) for i in range(3)]
    return np.asarray(ndimage.map_coordinates(image.data, voxels, np.float32, order=1, mode=mode))


def _brain_tissues(
    generator: np.random.Generator, points: Array, ventricle: Array, depth: Array, age: int, grid: Grid, where: Array
) -> dict[str, Array]:
    """Shares of the tissues within the hull, by name, each (N,), at the voxels `where`.

    The average brain of the template has soft borders; a person has sharp ones. Its maps are taken as levels and cut,
    the fluid the lower the older: atrophy widens the sulci.
    """
    template = load_template()
    grey, white, fluid = (_sample(image, points) for image in (template.grey, template.white, template.fluid))
    x, y, z = points
    # Not every sulcus is as wide as the next.
    usual = generator.normal(0.56 - 0.006 * (age - 45), 0.05)
    cut = np.clip(usual + 0.07 * smooth_noise(generator, grid, 18.0)[where], 0.26, 0.75)
    fluid = np.where(ventricle < 4.0, 1.0 - grey - white, fluid)
    csf = np.clip((fluid - np.where(ventricle < 4.0, 0.5, cut)) * 2.0 + 0.5, 0.0, 1.0)
    parenchyma = 1.0 - csf
    white = np.clip((white - 0.5 * (grey + white)) * 2.2 + 0.5, 0.0, 1.0) * parenchyma
    grey = parenchyma - white
    # Basal ganglia and thalamus, and what of the brain stem the template calls grey.
    ganglia = 1.0 - np.sqrt((x / 34) ** 2 + ((y + 6) / 38) ** 2 + ((z - 4) / 24) ** 2)
    stem = 1.0 - np.sqrt((x / 20) ** 2 + ((y + 27) / 17) ** 2 + ((z + 30) / 26) ** 2)
    inner = ramp(25.0 * np.maximum(ganglia, stem), 4.0)
    # Choroid plexus: in the floor of the bodies and in the trigones, where it is thickest.
    trigone = np.exp(-(((np.abs(x) - 22) / 6) ** 2) - ((y + 38) / 8) ** 2 - ((z - 8) / 8) ** 2)
    body = 0.5 * np.exp(-(((np.abs(x) - 7) / 4) ** 2) - ((y + 12) / 20) ** 2 - ((z - 13) / 4) ** 2)
    lumps = smooth_noise(generator, grid, 3.5)[where]
    size = generator.uniform(0.3, 1.0)
    choroid = csf * ramp(3.0 * (trigone + body) - 3.0 + 1.6 * size + 0.5 * lumps, 1.0) * (ventricle < 1.5)
    # The septum is thinner than a voxel, the ventricles' wall about one millimetre.
    septum = 0.7 * np.exp(-((x / 0.9) ** 2)) * (ventricle < 4) * ((y > -12) & (y < 30) & (z > 0)) * csf
    wall = np.exp(-(((ventricle - 0.8) / 0.9) ** 2)) * np.clip(white, 0.0, 1.0) * (np.abs(x) < 40)
    rest = 1.0 - np.maximum(choroid, septum)
    return {
        "grey": grey * (1.0 - inner),
        "deep": grey * inner,
        "white": white * (1.0 - wall),
        "csf": csf * rest,
        "choroid": choroid,
        "lining": np.where(choroid > septum, 0.0, septum) + white * wall,
    }


def flow_region(x: Array, y: Array, z: Array) -> Array:
    """Third and fourth ventricle, foramina of Monro, and the cisterns around the brain stem: 0 to 1."""
    third = np.exp(-((x / 5) ** 2) - ((y + 8) / 16) ** 2 - ((z + 2) / 9) ** 2)
    fourth = np.exp(-((x / 9) ** 2) - ((y + 42) / 8) ** 2 - ((z + 32) / 14) ** 2)
    cisterns = np.exp(-((x / 22) ** 2) - ((y + 10) / 18) ** 2 - ((z + 30) / 16) ** 2)
    monro = np.exp(-(((np.abs(x) - 5) / 5) ** 2) - ((y - 6) / 10) ** 2 - ((z - 8) / 7) ** 2)
    region: Array = np.maximum(np.maximum(third, fourth), np.maximum(0.6 * cisterns, 0.7 * monro))
    return region


def bright_cortex(x: Array, y: Array, z: Array) -> Array:
    """Insula, cingulum and mesial temporal lobe: 0 to 1."""
    insula = np.exp(-(((np.abs(x) - 38) / 6) ** 2) - ((y - 4) / 18) ** 2 - ((z - 2) / 12) ** 2)
    cingulum = np.exp(-((x / 8) ** 2) - ((z - 32 + 0.006 * (y + 5) ** 2) / 10) ** 2)
    temporal = np.exp(-(((np.abs(x) - 24) / 9) ** 2) - ((y + 14) / 16) ** 2 - ((z + 20) / 10) ** 2)
    region: Array = np.maximum(insula, np.maximum(0.8 * cingulum, temporal))
    return region


def _wrap_head(
    generator: np.random.Generator, brain: dict[str, Array], where: Array, outside: Array, points: Array, grid: Grid
) -> dict[str, Array]:
    """Fluid, skull, scalp, face and neck around the brain: share of every tissue, float32 (X, Y, Z)."""
    width = max(1.5, float(grid.spacing[0]))
    skull = generator.uniform(3.5, 6.0) + 0.8 * smooth_noise(generator, grid, 25.0)
    scalp = skull + generator.uniform(3.0, 6.0) + 0.7 * smooth_noise(generator, grid, 40.0)
    within_hull, within_skull, within_scalp = (
        ramp(-outside, width),
        ramp(skull - outside, width),
        ramp(scalp - outside, width),
    )
    fat, muscle, eyes = within_scalp - within_skull, np.zeros_like(outside), np.zeros_like(outside)
    # Face and neck, below the middle of the head.
    low = (..., slice(0, int(np.searchsorted(_axis(grid, 2), 10.0))))
    x, y, z = points[low]
    face = 50.0 * (1.0 - np.sqrt((x / 62) ** 2 + ((y - 38) / 50) ** 2 + ((z + 75) / 62) ** 2))
    neck = np.minimum(60.0 * (1.0 - np.sqrt((x / 58) ** 2 + ((y + 28) / 62) ** 2)), -48.0 - z)
    depth = np.maximum(face, neck)
    body, deep = ramp(depth, width), ramp(depth - 5.0 - 2.0 * smooth_noise(generator, grid, 12.0)[low], 3.0)
    eyes[low] = ramp(12.0 - np.sqrt((np.abs(x) - 32) ** 2 + (y - 66) ** 2 + (z + 38) ** 2), width)
    eyes[low] *= 1.0 - within_skull[low]
    streaks = ramp(smooth_noise(generator, grid, 7.0)[low] - 0.8, 1.0) * deep
    beyond = 1.0 - within_skull[low] - eyes[low]
    muscle[low] = np.clip(np.minimum(beyond, deep - streaks), 0.0, 1.0)
    fat[low] = np.clip(np.maximum(fat[low], np.minimum(body, beyond)) - muscle[low] - eyes[low], 0.0, 1.0)
    # Marrow between the two tables of the skull.
    marrow = 0.35 * np.clip(1.0 - (outside / skull - 0.5) ** 2 / 0.06, 0.0, 1.0) * (skull > 4.0)
    bone = np.clip(within_skull - within_hull, 0.0, 1.0)
    tissues = {"bone": bone * (1.0 - marrow), "fat": fat + bone * marrow, "muscle": muscle}
    hull = within_hull[where]
    for name, share in brain.items():
        tissues[name] = np.zeros(grid.shape, np.float32)
        tissues[name][where] = share * hull
    tissues["csf"] += eyes
    return {name: tissues[name].astype(np.float32, copy=False) for name in TISSUES}
