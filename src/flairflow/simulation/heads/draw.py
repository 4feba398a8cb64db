"""One random head: an image of it as the networks in the box read it, and what is true of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array, Grid
from flairflow.simulation.anatomy import bright_cortex, flow_region
from flairflow.simulation.fields import ramp, smooth_noise
from flairflow.simulation.heads.acquire import add_artefacts, add_noise, draw_protocol, sample_slices, shade
from flairflow.simulation.heads.anatomies import DEEP, GREY, NAMES, STEP, WHITE, Anatomy
from flairflow.simulation.heads.brightness import ALL_NAMES, draw_any, draw_flair
from flairflow.simulation.heads.lesions import Shapes, draw_disease, paint
from flairflow.simulation.heads.place import Placement, place
from flairflow.simulation.surroundings import Surroundings

FAT, SOFT = ALL_NAMES.index("fat"), NAMES.index("soft tissue")


@dataclass(frozen=True, eq=False)
class Head:
    """A drawn head on an isotropic grid, all maps (X, Y, Z).

    image    : float32, brightness in no particular unit.
    surface  : float32, mm from the brain's surface, positive inside, cut at some 31 mm.
    wmh, isl : float32, share of the voxel as the scan's slices see it; cavities belong to ISL.
    """

    image: Array
    surface: Array
    wmh: Array
    isl: Array
    grid: Grid


def draw_whole_head(generator: np.random.Generator, anatomy: Anatomy, shapes: Shapes, spacing: float = 2.0) -> Head:
    """A head with what is around the brain in any field of view, any contrast, for the network that finds the brain."""
    extent = [generator.uniform(160, 230), generator.uniform(190, 260), generator.uniform(150, 250)]
    brain = np.argwhere(anatomy.surface[::4, ::4, ::4] > 0) * 4
    middle = (brain.max(axis=0) + brain.min(axis=0)) / 2 + generator.normal(0.0, 7.0, 3)
    # More of the neck than of the air above the head.
    middle[2] -= generator.uniform(0.0, 30.0) * (extent[2] > 180)
    kind = generator.random()
    if kind < 0.15:
        extent[int(generator.choice(3, p=[0.15, 0.15, 0.7]))] = generator.uniform(90, 140)
    elif kind < 0.35:
        # Cropped to the brain, or nearly, which mostly goes with a stripped one.
        extent = list((brain.max(axis=0) - brain.min(axis=0)) * generator.uniform(0.95, 1.15, 3))
        middle = (brain.max(axis=0) + brain.min(axis=0)) / 2 + generator.normal(0.0, 2.0, 3)
    grid = _grid(extent, spacing)
    placement = place(generator, grid, middle, degrees=9.0, sizes=(0.85, 1.2), strength=generator.uniform(1.0, 5.0))
    flair = generator.random() < 0.65
    levels = draw_flair(generator) if flair else draw_any(generator)
    image = _healthy(generator, anatomy, placement, levels, blur=0.8)
    surface = placement.sample(anatomy.surface) * STEP * placement.scale
    wmh = isl = np.zeros(grid.shape, np.float32)
    if generator.random() < 0.6:
        around = _surroundings(anatomy, placement, surface)
        disease = draw_disease(generator, around, shapes)
        image[around.where] = paint(generator, image[around.where], disease, around, float(levels[1]))
    if generator.random() < 0.15:
        image = _with_hole(generator, image, surface, grid, float(levels[ALL_NAMES.index("csf")]))
    outside = surface < 0
    mottle = 0.12 * smooth_noise(generator, grid, 12.0) + 0.08 * smooth_noise(generator, grid, 5.0)
    image *= 1.0 + mottle * np.where(outside, generator.uniform(0.5, 2.0), 0.35)
    image = _taken_off(generator, image, surface, grid, 0.6 if 0.15 <= kind < 0.35 else 0.2)
    image = _acquired(generator, image[None], grid, float(levels[1]), flair, whole=True)[0]
    return Head(image, surface, wmh, isl, grid)


def draw_brain(generator: np.random.Generator, anatomy: Anatomy, shapes: Shapes, spacing: float) -> Head:
    """A brain with lesions, for the network that segments them: FLAIR-like, what is outside of the brain is dark."""
    where = np.argwhere(anatomy.surface[::4, ::4, ::4] > 0) * 4
    extent = (where.max(axis=0) - where.min(axis=0)) * generator.uniform(0.95, 1.15) + 8
    grid = _grid(list(extent), spacing)
    middle = (where.max(axis=0) + where.min(axis=0)) / 2
    placement = place(generator, grid, middle, degrees=6.0, sizes=(0.9, 1.12), strength=generator.uniform(1.0, 4.0))
    levels = draw_flair(generator)
    image = _healthy(generator, anatomy, placement, levels, blur=0.6)
    surface = placement.sample(anatomy.surface) * STEP * placement.scale
    around = _surroundings(anatomy, placement, surface)
    image[around.where] = _look_alikes(generator, image[around.where], around)
    disease = draw_disease(generator, around, shapes)
    image[around.where] = paint(generator, image[around.where], disease, around, float(levels[1]))
    volumes = np.stack([image, around.spread(disease.wmh.share), around.spread(disease.strokes.share)])
    image, wmh, isl = _acquired(generator, volumes, grid, float(levels[1]), True, whole=False)
    return Head(image, surface, wmh, isl, grid)


def _grid(extent: list[float], spacing: float) -> Grid:
    x, y, z = (int(np.ceil(length / spacing)) for length in extent)
    return Grid((x, y, z), np.diag([spacing, spacing, spacing, 1.0]))


def _healthy(
    generator: np.random.Generator, anatomy: Anatomy, placement: Placement, levels: Array, blur: float
) -> Array:
    """The brightness of a head without lesions on the grid of its placement."""
    tissues = anatomy.tissues
    # Lumps of fat in the soft tissue, more towards the skin.
    coarse = generator.standard_normal([n // 4 + 1 for n in tissues.shape]).astype(np.float32)
    lumps = ndimage.gaussian_filter(coarse, generator.uniform(0.5, 1.5)) > generator.normal(0.0, 0.1)
    for axis in range(3):
        lumps = np.repeat(lumps, 4, axis)
    lumps = lumps[tuple(slice(0, n) for n in tissues.shape)]
    tissues = np.where((tissues == SOFT) & lumps, np.uint8(FAT), tissues)
    ideal = ndimage.gaussian_filter(levels[tissues], blur, truncate=2.5)
    return placement.sample(ideal, outside="zeros")


def _surroundings(anatomy: Anatomy, placement: Placement, surface: Array) -> Surroundings:
    """What decides where lesions lie, at the voxels within 2 mm of the brain."""
    where = surface > -2.0

    def share(tissues: tuple[int, ...]) -> Array:
        table = np.zeros(len(NAMES), np.float32)
        table[list(tissues)] = 1.0
        return placement.sample(table[anatomy.tissues])[where]

    return Surroundings(
        placement.grid,
        where,
        share(GREY),
        share(DEEP),
        share(WHITE),
        surface[where],
        (placement.sample(anatomy.ventricle, 2) * STEP * placement.scale)[where],
        placement.sample(anatomy.template, 2)[:, where],
    )


def _look_alikes(generator: np.random.Generator, image: Array, around: Surroundings) -> Array:
    """What is bright on FLAIR and no lesion: uneven cortex, insula and cingulum, choroid plexus, the ventricles' lining
    and septum, CSF that flows, dirty white matter, vessels."""
    x, y, z = around.points
    white = np.float32(np.median(image[around.white > 0.9])) if (around.white > 0.9).any() else np.float32(100.0)
    mottle = generator.uniform(0.02, 0.09) * around.noise(generator, 18.0)
    mottle += generator.uniform(0.01, 0.06) * around.noise(generator, 6.0)
    basal = np.exp(-((x / 12) ** 2) - ((y - 16) / 16) ** 2 - ((z + 11) / 10) ** 2)
    mottle += generator.uniform(0.0, 0.5) * bright_cortex(x, y, z) + generator.uniform(0.0, 0.9) * basal
    image = image * (1.0 + mottle * (1.0 - 0.75 * around.white))
    image = image * (1.0 + generator.uniform(0.005, 0.03) * around.noise(generator, 3.0))
    image = image * (1.0 + around.white * generator.uniform(0.0, 0.04) * around.noise(generator, 25.0))
    fluid = 1.0 - np.clip(around.grey + around.deep + around.white, 0.0, 1.0)
    inside = around.ventricle < 1.0
    trigone = np.exp(-(((np.abs(x) - 22) / 7) ** 2) - ((y + 38) / 9) ** 2 - ((z - 8) / 9) ** 2)
    body = 0.5 * np.exp(-(((np.abs(x) - 7) / 5) ** 2) - ((y + 12) / 20) ** 2 - ((z - 13) / 5) ** 2)
    lumps = around.noise(generator, 4.0)
    plexus = ramp(3.0 * (trigone + body) - 3.0 + 1.8 * generator.uniform(0.2, 1.0) + 0.5 * lumps, 1.0) * inside * fluid
    image = image + plexus * (white * generator.uniform(0.8, 1.9) - image)
    septum = np.exp(-((x / 1.2) ** 2)) * inside * (z > 0) * fluid * generator.uniform(0.0, 0.9)
    image = image + septum * (white * generator.uniform(0.9, 1.9) - image)
    lining = np.exp(-(((around.ventricle - 0.8) / generator.uniform(0.5, 1.2)) ** 2))
    image = image + lining * generator.uniform(0.0, 0.6) * (white * generator.uniform(1.1, 1.6) - image)
    jets = np.clip(around.noise(generator, 9.0) + generator.normal(0.0, 0.5), 0.0, 1.5)
    flow = generator.uniform(0.3, 1.4) if generator.random() < 0.4 else generator.uniform(0.0, 0.3)
    image = image + white * flow * jets * flow_region(x, y, z) * fluid
    if generator.random() < 0.3:
        # CSF that was not suppressed, in some place of the surface.
        place = np.clip(around.noise(generator, 30.0) - 1.0, 0.0, 1.0) * (around.depth < 12)
        image = image + white * generator.uniform(0.3, 1.2) * place * fluid
    capsule = np.exp(-(((np.abs(x) - 23) / 4) ** 2) - ((y + 20) / 8) ** 2 - ((z - 4) / 14) ** 2)
    tracts: Array = image * (1.0 + generator.uniform(0.0, 0.22) * capsule * around.white)
    return tracts.astype(np.float32)


def _with_hole(generator: np.random.Generator, image: Array, surface: Array, grid: Grid, fluid: float) -> Array:
    """A cavity anywhere in the brain or at its surface, such as a resection leaves: filled with fluid, still brain."""
    candidates = np.argwhere((surface > 0) & (surface < 30))
    if not len(candidates):
        return image
    centre = candidates[int(generator.integers(len(candidates)))].astype(np.float32)
    voxels = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in grid.shape), indexing="ij"), axis=-1)
    stretch = np.exp(generator.normal(0.0, 0.2, 3)).astype(np.float32)
    distance = np.linalg.norm((voxels - centre) * grid.spacing.astype(np.float32) * stretch, axis=-1)
    share = ramp(generator.uniform(6.0, 28.0) + 2.0 * smooth_noise(generator, grid, 12.0) - distance, 3.0)
    share = share * ramp(surface - 1.0, 2.0)
    level = fluid * generator.uniform(0.7, 1.3)
    return np.asarray(image + share * (level - image), np.float32)


def _taken_off(generator: np.random.Generator, image: Array, surface: Array, grid: Grid, stripped: float) -> Array:
    """The share `stripped` of heads is skull-stripped, tightly or not, by a mask with bumps; some lost their face."""
    kind = generator.random()
    if kind < stripped:
        bumps = generator.uniform(0.3, 1.5) * smooth_noise(generator, grid, generator.uniform(8.0, 25.0))
        image = np.where(surface + bumps > -generator.uniform(-0.5, 5.0), image, 0.0)
    elif kind < stripped + 0.2:
        x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij", sparse=True)
        cut = generator.normal(0, 0.1) * x + y - generator.uniform(0.5, 1.0) * z > generator.uniform(0.5, 1.1)
        image = np.where(cut & (surface < -4.0), 0.0, image)
    return np.asarray(image, np.float32)


def _acquired(
    generator: np.random.Generator, volumes: Array, grid: Grid, white: float, flair: bool, whole: bool
) -> Array:
    """An image and shares beside it (C, X, Y, Z) after the scanner."""
    protocol = draw_protocol(generator)
    # Not everything changes the shares: what a person draws is what the slices show.
    volumes = sample_slices(generator, volumes, grid, protocol)
    image = volumes[0]
    if flair:
        image = white * (np.maximum(image, 0.0) / white) ** np.float32(generator.uniform(0.8, 1.25))
    image = shade(generator, image, grid, generator.uniform(0.05, 0.4) if whole else generator.uniform(0.0, 0.06))
    image = add_artefacts(generator, image, protocol.slices, white)
    # Noise is as fine as the scan's voxels: on a finer grid it is smooth.
    noise = add_noise(generator, image, white * generator.uniform(0.01, 0.09)) - image
    noise = sample_slices(generator, noise[None], grid, protocol)[0] * np.float32(
        np.sqrt(max(protocol.edges[protocol.slices] / grid.spacing[0], 1.0))
    )
    return np.concatenate([np.maximum(image + noise, 0.0)[None], volumes[1:]])
