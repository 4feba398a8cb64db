"""FLAIR -> MNI152 where the brain is known: its place and size are a start that only the directions are open of."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from flairflow.errors import ScanError
from flairflow.images.ants import orthonormal
from flairflow.images.grid import Array, Image
from flairflow.images.resample import crop, ras_grid, resample
from flairflow.registration.ants_registration import deform, optimise
from flairflow.registration.pose import climb, coarse_image, compare, correlation, values_at, world_points
from flairflow.registration.template import SCALES, TemplateAlignment, load_template, quality

# Around the brain there is nothing, as around the template's; so much of it (mm) takes part.
MARGIN = 12.0

# Percentiles of the brain's intensities between which it is compared: bright lesions are no part of the template. The
# darkest of the brain are still brighter than what is around it.
DARKEST, BRIGHTEST, FLOOR = 1.0, 95.0, 0.25

# Heads are tilted (degrees); of a part of a brain the middle is not the brain's (mm), nor its size.
TILTS, SHIFTS, SIZES = (-25.0, 0.0, 25.0), (-30.0, 0.0, 30.0), (1.0, 1.2)

# Dice of the brain with the template's: a brain with the scalp, or half a one, does not reach the first; good masks
# reach 0.92 to 0.96.
UNLIKE, ALIKE = 0.75, 0.9

# Starts that are optimised: of those with the header's directions, and of the others.
CLIMBS = 2


def align_brain(
    flair: Image, brain: Array, *, kind: Literal["affine", "syn"], resolution: float = 2.0, seed: int
) -> TemplateAlignment:
    """Align a FLAIR (X, Y, Z) whose brain is known, bool on the same grid, to the template.

    The header's directions are tried and the 23 others that it could mean, so that a head that stands on its head is
    found; `resolution` is the voxel size in mm of the images that ANTs sees. The quality is that of the FLAIR inside
    this brain, and less where the brain does not overlap with the template's: a wrong brain lowers it. Raises ScanError
    when the brain is empty.
    """
    template, (head, inside) = load_template(resolution), brain_box(flair, brain, resolution)
    moving = Image(np.where(inside, head.data, 0).astype(np.float32), head.affine)
    coarse, coarse_head = coarse_image(moving), coarse_image(head)
    few, more = template.head.thinned(1500), template.head.thinned(5000)
    tried, poses = 0, []
    for directions in (header_directions(moving), other_directions(moving)):
        starts = list(brain_starts(coarse, template.brain.points, directions))
        tried += len(starts)
        starts.sort(key=lambda start: -compare(coarse, few, start, correlation))
        poses += [climb(coarse, more, start, correlation, scaling=True) for start in starts[:CLIMBS]]
    pose = max(poses, key=lambda pose: quality(coarse_head, template.brain, pose))
    try:
        matrix = optimise(
            moving, template.image, template.region, pose, kind="Affine", seed=seed, share=0.1, steps="60x3"
        )
    except ScanError:
        # Little of a brain is too little for ITK. The mask does not hang on it: the pose will do, its quality tells.
        matrix = pose
    warp = deform(moving, template.image, template.region, matrix, seed=seed) if kind == "syn" else None
    alike = np.clip((overlap(coarse, template.brain.points, matrix) - UNLIKE) / (ALIKE - UNLIKE), 0, 1)
    # A brain cut short is zero where the template has a brain; one shrunk or of another content differs inside.
    inner = min(quality(seen, template.brain, matrix) for seen in (coarse, coarse_head))
    return TemplateAlignment(matrix, float(alike) * inner, tried, warp)


def brain_box(flair: Image, brain: Array, spacing: float) -> tuple[Image, Array]:
    """The FLAIR at right angles and isotropic `spacing` (mm) in a box with MARGIN around the brain, where the field of
    view reaches so far, values in FLOOR..1; and the brain, bool, on its grid. Raises ScanError when it is empty."""
    whole = orthonormal(ras_grid(flair.grid, spacing))
    inside = resample(Image(brain.astype(np.float32), flair.affine), whole).data > 0.5
    where = np.argwhere(inside)
    if not len(where):
        raise ScanError("brain mask is empty")
    margin = int(np.ceil(MARGIN / spacing))
    low, high = np.maximum(where.min(axis=0) - margin, 0), np.minimum(where.max(axis=0) + 1 + margin, whole.shape)
    grid, inside = crop(whole, low, high), inside[tuple(map(slice, low, high))]
    data = resample(flair, grid).data
    dark, bright = np.percentile(data[inside], (DARKEST, BRIGHTEST))
    scaled = FLOOR + (1 - FLOOR) * np.clip((data - dark) / max(bright - dark, 1e-6), 0, 1)
    return Image(scaled.astype(np.float32), grid.affine), inside


def overlap(coarse: Image, template: Array, matrix: Array) -> float:
    """Dice of the brain, in a coarse image of it alone, with the template's, points (N, 3) as far apart; within the
    field of view."""
    brain = coarse.data > FLOOR / 2
    values, inside = values_at(Image(brain.astype(np.float32), coarse.affine), template, matrix)
    # In voxels of the image: the template's are larger or smaller.
    size = abs(float(np.linalg.det(matrix[:3, :3])))
    return 2 * size * float((values[inside] > 0.5).sum()) / (size * float(inside.sum()) + float(brain.sum()))


def brain_starts(coarse: Image, template: Array, directions: Iterator[Array]) -> Iterator[Array]:
    """Poses, 4x4 from RAS points of the template to those of the brain's image: middles on each other, sizes equal,
    in each of the directions, tilted, shifted and sized. `template`: points (N, 3) of its brain, as far apart."""
    points = world_points(coarse.grid, coarse.data > FLOOR / 2)
    middle, origin = points.mean(axis=0), template.mean(axis=0)
    size = np.clip((len(points) / len(template)) ** (1 / 3), *SCALES)
    for direction, tilt, shift, more in product(directions, TILTS, SHIFTS, SIZES):
        pose = np.eye(4)
        pose[:3, :3] = direction @ Rotation.from_euler("x", tilt, degrees=True).as_matrix() * size * more
        pose[:3, 3] = middle - pose[:3, :3] @ (origin + np.array([0, 0, shift]))
        yield pose


def header_directions(image: Image) -> Iterator[Array]:
    """How a head lies by the header (rotations, 3x3): straight in the scanner, or straight in oblique slices."""
    oblique = image.affine[:3, :3] / image.grid.spacing
    yield np.eye(3)
    if not np.allclose(oblique, np.eye(3), atol=0.05):
        yield oblique


def other_directions(image: Image) -> Iterator[Array]:
    """How a head lies where the header calls its axes by wrong names: 23 rotations, 3x3."""
    oblique = image.affine[:3, :3] / image.grid.spacing
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        turn = np.zeros((3, 3))
        turn[range(3), order] = signs
        if np.linalg.det(turn) > 0 and not np.array_equal(turn, np.eye(3)):
            yield oblique @ turn
