"""What a scanner makes of an anatomy: a sequence's image on any grid, and lesions on the same grid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import crop, resample
from flairflow.simulation.anatomy import TISSUES, Anatomy
from flairflow.simulation.fields import smooth_noise
from flairflow.simulation.scanner import Scanner

LARGEST = 30000.0  # intensity, within int16


def draw_contrast(
    anatomy: Anatomy,
    scanner: Scanner,
    sequence: str,
    grid: Grid,
    to_anatomy: Array,
    generator: np.random.Generator,
    slice_gap: float = 0.0,
) -> Image:
    """A scan of an anatomy: int16 (X, Y, Z) on `grid`.

    to_anatomy : 4x4 matrix from the scan's world to the anatomy's, RAS mm.
    slice_gap  : mm of the third voxel edge that no slice sees.
    """
    ideal = _ideal(anatomy, scanner, sequence, generator)
    thickness = grid.spacing - [0.0, 0.0, slice_gap]
    seen = _acquire(Image(ideal, anatomy.affine), grid, to_anatomy, thickness * scanner.blur)
    seen = 100.0 * (np.maximum(seen, 0.0) / 100.0) ** np.float32(scanner.gamma)
    seen *= np.exp(scanner.bias * smooth_noise(generator, grid, 110.0))
    if sequence == "dwi" or (sequence == "FLAIR" and scanner.slices):
        seen *= generator.normal(1.0, 0.015, grid.shape[2]).astype(np.float32)
    noise = np.float32(scanner.noise * generator.lognormal(0.0, 0.2))
    real, imaginary = (generator.standard_normal(grid.shape, np.float32) * noise for _ in range(2))
    seen = np.hypot(seen + real, imaginary)
    seen *= np.float32(scanner.scale * generator.lognormal(0.0, 0.1) / 100.0)
    return Image(np.rint(np.minimum(seen, LARGEST)).astype(np.int16), grid.affine)


def share_on(share: Array, anatomy: Anatomy, grid: Grid, to_anatomy: Array) -> Array:
    """A map of an anatomy on a scan's grid: float32 (X, Y, Z). Only where it is not 0 there is anything to do."""
    seen = np.zeros(grid.shape, np.float32)
    found = ndimage.find_objects((share > 0).astype(np.uint8))
    if not found:
        return seen
    margin = np.ceil(2.0 * grid.spacing.max() / anatomy.affine[0, 0])
    low = np.maximum([part.start - margin for part in found[0]], 0).astype(int)
    high = np.minimum([part.stop + margin for part in found[0]], share.shape).astype(int)
    part = share[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), [1], indexing="ij")).reshape(4, -1)
    there = (np.linalg.inv(to_anatomy @ grid.affine) @ anatomy.affine @ corners)[:3]
    start = np.maximum(np.floor(there.min(axis=1)), 0).astype(int)
    stop = np.minimum(np.ceil(there.max(axis=1)) + 1, grid.shape).astype(int)
    own = crop(Grid(anatomy.vividness.shape, anatomy.affine), low, high)
    box = tuple(slice(*ends) for ends in zip(start, stop, strict=True))
    seen[box] = resample(Image(part, own.affine), crop(grid, start, stop), to_anatomy).data
    return seen


def _ideal(anatomy: Anatomy, scanner: Scanner, sequence: str, generator: np.random.Generator) -> Array:
    """Brightness without noise, bias and loss of resolution, on the anatomy's grid: float32 (X, Y, Z)."""
    brightness = {
        tissue: np.float32(level * generator.lognormal(0.0, 0.0 if tissue == "white" else 0.025))
        for tissue, level in scanner.brightness[sequence].items()
    }
    own = Grid(anatomy.vividness.shape, anatomy.affine)
    ideal = np.zeros(own.shape, np.float32)
    for tissue in TISSUES:
        ideal += anatomy.tissues[tissue] * brightness[tissue]
    # Cortex is not evenly bright, nor are muscle and scalp; some of it is as bright as a lesion.
    mottle = 0.05 * smooth_noise(generator, own, 16.0) + 0.025 * smooth_noise(generator, own, 5.0)
    if sequence == "FLAIR":
        mottle += np.float32(0.10 * generator.lognormal(0.0, 0.4)) * anatomy.bright
    ideal *= 1.0 + mottle * (1.0 - 0.5 * anatomy.tissues["white"])
    # White matter has its own texture: vessels, perivascular spaces, myelin.
    ideal *= 1.0 + np.float32(0.03) * smooth_noise(generator, own, 2.8)
    if sequence == "FLAIR":
        # Jets of unsuppressed CSF.
        jets = np.clip(smooth_noise(generator, own, 9.0) + generator.normal(0.0, 0.4), 0.0, 1.5)
        ideal += np.float32(100.0 * scanner.flow) * jets * anatomy.flow * anatomy.tissues["csf"]

    for label in ("WMH", "ISL"):
        # A lesion is as far from healthy white matter as it is vivid.
        level = 100.0 + (brightness[label] - 100.0) * anatomy.vividness
        ideal += 0.25 * anatomy.halos[label] * np.maximum(level - ideal, 0.0)
        ideal += anatomy.lesions[label] * (level - ideal)
    ideal += anatomy.lesions["cavity"] * (brightness["cavity"] - ideal)
    return ideal


def _acquire(ideal: Image, grid: Grid, to_anatomy: Array, resolution: Array) -> Array:
    """Sample an image with a point spread of `resolution` (mm, full width at half maximum) along the grid's axes, which
    are nearly the image's: float32 (X, Y, Z)."""
    spacing = ideal.grid.spacing
    sigma = np.sqrt(np.maximum((resolution / spacing) ** 2 - 1.0, 0.0)) / 2.355
    data = ndimage.gaussian_filter(ideal.data, sigma, mode="nearest", truncate=3.0)
    voxels = np.linalg.inv(ideal.affine) @ to_anatomy @ grid.affine
    return np.asarray(
        ndimage.affine_transform(data, voxels[:3, :3], voxels[:3, 3], output_shape=grid.shape, order=1, cval=0.0)
    )
