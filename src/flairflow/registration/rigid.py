"""Rigid registration of a further sequence (T1w, DWI, ...) onto the FLAIR of the same session."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import ndimage

from flairflow.images.grid import Array, Image
from flairflow.registration.ants_registration import optimise
from flairflow.registration.pose import (
    centre_of_tissue,
    coarse_image,
    compare,
    find_pose,
    foreground,
    information,
    sample_region,
    seeded_starts,
    working_image,
)
from flairflow.registration.template_brain import signed_distance

WORKING_SPACING = 2.0


@dataclass(frozen=True, eq=False)
class Alignment:
    """A rigid alignment.

    matrix  : 4x4 from RAS points of the fixed image to those of the moving one (mm): the `to_source` of `resample`.
    quality : 0..1, how well edges meet: the informational coefficient of correlation (see `information`) of gradient
              magnitudes in the inner head at 2 mm. T1w on FLAIR: 0.6 to 0.7; a shift by 5 mm or a turn by 10 degrees
              takes a third off; upside-down or unrelated heads reach 0.25.
    starts  : how many initial poses were tried.
    """

    matrix: Array
    quality: float
    starts: int


def align_rigid(moving: Image, fixed: Image, *, seed: int, minimum_quality: float) -> Alignment:
    """Align `moving` to `fixed`, two images (X, Y, Z) of one head in any contrast.

    minimum_quality : when the poses about the header's and about the centres of tissue give less, more in all
                      directions are tried. The best is returned whatever its quality; the caller judges.
    The same seed and number of threads give the same result. Raises ScanError when ITK fails.
    """
    fixed_image, moving_image = working_image(fixed, WORKING_SPACING), working_image(moving, WORKING_SPACING)
    coarse_fixed, coarse_moving = coarse_image(fixed_image), coarse_image(moving_image)
    head = sample_region(coarse_fixed, depth_in_head(coarse_fixed) > -10.0)
    region = inner_head(fixed_image)
    edges, moving_edges = sample_region(edge_strength(fixed_image), region).thinned(40_000), edge_strength(moving_image)
    tissue, middle = centre_of_tissue(coarse_moving), centre_of_tissue(coarse_fixed)

    def quality(matrix: Array) -> float:
        return compare(moving_edges, edges, matrix, information)

    def attempt(count: int, widest: float, climbs: int) -> Array:
        starts = seeded_starts(tissue, middle, seed=seed, count=count, widest=widest, scales=(1.0, 1.0))
        pose = find_pose(coarse_moving, head, information, starts=starts, climbs=climbs, scaling=False)
        # The region is smaller than a template's, and its answer is not smoothed by one: more of it is sampled.
        return optimise(moving_image, fixed_image, region, pose, kind="Rigid", seed=seed, share=0.5)

    starts = 60
    matrix = attempt(starts, 10.0, climbs=2)
    if quality(matrix) < minimum_quality:
        starts += 1000
        matrix = max((matrix, attempt(1000, 90.0, climbs=6)), key=quality)
    return Alignment(matrix, quality(matrix), starts)


def inner_head(image: Image) -> Array:
    """Where a head is at least 12 mm deep, bool (X, Y, Z): mostly brain, no scalp. A jaw moves and fat shifts with the
    receiver's bandwidth; both would pull the brain with them. All of the head where nothing lies so deep."""
    depth = depth_in_head(image)
    inner: Array = depth > 12.0
    return inner if inner.mean() > 0.01 else depth > 0


def edge_strength(image: Image) -> Image:
    """Gradient magnitude: unlike the values, it does not agree by coarse shape or the coil's shading alone."""
    return Image(ndimage.gaussian_gradient_magnitude(image.data, 1.0), image.affine)


def depth_in_head(image: Image) -> Array:
    """Depth below the surface of the head in mm, negative in the air around it; (X, Y, Z), isotropic voxels."""
    return signed_distance(ndimage.binary_fill_holes(foreground(image.data)), float(image.grid.spacing[0]))
