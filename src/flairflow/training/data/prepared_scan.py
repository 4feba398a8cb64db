"""A scan as training sees it: files on one grid, and which labels are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PreparedScan:
    """One preprocessed scan: uncompressed NIfTI files on one grid (X, Y, Z), RAS, isotropic, cropped to the brain.

    scan      : its id.
    images    : one file per configured sequence, z-scored in the brain and zero outside; None where this scan lacks
                the sequence (the network then sees zeros).
    brain     : uint8 mask.
    bits      : uint8 image, bit i is the i-th label (`flairflow.images.masks`); None if nothing is annotated.
    ignore    : uint8 image, bit i says that the i-th label is not to be judged in this voxel; None if there is none.
    annotated : the labels whose mask is known. A known mask may be empty ("none there"); a label that is not named
                here is unknown, whatever `bits` says.
    teacher   : uint8 (X, Y, Z, 1 + L), a teacher's probabilities in 255ths, background first (`training.pseudolabels`);
                None where it was not asked.
    """

    scan: str
    images: tuple[Path | None, ...]
    brain: Path
    bits: Path | None
    ignore: Path | None
    annotated: tuple[str, ...]
    teacher: Path | None = None
