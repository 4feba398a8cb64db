"""Lesions of a head: drawn ones and real shapes, WMH and strokes, and how each changes the brightness under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array, Image
from flairflow.simulation.fields import ramp
from flairflow.simulation.strokes import draw_strokes
from flairflow.simulation.surroundings import EDGE, Lesions, Surroundings
from flairflow.simulation.wmh import draw_wmh


@dataclass(frozen=True, eq=False)
class Shapes:
    """Real masks in MNI152 space as shares of voxels in 255ths, each on its own grid (`anatomies.standard_mask`)."""

    wmh: Sequence[Image]
    strokes: Sequence[Image]


@dataclass(frozen=True, eq=False)
class Disease:
    """What lesions a head has, shares of voxels (N,) within the skull. A voxel of a stroke is none of WMH."""

    wmh: Lesions
    strokes: Lesions


def draw_disease(generator: np.random.Generator, around: Surroundings, shapes: Shapes) -> Disease:
    """A person's lesions: one in five has none, three in ten WMH alone, one in seven strokes alone, the rest both."""
    kind = generator.random()
    has_wmh, has_strokes = kind >= 0.34, 0.2 <= kind < 0.7
    empty = np.zeros_like(around.white)
    nothing = Lesions(empty, empty, empty, empty)
    wmh = nothing
    if has_wmh:
        if shapes.wmh and generator.random() < 0.3:
            wmh = _real_wmh(generator, around, shapes.wmh)
        else:
            volume = float(np.clip(generator.lognormal(np.log(7.0), 1.3), 0.1, 130.0))
            wmh = draw_wmh(generator, around, volume, 1.0)
    strokes = nothing
    if has_strokes:
        if shapes.strokes and generator.random() < 0.6:
            strokes = _real_stroke(generator, around, shapes.strokes)
        else:
            count = int(generator.integers(1, 3))
            acute = int(generator.integers(0, count + 1))
            strokes = draw_strokes(generator, around, acute, count - acute, 1.0)
    free = 1.0 - strokes.share
    return Disease(Lesions(wmh.share * free, empty, wmh.halo * free, wmh.vividness), strokes)


def paint(generator: np.random.Generator, image: Array, disease: Disease, around: Surroundings, white: float) -> Array:
    """Put the lesions into an image (N,), whose healthy white matter has the brightness `white`."""
    levels = {
        "wmh": white * generator.uniform(1.2, 1.9),
        # Most are bright; some old ones are darker than what was there.
        "stroke": white * (generator.uniform(1.25, 2.2) if generator.random() < 0.88 else generator.uniform(0.3, 0.75)),
    }
    cavity = white * generator.uniform(0.05, 0.6)
    texture = 1.0 + generator.uniform(0.0, 0.25) * around.noise(generator, generator.uniform(3.0, 10.0))
    for name, lesions in (("wmh", disease.wmh), ("stroke", disease.strokes)):
        if not lesions.share.any():
            continue
        level = white + (levels[name] - white) * lesions.vividness * texture
        image = image + np.float32(generator.uniform(0.0, 0.35)) * lesions.halo * np.maximum(level - image, 0.0)
        image = image + lesions.share * (level - image)
    painted: Array = image + disease.strokes.cavity * (cavity - image)
    return painted.astype(np.float32)


def _real_wmh(generator: np.random.Generator, around: Surroundings, masks: Sequence[Image]) -> Lesions:
    share = _carried(generator, around, masks, millimetres=2.0) * np.clip(around.white * 1.2, 0.0, 1.0)
    return _as_lesions(generator, around, share, 0.0)


def _real_stroke(generator: np.random.Generator, around: Surroundings, masks: Sequence[Image]) -> Lesions:
    tissue = np.clip(around.grey + around.deep + around.white, 0.0, 1.0)
    hollow = generator.uniform(1.0, 9.0) if generator.random() < 0.45 else 0.0
    return _as_lesions(generator, around, _carried(generator, around, masks, millimetres=5.0) * tissue, hollow)


def _carried(generator: np.random.Generator, around: Surroundings, masks: Sequence[Image], millimetres: float) -> Array:
    """A mask of the list, moved and bent a little, mirrored or not, at the template coordinates of the voxels: (N,)."""
    mask = masks[int(generator.integers(len(masks)))]
    points = around.points * np.exp(generator.normal(0.0, 0.06, (3, 1))).astype(np.float32)
    if generator.random() < 0.5:
        points[0] = -points[0]
    points += generator.normal(0.0, millimetres, (3, 1)).astype(np.float32)
    for axis in range(3):
        points[axis] += np.float32(generator.uniform(0.5, 2.5)) * around.noise(generator, 12.0)
    inverse = np.linalg.inv(mask.affine)
    voxels = (inverse[:3, :3] @ points + inverse[:3, 3:]).astype(np.float32)
    share = ndimage.map_coordinates(mask.data, voxels, np.float32, order=1, mode="constant") / 255.0
    level = generator.uniform(0.35, 0.65)
    carried: Array = np.clip((share - level) * 2.5 + 0.5, 0.0, 1.0) * (around.ventricle > 0)
    return carried.astype(np.float32)


def _as_lesions(generator: np.random.Generator, around: Surroundings, share: Array, hollow: float) -> Lesions:
    """Shares (N,) as lesions: what lies deeper in them than `hollow` mm is a cavity, where that is not 0."""
    volume = around.spread(share)
    inside = volume >= 0.5
    spacing = float(around.grid.spacing[0])
    if not inside.any():
        return Lesions(share, np.zeros_like(share), share, np.ones_like(share))
    reach = ndimage.distance_transform_edt(inside, sampling=spacing) - ndimage.distance_transform_edt(
        ~inside, sampling=spacing
    )
    depth = reach[around.where].astype(np.float32)
    fine = around.noise(generator, 4.0)
    cavity = np.zeros_like(share)
    if hollow > 0:
        cavity = np.minimum(ramp(depth - hollow + 0.6 * fine, EDGE), share).astype(np.float32)
    tissue = np.clip(around.grey + around.deep + around.white, 0.0, 1.0)
    halo = np.clip(1.0 + depth / generator.uniform(1.0, 4.0), 0.0, 1.0) * tissue
    vividness = generator.lognormal(0.0, 0.15) * (0.8 + 0.2 * np.clip(depth / 3.0, 0.0, 1.0) + 0.1 * fine)
    return Lesions(share, cavity, halo.astype(np.float32), vividness.astype(np.float32))
