"""White matter hyperintensities (WMH): caps and bands along the ventricles, deep spots, and what flows together."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array
from flairflow.simulation.fields import ramp
from flairflow.simulation.surroundings import EDGE, Lesions, Surroundings, grow


def draw_wmh(generator: np.random.Generator, around: Surroundings, volume: float, growth: float) -> Lesions:
    """Caps, bands and spots grown until they fill `volume` * `growth` ml; large volumes flow together."""
    nothing = np.zeros_like(around.white)
    if volume == 0:
        return Lesions(nothing, nothing, nothing, nothing)
    x, y, z = around.points
    where = (around.white > 0.2) & (around.ventricle < 45) & (around.depth > 3)
    supratentorial = z > -8 + 0.25 * np.maximum(-20 - y, 0)
    # The corpus callosum and the internal capsule lie along the ventricles too, but are mostly spared.
    callosum = np.maximum(13.0 - np.abs(x), 0.0)
    capsule = 6.0 * np.exp(-(((np.abs(x) - 22) / 7) ** 2) - ((y + 8) / 16) ** 2 - ((z - 4) / 12) ** 2)
    rough = around.noise(generator, 4.0)
    patchy = around.mirrored_noise(generator, 11.0)

    caps = np.exp(-(((y - 32) / 10) ** 2)) + 0.9 * np.exp(-(((y + 46) / 13) ** 2))
    # Some people have more along the ventricles, some more in the depth, and one side may lead.
    lean = generator.normal(0.0, 0.8)
    side = 0.4 * generator.normal() * np.sign(x)
    band = generator.uniform(0.5, 3.0) + generator.uniform(1.5, 4.0) * caps + 1.5 * patchy + lean
    # Where there is much of it, the ventricles are surrounded.
    band += min(0.06 * volume, 3.0)
    reach = np.where(supratentorial, band - np.maximum(around.ventricle, 0.0) - callosum - capsule, -30.0)
    # Patches of the centrum semiovale and corona radiata: what becomes confluent in those with much.
    zone = np.exp(-(((np.abs(x) - 27) / 9) ** 2) - ((z - 26) / 14) ** 2) * (np.abs(y + 12) < 45)
    shallow = 0.1 * np.maximum(9.0 - around.depth, 0.0) ** 2
    patches = 4.0 * around.mirrored_noise(generator, 8.0) + 3.0 * zone - 9.0 - callosum - shallow
    reach = np.maximum(reach, np.where(supratentorial & (around.white > 0.5), patches, -30.0))
    reach = np.maximum(reach, _spots(generator, around, volume, lean))
    reach = np.where(where, reach + 0.8 * rough + side, -np.inf).astype(np.float32)

    reach = grow(reach, around.white, volume * growth, around.grid.voxel_ml)
    share = ramp(reach, EDGE) * around.white
    # Dirty white matter: wider in some than in others, and most where a lot is diseased already.
    width = generator.uniform(1.0, 4.0)
    halo = np.clip(1.0 + reach / width, 0.0, 1.0) * around.white * where
    # Faint at the edge, full some millimetres in; faint altogether in some.
    vividness = generator.lognormal(0.0, 0.12) * (0.75 + 0.25 * np.clip(reach / 3.0, 0.0, 1.0) + 0.12 * patchy)
    return Lesions(share, nothing, halo, vividness)


def _spots(generator: np.random.Generator, around: Surroundings, volume: float, lean: float) -> Array:
    """Reach (mm) of the punctate lesions: small ellipsoids, most in frontal and parietal white matter."""
    reach = np.full(len(around.white), -30.0, np.float32)
    deep = (around.white > 0.9) & (around.ventricle > 5) & (around.depth > 6) & (around.points[2] > -5)
    candidates = np.flatnonzero(deep & (np.abs(around.points[0]) > 12))
    count = min(int(generator.poisson((14 + 4.0 * volume) * np.exp(-0.4 * lean))), 150)
    # Drawn first and all at once: the spots of a session are those of the one before.
    places, radii = generator.random(count), generator.lognormal(np.log(1.3), 0.50, count)
    shapes, turns = generator.lognormal(0.0, 0.35, (count, 3)), generator.standard_normal((count, 3, 3))
    for place, radius, shape, turn in zip(places, radii, shapes, turns, strict=True):
        centre = around.millimetres[candidates[int(place * len(candidates))]]
        size = 3.0 * radius + 6.0
        box = np.flatnonzero((np.abs(around.millimetres - centre) < size).all(axis=1))
        axes = np.linalg.qr(turn)[0] / shape * np.cbrt(shape.prod())
        distance = np.linalg.norm((around.millimetres[box] - centre) @ axes.astype(np.float32), axis=1)
        reach[box] = np.maximum(reach[box], radius - distance)
    return reach
