"""Scanners and their protocols: each is drawn once, and every scan has a bit of its own besides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Brightness on each sequence, healthy white matter being 100: middle and spread (standard deviation) over scanners.
# Lesions too: on FLAIR the distributions of WMH and ISL overlap each other's and that of bright cortex.
BRIGHTNESS: dict[str, dict[str, tuple[float, float]]] = {
    "FLAIR": {
        "grey": (117, 5), "deep": (105, 4), "white": (100, 0), "csf": (28, 9), "choroid": (145, 12),
        "lining": (128, 7), "bone": (12, 3), "fat": (85, 40), "muscle": (58, 8),
        "WMH": (152, 8), "ISL": (157, 9), "cavity": (36, 7),
    },
    "T1w": {
        "grey": (72, 3), "deep": (80, 3), "white": (100, 0), "csf": (27, 4), "choroid": (60, 5),
        "lining": (86, 4), "bone": (15, 3), "fat": (125, 15), "muscle": (60, 6),
        "WMH": (78, 4), "ISL": (66, 5), "cavity": (32, 4),
    },
    "dwi": {
        "grey": (113, 4), "deep": (104, 3), "white": (100, 0), "csf": (28, 5), "choroid": (90, 15),
        "lining": (100, 0), "bone": (4, 1), "fat": (12, 3), "muscle": (22, 4),
        "WMH": (114, 4), "ISL": (225, 15), "cavity": (32, 5),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Scanner:
    """A scanner and its protocol.

    brightness : of every tissue and lesion (white matter: 100), by sequence.
    gamma      : exponent of the intensities, relative to white matter.
    bias       : spread of the logarithm of the receive field.
    noise      : standard deviation, in units of a hundredth of white matter.
    blur       : resolution in units of the voxel edge, full width at half maximum.
    flow       : how bright the CSF gets where it moves, in units of white matter; high in 2D.
    slices     : whether the FLAIR is 2D: whose slices differ a bit in brightness.
    scale      : intensity of white matter in the file.
    """

    brightness: dict[str, dict[str, float]]
    gamma: float
    bias: float
    noise: float
    blur: float
    flow: float
    slices: bool
    scale: float


def draw_scanner(seed: list[int], voxel_size: tuple[float, float, float]) -> Scanner:
    """The scanner of a seed, for a FLAIR with these voxel edges (mm). Where the third is twice the others or more, the
    FLAIR is 2D, with more flow artefacts. Larger voxels have less noise, but not by as much as they have more signal:
    protocols trade it for time."""
    generator = np.random.default_rng(seed)
    slices = voxel_size[2] >= 2 * max(voxel_size[:2])
    brightness = {
        sequence: {
            tissue: float(max(middle + spread * np.clip(generator.standard_normal(), -2, 2), 4.0))
            for tissue, (middle, spread) in tissues.items()
        }
        for sequence, tissues in BRIGHTNESS.items()
    }
    return Scanner(
        brightness,
        gamma=float(generator.uniform(0.88, 1.15)),
        bias=float(generator.uniform(0.06, 0.16)),
        noise=float(generator.uniform(3.5, 7.0) * np.prod(voxel_size) ** -0.25),
        blur=float(generator.uniform(1.0, 1.35)),
        flow=float(generator.uniform(0.6, 1.3) if slices else generator.uniform(0.0, 0.35)),
        slices=slices,
        scale=float(generator.lognormal(np.log(400.0), 0.5)),
    )
