"""Registration on real scans: `python benchmarks/registration.py DATA_FOLDER` prints tables, fails beyond a limit.

DATA_FOLDER has the open MS datasets `ms_long` (raw scans of two sessions, published transforms and brain masks) and
`ms_mni` (skull-stripped scans in MNI space).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_image, read_labels
from flairflow.images.transforms import read_transform
from flairflow.registration.pose import world_points
from flairflow.registration.rigid import align_rigid
from flairflow.registration.template import align_to_template, template_brain_mask

LARGEST_ERROR_MM, MIN_DICE, SEED, MINIMUM_QUALITY = 1.0, 0.93, 0, 0.3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--kind", choices=("affine", "syn"), default="affine")
    arguments = parser.parse_args()
    met = rigid_table(arguments.data / "ms_long") & template_table(arguments.data, arguments.kind)
    print("all limits met" if met else "LIMITS NOT MET")
    return 0 if met else 1


def rigid_table(data: Path) -> bool:
    """T1w -> FLAIR against the published transforms: displacement over the brain."""
    print(f"T1w -> FLAIR, rigid (limit: mean error {LARGEST_ERROR_MM} mm)")
    print(f"{'scan':28} {'before mm':>9} {'mean mm':>8} {'max mm':>7} {'quality':>8} {'starts':>7} {'CPU s':>8}")
    met = True
    for flair_path in sorted(data.glob("sub-*/ses-*/anat/*_FLAIR.nii.gz")):
        flair = read_image(flair_path)
        moving = read_image(flair_path.with_name(flair_path.name.replace("FLAIR", "T1w")))
        session = flair_path.parents[1].relative_to(data)
        scan = flair_path.name.removesuffix("_FLAIR.nii.gz")
        published = read_transform(
            data / "derivatives" / "lesionchange" / session / f"{scan}_from-FLAIR_to-T1w_mode-points_xfm.txt"
        )
        points = world_points(flair.grid, published_brain(data, flair_path))
        begin = time.process_time()
        found = align_rigid(moving, flair, seed=SEED, minimum_quality=MINIMUM_QUALITY)
        seconds = time.process_time() - begin
        before, error = displacement(np.eye(4), published, points), displacement(found.matrix, published, points)
        met &= bool(error.mean() <= LARGEST_ERROR_MM)
        print(
            f"{scan:28} {before.mean():9.2f} {error.mean():8.2f} {error.max():7.2f} {found.quality:8.2f}"
            f" {found.starts:7d} {seconds:8.1f}"
        )
    return met


def template_table(data: Path, kind: str) -> bool:
    """Template brain mask against the published mask (ms_long), or the skull-stripped brain itself (ms_mni)."""
    print(f"FLAIR -> template, {kind} at 2 mm (limit: Dice {MIN_DICE})")
    print(f"{'scan':28} {'Dice':>9} {'quality':>8} {'starts':>7} {'CPU s':>8}")
    met = True
    for path in sorted(
        [*data.glob("ms_long/sub-*/ses-*/anat/*_FLAIR.nii.gz"), *data.glob("ms_mni/sub-*/anat/*_FLAIR.nii.gz")]
    ):
        flair = read_image(path)
        brain = published_brain(data / "ms_long", path) if "ms_long" in path.parts else flair.data != 0
        begin = time.process_time()
        dice, quality, starts = brain_mask_dice(flair, brain, kind)
        met &= dice >= MIN_DICE
        scan = path.name.removesuffix("_FLAIR.nii.gz")
        print(f"{scan:28} {dice:9.4f} {quality:8.2f} {starts:7d} {time.process_time() - begin:8.1f}")
    return met


def brain_mask_dice(flair: Image, brain: Array, kind: str) -> tuple[float, float, int]:
    """Dice of the template's brain mask with a given one, quality and starts of the alignment."""
    found = align_to_template(
        flair, kind="syn" if kind == "syn" else "affine", seed=SEED, minimum_quality=MINIMUM_QUALITY
    )
    mask = template_brain_mask(found, flair)
    return 2.0 * float((mask & brain).sum()) / float(mask.sum() + brain.sum()), found.quality, found.starts


def published_brain(data: Path, flair: Path) -> Array:
    """The published brain mask (X, Y, Z), bool, on the grid of a FLAIR of ms_long."""
    folder = data / "derivatives" / "resampled" / flair.parent.relative_to(data)
    brain: Array = read_labels(folder / flair.name.replace("FLAIR", "label-brain_mask")).data > 0
    return brain


def displacement(first: Array, second: Array, points: Array) -> Array:
    """Distance (N,) in mm between where two 4x4 matrices bring points (N, 3)."""
    distance: Array = np.linalg.norm(points @ (first - second)[:3, :3].T + (first - second)[:3, 3], axis=1)
    return distance


if __name__ == "__main__":
    sys.exit(main())
