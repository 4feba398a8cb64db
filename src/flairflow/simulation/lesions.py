"""Where lesions grow: white matter hyperintensities (WMH) along the ventricles and as spots, stroke lesions (ISL).

A lesion is a *reach*: a field in mm, positive inside, that falls off like a distance. To grow is to add to the reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flairflow.images.grid import Array, Grid
from flairflow.simulation.fields import ramp, smooth_noise

EDGE = 1.5  # mm over which a lesion fades


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What decides where lesions grow, all float32 (X, Y, Z).

    grey, white : share of the voxel.      depth : mm below the hull of the brain.
    ventricle   : mm from the lateral ventricles.
    points      : template coordinates of each voxel, mm (3, X, Y, Z).
    """

    grid: Grid
    grey: Array
    white: Array
    depth: Array
    ventricle: Array
    points: Array


def draw_wmh(generator: np.random.Generator, around: Surroundings, volume: float, growth: float) -> Array:
    """Caps and bands along the ventricles and deep spots, grown until they fill `volume` * `growth` ml.

    Large volumes flow together. Returns the share of each voxel, float32 (X, Y, Z).
    """
    share = np.zeros(around.grid.shape, np.float32)
    if volume == 0:
        return share
    where = (around.white > 0.3) & (around.ventricle < 40) & (around.depth > 4)
    x, y, z = around.points[:, where]
    caps = np.exp(-(((y - 30) / 10) ** 2)) + 0.8 * np.exp(-(((y + 42) / 12) ** 2))
    rough = smooth_noise(generator, around.grid, 5.0)[where]
    near = generator.uniform(2.0, 4.5) + 3.0 * caps + 2.0 * smooth_noise(generator, around.grid, 14.0)[where]
    # The corpus callosum lies along the ventricles too, but is spared.
    callosum = np.maximum(14.0 - np.abs(x), 0.0)
    reach = np.where(z > -8, near - around.ventricle[where] - callosum, -np.inf)

    millimetres = _millimetres(around.grid, where)
    candidates = np.flatnonzero(
        (around.white[where] > 0.9) & (around.ventricle[where] > 6) & (around.depth[where] > 9) & (z > -5)
    )
    spots = min(int(generator.poisson(4 + 1.5 * volume)), 60)
    # Drawn first and all at once: the spots of a session are those of the one before.
    for place, radius in zip(generator.random(spots), generator.lognormal(np.log(2.2), 0.35, spots), strict=True):
        centre = millimetres[candidates[int(place * len(candidates))]]
        reach = np.maximum(reach, radius - np.linalg.norm(millimetres - centre, axis=1))
    reach = reach + 0.7 * rough

    white = around.white[where]
    low, high = float(reach[np.isfinite(reach)].min()), float(reach.max()) + EDGE
    for _ in range(25):
        middle = (low + high) / 2
        if float((ramp(reach - middle, EDGE) * white).sum()) * around.grid.voxel_ml > volume * growth:
            low = middle
        else:
            high = middle
    share[where] = ramp(reach - high, EDGE) * white
    return share


def draw_strokes(
    generator: np.random.Generator, around: Surroundings, count: int, chronic: bool, growth: float
) -> tuple[Array, Array]:
    """Stroke lesions, wedges that reach the cortex or small deep ones, and their cavities when `chronic`.

    Returns the lesions' and the cavities' shares of each voxel, float32 (X, Y, Z); cavities are part of the lesions.
    """
    share, cavity = np.zeros(around.grid.shape, np.float32), np.zeros(around.grid.shape, np.float32)
    where = (around.grey + around.white > 0.2) & (around.points[2] > -50)
    millimetres = _millimetres(around.grid, where)
    tissue = np.clip(around.grey + around.white, 0.0, 1.0)[where]
    rough = smooth_noise(generator, around.grid, 9.0)[where]
    for _ in range(count):
        draw = _wedge if generator.random() < 0.55 else _lacune
        reach = draw(generator, around, where, millimetres, rough) + 2.0 * (growth - 1.0)
        share[where] = np.maximum(share[where], ramp(reach, EDGE) * tissue)
        hollow = generator.uniform(2.5, 6.0)  # mm of bright rim around the cavity
        if chronic:
            cavity[where] = np.maximum(cavity[where], ramp(reach - hollow, EDGE) * tissue)
    return share, cavity


def _wedge(
    generator: np.random.Generator, around: Surroundings, where: Array, millimetres: Array, rough: Array
) -> Array:
    """Reach (mm) of an infarct of a cortical branch: a cone from deep white matter that opens to the surface."""
    depth, template = around.depth[where], around.points[:, where]
    surface = (around.grey[where] > 0.5) & (depth > 2) & (depth < 7) & (np.abs(template[0]) > 15) & (template[2] > -25)
    place = generator.choice(np.flatnonzero(surface))
    side = np.sign(template[0, place])
    middle = np.array([side * 22.0, 0.45 * template[1, place] - 8.0, 16.0])
    axis = millimetres[place] - middle
    length = min(float(np.linalg.norm(axis)), generator.uniform(25.0, 45.0))
    axis /= np.linalg.norm(axis)
    angle = np.deg2rad(generator.uniform(13.0, 30.0))
    from_apex = millimetres - (millimetres[place] - length * axis)
    along = from_apex @ axis
    across = np.sqrt(np.maximum((from_apex**2).sum(axis=1) - along**2, 0.0))
    cone = along * np.sin(angle) - across * np.cos(angle)
    reach: Array = np.minimum(cone, along - 0.3 * length) + 2.0 * rough
    return reach


def _lacune(
    generator: np.random.Generator, around: Surroundings, where: Array, millimetres: Array, rough: Array
) -> Array:
    """Reach (mm) of a small deep infarct: an ellipsoid of 6 to 20 mm in basal ganglia, thalamus or white matter."""
    template = around.points[:, where]
    deep = (
        (np.abs(template[0]) > 6)
        & (np.abs(template[0]) < 36)
        & (np.abs(template[1] + 8) < 32)
        & (template[2] > -14)
        & (template[2] < 32)
    )
    grey = around.grey[where] > 0.5
    preferred = deep & (around.depth[where] > 24) & (grey if generator.random() < 0.7 else ~grey)
    centre = millimetres[generator.choice(np.flatnonzero(preferred))]
    radii = generator.uniform(3.5, 7.0) * generator.uniform(0.8, 1.7, 3)
    distance = np.sqrt((((millimetres - centre) / radii) ** 2).sum(axis=1))
    reach: Array = (1.0 - distance) * radii.min() + 0.7 * rough
    return reach


def _millimetres(grid: Grid, where: Array) -> Array:
    """World coordinates (N, 3), mm, of the voxels where a mask (X, Y, Z) is set."""
    points: Array = np.argwhere(where) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return points
