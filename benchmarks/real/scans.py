"""The real scans of a data folder: which there are, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_image, read_labels

PATIENTS, SESSIONS = ("01", "12"), (1, 2)


@dataclass(frozen=True)
class Scan:
    """A scan by name; `flair`: whether it is one; brain and wmh: masks on its grid, where they are known."""

    name: str
    path: Path
    flair: bool = True
    brain: Path | None = None
    wmh: Path | None = None

    def image(self) -> Image:
        return read_image(self.path)

    def known_brain(self, image: Image) -> Array | None:
        """The known brain mask (X, Y, Z) bool; of a skull-stripped scan what is left of it, holes filled."""
        if self.brain is None:
            return None
        mask = image.data != 0 if self.brain == self.path else read_labels(self.brain).data > 0
        filled: Array = ndimage.binary_fill_holes(mask)
        return filled

    def known_wmh(self) -> Array | None:
        return None if self.wmh is None else read_labels(self.wmh).data > 0


def annotated(data: Path) -> list[Scan]:
    """The two FLAIRs with a consensus of three raters' lesion masks; skull-stripped."""
    root = data / "real" / "ms_mni"
    scans = []
    for patient in ("07", "26"):
        stem = f"sub-patient{patient}"
        image = root / stem / "anat" / f"{stem}_FLAIR.nii.gz"
        mask = root / "derivatives/consensus" / stem / "anat" / f"{stem}_label-lesion_desc-consensus_mask.nii.gz"
        scans.append(Scan(f"ms_mni {patient}", image, brain=image, wmh=mask))
    return scans


def sessions(data: Path) -> list[Scan]:
    """Two persons, scanned twice: whole heads, thick slices, brain masks."""
    root = data / "real" / "ms_long"
    scans = []
    for patient in PATIENTS:
        for session in SESSIONS:
            folder, stem = f"sub-patient{patient}/ses-{session}/anat", f"sub-patient{patient}_ses-{session}"
            mask = root / "derivatives/resampled" / folder / f"{stem}_label-brain_mask.nii.gz"
            scans.append(Scan(f"ms_long {patient}-{session}", root / folder / f"{stem}_FLAIR.nii.gz", brain=mask))
    return scans


def without_stroke(data: Path) -> list[Scan]:
    """Whole heads of people who had no stroke."""
    return [Scan(name, data / "heads/scans" / f"{name}.nii.gz") for name in ("flair3d", "flair2d")]


def other_heads(data: Path) -> list[Scan]:
    """Any sequence, to look at the brain masks; Colin27 has a known one."""
    folder = data / "heads" / "scans"
    known = {"colin27-t1": folder / "colin27-t1_brain.nii.gz"}
    there = {scan.name for scan in without_stroke(data)}
    scans = []
    for path in sorted(folder.glob("*.nii*")):
        name = path.name.split(".")[0]
        if not name.endswith(("_lesion", "_brain")) and name not in there:
            scans.append(Scan(name, path, flair="flair" in name, brain=known.get(name)))
    return scans


def dice(first: Array, second: Array) -> float:
    """Of two masks (X, Y, Z) bool; NaN where both are empty."""
    both = np.count_nonzero(first) + np.count_nonzero(second)
    return 2 * np.count_nonzero(first & second) / both if both else float("nan")
