"""Ischaemic stroke lesions (ISL): wedges of cortical branches and small deep infarcts, recent or old."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array
from flairflow.simulation.fields import ramp
from flairflow.simulation.surroundings import EDGE, Lesions, Surroundings, grow

# How often each artery is the one, of cortical infarcts.
ARTERIES = {"middle": 0.68, "posterior": 0.17, "anterior": 0.09, "cerebellar": 0.06}


def draw_strokes(
    generator: np.random.Generator, around: Surroundings, acute: int, chronic: int, growth: float
) -> Lesions:
    """Recent and old strokes, each about half of the times cortical, else deep; `growth` is a factor on their volumes.

    Old ones have a cavity; the rim it leaves is bright and takes a tenth to nearly half of the lesion's depth.
    """
    tissue = np.clip(around.grey + around.deep + around.white, 0.0, 1.0)
    share, cavity, halo, vividness = (np.zeros_like(tissue) for _ in range(4))
    rough, fine = around.noise(generator, 9.0), around.noise(generator, 4.0)
    for number in range(acute + chronic):
        old = number >= acute
        draw = _cortical if generator.random() < 0.55 else _deep
        reach, volume = draw(generator, around, rough)
        reach = grow(reach + 0.5 * fine, tissue, volume * growth, around.grid.voxel_ml)
        this = ramp(reach, EDGE) * tissue
        glow = generator.lognormal(0.0, 0.16) * (0.8 if old else 1.0)
        vividness = np.where(this > share, glow, vividness)
        share = np.maximum(share, this)
        halo = np.maximum(halo, np.clip(1.0 + reach / generator.uniform(1.0, 4.0), 0.0, 1.0) * tissue)
        hollow = generator.uniform(0.1, 0.45)
        if old:
            inside = ramp(reach + 0.6 * fine - hollow * float(reach.max()), EDGE) * tissue
            cavity = np.maximum(cavity, np.minimum(inside, this))
    return Lesions(share, cavity, halo, vividness)


def _cortical(generator: np.random.Generator, around: Surroundings, rough: Array) -> tuple[Array, float]:
    """Reach (mm) and volume (ml) of an infarct of a cortical branch: a wedge from the depth that opens to the surface
    and ends where the territory of the artery ends."""
    x, y, z = around.points
    artery = str(generator.choice(list(ARTERIES), p=list(ARTERIES.values())))
    side = 1.0 if generator.random() < 0.5 else -1.0
    territory = _territory(artery, side * x, y, z)
    surface = (around.grey > 0.5) & (around.depth > 1.5) & (around.depth < 9) & (territory > 6)
    place = generator.choice(np.flatnonzero(surface))
    volume = float(np.clip(generator.lognormal(np.log(9.0), 1.1), 0.8, 110.0))
    if artery != "middle":
        volume = min(volume, 40.0)
    angle = np.deg2rad(generator.uniform(20.0, 38.0))
    # A cone of this length and angle has this volume; only its upper part counts as wedge.
    length = 10.0 * np.cbrt(3.0 * 1.3 * volume / (np.pi * np.tan(angle) ** 2)) + 2.0
    apex = np.array([side * 20.0, 0.45 * y[place] - 8.0, 14.0 if artery != "cerebellar" else -32.0])
    axis = around.millimetres[place] - apex
    axis /= np.linalg.norm(axis)
    from_apex = around.millimetres - (around.millimetres[place] - length * axis).astype(np.float32)
    along = from_apex @ axis.astype(np.float32)
    across = np.sqrt(np.maximum((from_apex**2).sum(axis=1) - along**2, 0.0))
    cone = along * np.sin(angle) - across * np.cos(angle)
    wedge = np.minimum(np.minimum(cone, along - 0.25 * length), territory) + 2.2 * rough
    # Cortex suffers before the white matter under it.
    return np.where(around.ventricle > 1.0, wedge + 1.5 * around.grey, -np.inf), volume


def _territory(artery: str, x: Array, y: Array, z: Array) -> Array:
    """Roughly how many mm a template point lies inside an artery's territory; x is positive on the stroke's side."""
    tent = -18.0 + 0.3 * (-y - 30.0)
    if artery == "cerebellar":
        return np.asarray(np.minimum(np.minimum(x, -30.0 - y), tent - 6.0 - z))
    above = np.minimum(x, z - np.where(y < -35, tent, -45.0))
    medial = 20.0 + 0.12 * np.maximum(z - 20.0, 0.0)
    behind = np.maximum(-58.0 - y - 0.5 * np.maximum(z - 25.0, 0.0), np.minimum(-12.0 - z, -15.0 - y))
    if artery == "posterior":
        return np.asarray(np.minimum(above, behind))
    if artery == "anterior":
        return np.asarray(np.minimum(np.minimum(above, medial - x), np.minimum(-behind, z + 15.0)))
    return np.asarray(np.minimum(np.minimum(above, x - medial), -behind))


def _deep(generator: np.random.Generator, around: Surroundings, rough: Array) -> tuple[Array, float]:
    """Reach (mm) and volume (ml) of a small deep infarct in basal ganglia, thalamus, white matter or pons: ellipsoids;
    most are lacunes of 0.3 to 2 ml, some larger ones of several perforating arteries."""
    x, y, z = around.points
    near = (np.abs(x) > 5) & (np.abs(x) < 36) & (np.abs(y + 8) < 34) & (z > -12) & (z < 36) & (around.depth > 20)
    pons = (np.abs(x) > 1) & (np.abs(x) < 10) & (np.abs(y + 24) < 9) & (np.abs(z + 32) < 9)
    kind = generator.random()
    solid = around.grey + around.deep + around.white > 0.8
    preferred = solid & (pons if kind < 0.08 else near & ((around.deep > 0.5) if kind < 0.65 else around.white > 0.7))
    centre = around.millimetres[generator.choice(np.flatnonzero(preferred & (around.ventricle > 3)))]
    large = generator.random() < 0.15
    volume = generator.lognormal(np.log(5.0), 0.4) if large else generator.lognormal(np.log(0.7), 0.5)
    volume = float(np.clip(volume, 0.3, 15.0))
    radius = 10.0 * np.cbrt(volume * 3 / (4 * np.pi))
    shape = generator.lognormal(0.0, 0.22, 3)
    away = (around.millimetres - centre) / (shape / np.cbrt(shape.prod())).astype(np.float32)
    reach = radius - np.linalg.norm(away, axis=1) + min(0.15 * radius, 1.2) * rough
    return np.where(around.ventricle > 0.0, reach, -np.inf), volume
