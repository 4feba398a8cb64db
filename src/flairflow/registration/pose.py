"""Finding a coarse pose: many starts are scored on a few thousand points, the best ones climb, the highest wins.

Cheap enough (a millisecond a start) to let ANTs begin next to the answer, which is all its local optimiser asks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from flairflow.images.ants import orthonormal
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import ras_grid, resample
from flairflow.images.values import usual

# Steps that move the cortex by about as much, so that one unit means the same everywhere: mm, radians, log scale.
UNITS = np.array([4.0, 4.0, 4.0, 0.05, 0.05, 0.05, 0.04])

# Groups of starts by size, each with climbs of its own.
SIZES = 4

Similarity = Callable[[Array, Array], float]


@dataclass(frozen=True, eq=False)
class Sample:
    """Points (N, 3) of the fixed image in RAS mm with its values (N,) there: where two images are compared."""

    points: Array
    values: Array

    def thinned(self, count: int) -> Sample:
        """Every n-th point, so that about `count` remain."""
        step = max(1, len(self.points) // count)
        return Sample(self.points[::step], self.values[::step])


def find_pose(
    moving: Image, fixed: Sample, similarity: Similarity, *, starts: Sequence[Array], climbs: int, scaling: bool
) -> Array:
    """The pose of highest similarity, 4x4 from RAS points of the fixed image to those of the moving one.

    starts  : poses to begin with; all are scored. With `scaling` they are dealt by size into SIZES groups, and the
              `climbs` best of each are optimised: the best of all may be of one wrong size.
    scaling : whether one scale for all axes is optimised too (template), or the pose is rigid.
    """
    few, more = fixed.thinned(1500), fixed.thinned(5000)
    by_size = sorted(starts, key=lambda start: float(np.linalg.det(start[:3, :3])))
    groups = np.array_split(np.arange(len(starts)), SIZES if scaling else 1)
    climbed = []
    for group in groups:
        scored = sorted((by_size[index] for index in group), key=lambda start: -compare(moving, few, start, similarity))
        climbed += [climb(moving, more, start, similarity, scaling) for start in scored[:climbs]]
    return max(climbed, key=lambda pose: compare(moving, fixed, pose, similarity))


def climb(moving: Image, fixed: Sample, start: Array, similarity: Similarity, scaling: bool) -> Array:
    """Optimise a pose from one start, by Powell's method."""
    centre = fixed.points.mean(axis=0)
    count = 7 if scaling else 6

    def loss(step: Array) -> float:
        return -compare(moving, fixed, start @ _moved(step * UNITS[:count], centre), similarity)

    found = optimize.minimize(
        loss, np.zeros(count), method="Powell", options={"xtol": 0.1, "ftol": 1e-3, "maxfev": 800}
    )
    return start @ _moved(found.x * UNITS[:count], centre)


def compare(moving: Image, fixed: Sample, pose: Array, similarity: Similarity) -> float:
    """Similarity over the points that fall into the moving image, less where it covers few of them.

    The root is a mild penalty: a slab of half a brain keeps 0.7 of its score, but shifting the brain out of the field
    of view, where nothing can disagree, does not pay.
    """
    values, inside = values_at(moving, fixed.points, pose)
    if inside.sum() < 100:
        return 0.0
    return similarity(fixed.values[inside], values[inside]) * math.sqrt(inside.mean())


def values_at(image: Image, points: Array, pose: Array) -> tuple[Array, Array]:
    """Image values (N,), linear, at `pose` applied to points (N, 3), and which of them lie inside its grid."""
    voxels = np.linalg.inv(image.affine) @ pose
    places = voxels[:3, :3] @ points.T + voxels[:3, 3:]
    last = np.array(image.data.shape)[:, None] - 1
    inside: Array = np.all((places >= -0.5) & (places <= last + 0.5), axis=0)
    values: Array = ndimage.map_coordinates(image.data, places, order=1, mode="nearest")
    return values, inside


def correlation(first: Array, second: Array) -> float:
    """Pearson's correlation of two sets of values (N,); 0 where one is constant."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 else 0.0


def information(first: Array, second: Array) -> float:
    """The informational coefficient of correlation of two sets of values (N,) in 0..1, for images of unlike contrast.

    sqrt(1 - exp(-2 I)) with I the mutual information in nats: the correlation that normally distributed values sharing
    as much information would have (Linfoot 1957). I is taken from 24 x 24 bins, less its bias for few values (Miller).
    """
    bins = 24
    joint, _, _ = np.histogram2d(first, second, bins)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    shared = _entropy(rows) + _entropy(columns) - _entropy(joint.ravel())
    shared -= ((joint > 0).sum() - (rows > 0).sum() - (columns > 0).sum() + 1) / (2 * len(first))
    return float(np.sqrt(1.0 - np.exp(-2.0 * max(shared, 0.0))))


def seeded_starts(
    moving_centre: Array, fixed_centre: Array, *, seed: int, count: int, widest: float, scales: tuple[float, float]
) -> list[Array]:
    """The header's pose, the centres on each other, and `count` random poses about both.

    widest : standard deviation of the random rotation vector, in degrees; shifts have one of 25 mm.
    scales : the range of the scale, drawn evenly in its logarithm.
    """
    generator = np.random.default_rng(seed)
    centred = np.eye(4)
    centred[:3, 3] = moving_centre - fixed_centre
    starts = [np.eye(4), centred]
    for index in range(count):
        shift = generator.normal(0.0, 25.0, 3)
        turn = generator.normal(0.0, np.deg2rad(widest), 3)
        scale = generator.uniform(*np.log(scales))
        starts.append(starts[index % 2] @ _moved(np.array([*shift, *turn, scale]), fixed_centre))
    return starts


def working_image(image: Image, spacing: float, ceiling: float = 99.5) -> Image:
    """The image on an isotropic grid (mm) at right angles along its own axes, values clipped at a percentile of its
    foreground and scaled to 0..1 (bright vessels, scalp fat and spikes otherwise use up the range)."""
    grid = orthonormal(ras_grid(image.grid, spacing))
    data = resample(usual(image), grid).data
    top = np.percentile(data[foreground(data)], ceiling)
    return Image(np.clip(data / top, 0.0, 1.0).astype(np.float32), grid.affine)


def coarse_image(image: Image) -> Image:
    """The image at 5 mm, or as it is if coarser: where poses are searched."""
    return resample(image, ras_grid(image.grid, max(5.0, float(image.grid.spacing[0]))))


def centre_of_tissue(image: Image) -> Array:
    """The centre of what is not air, RAS mm."""
    centre: Array = world_points(image.grid, foreground(image.data)).mean(axis=0)
    return centre


def foreground(data: Array) -> Array:
    """Where there is tissue rather than air: above a third of the mean of what is above the mean."""
    mask: Array = data > data[data > data.mean()].mean() / 3
    return mask


def sample_region(image: Image, region: Array) -> Sample:
    """The points and values of an image's voxels in a boolean region of its grid."""
    return Sample(world_points(image.grid, region), image.data[region])


def world_points(grid: Grid, region: Array) -> Array:
    """The world points (N, 3) of the voxels in a boolean region of a grid, RAS mm."""
    points: Array = np.argwhere(region) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return points


def _moved(step: Array, centre: Array) -> Array:
    """Shift (3, mm), rotation vector (3, radians) and optionally a log scale, about a centre, as a 4x4 matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(step[3:6]).as_matrix() * (np.exp(step[6]) if len(step) > 6 else 1.0)
    matrix[:3, 3] = centre + step[:3] - matrix[:3, :3] @ centre
    return matrix


def _entropy(counts: Array) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
