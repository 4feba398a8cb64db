"""What a scanner makes of an anatomy: a sequence's image on any grid, and the masks on the same grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import resample
from flairflow.simulation.anatomy import Anatomy
from flairflow.simulation.fields import smooth_noise


@dataclass(frozen=True)
class Contrast:
    """Brightness of tissues and lesions, normal white matter being 100, and the noise in the same units.

    Lesions are spread: from scan to scan (a factor) and within a scan (a smooth field), so that WMH, ISL and bright
    cortex overlap.
    """

    tissues: dict[str, float]
    lesions: dict[str, float]
    cavity: float
    noise: float


CONTRASTS = {
    "FLAIR": Contrast(
        {"grey": 126, "white": 100, "csf": 22, "bone": 14, "fat": 165, "muscle": 72}, {"WMH": 172, "ISL": 176}, 32, 4.5
    ),
    "T1w": Contrast(
        {"grey": 74, "white": 100, "csf": 28, "bone": 16, "fat": 125, "muscle": 62}, {"WMH": 78, "ISL": 66}, 32, 3.5
    ),
    "dwi": Contrast(
        {"grey": 112, "white": 100, "csf": 30, "bone": 4, "fat": 12, "muscle": 22}, {"WMH": 116, "ISL": 225}, 32, 6.0
    ),
}


def draw_contrast(
    anatomy: Anatomy, sequence: str, grid: Grid, to_anatomy: Array, generator: np.random.Generator
) -> Image:
    """A scan of an anatomy: int16 (X, Y, Z) on `grid`.

    to_anatomy : 4x4 matrix from the scan's world to the anatomy's, RAS mm.
    """
    contrast = CONTRASTS[sequence]
    own = Grid(anatomy.cavity.shape, anatomy.affine)
    ideal = np.zeros(own.shape, np.float32)
    for tissue, mean in contrast.tissues.items():
        ideal += anatomy.tissues[tissue] * np.float32(mean * generator.lognormal(0.0, 0.04))
    # Cortex is not evenly bright, nor are muscle and scalp; some of it is as bright as a lesion.
    mottle = 0.07 * smooth_noise(generator, own, 16.0) + 0.03 * smooth_noise(generator, own, 5.0)
    ideal *= 1.0 + mottle * (1.0 - 0.7 * anatomy.tissues["white"])
    spread = 1.0 + 0.08 * smooth_noise(generator, own, 12.0)
    for label, mean in contrast.lesions.items():
        share = anatomy.lesions[label]
        ideal += share * (np.float32(mean * generator.lognormal(0.0, 0.06)) * spread - ideal)
    ideal += anatomy.cavity * (contrast.cavity - ideal)

    seen = resample(Image(ideal, anatomy.affine), grid, to_anatomy).data
    seen *= np.exp(0.12 * smooth_noise(generator, grid, 110.0))
    noise = np.float32(contrast.noise * generator.lognormal(0.0, 0.2))
    real, imaginary = (generator.standard_normal(grid.shape, np.float32) * noise for _ in range(2))
    seen = np.hypot(seen + real, imaginary) * generator.uniform(2.0, 6.0)
    return Image(np.rint(seen).astype(np.int16), grid.affine)


def draw_mask(anatomy: Anatomy, label: str, grid: Grid, to_anatomy: Array) -> Image:
    """The true mask of a label on a grid: the voxels that are lesion by half or more, bool (X, Y, Z)."""
    share = resample(Image(anatomy.lesions[label], anatomy.affine), grid, to_anatomy).data
    return Image(share >= 0.5, grid.affine)
