"""Brains found in real heads: `python benchmarks/brain.py DATA_FOLDER` prints a table, fails beyond a limit.

DATA_FOLDER has `real` with the open MS datasets `ms_long` (raw scans, published brain masks) and `ms_mni` (stripped
scans), and `heads/scans` with whole heads in many sequences. A line per scan: the brain that the network finds and the
registration that starts from it, beside the template's brain and the registration that seeks it. Seconds are of CPU, of
one thread. `--pictures FOLDER` writes the outline in three planes for each scan: without a mask the eye has to judge.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from flairflow.brain_mask.network import MODEL, brain_mask, find_brain
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_image, read_labels
from flairflow.images.resample import ras_grid, resample
from flairflow.registration.from_brain import align_brain
from flairflow.registration.template import align_to_template, load_template, template_brain_mask

MIN_DICE, MAX_SECONDS = 0.96, 3.0
SEED, MINIMUM_QUALITY = 0, 0.3

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Case:
    """A scan, and its brain mask (X, Y, Z), bool, where one is known."""

    name: str
    image: Image
    brain: Array | None = None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder with other weights")
    parser.add_argument("--pictures", type=Path, help="folder to write pictures to")
    parser.add_argument("--only", default="", help="scans whose name has this in it")
    parser.add_argument(
        "--no-template", action="store_true", help="leave out the template's brain, which takes longest"
    )
    arguments = parser.parse_args()
    load_template(2.0)
    dices, seconds = [], []
    print(f"{'':26} | {'network':^30} | {'registration':>12} | {'template and its registration':^29}")
    print(
        f"{'scan':26} | {'Dice':>6} {'ml':>6} {'doubt':>6} {'CPU s':>6}   | {'quality':>7} {'s':>4} |"
        f" {'Dice':>6} {'ml':>6} {'quality':>7} {'CPU s':>6}"
    )
    for case in cases(arguments.data):
        if arguments.only not in case.name:
            continue
        found, spent = timed(lambda case=case: find_brain(case.image, arguments.model))
        mask, more = timed(lambda case=case, found=found: brain_mask(found, case.image.grid))
        aligned, aligning = timed(lambda case=case, mask=mask: align_brain(case.image, mask, kind="affine", seed=SEED))
        seconds.append(spent + more)
        score = overlap(mask, case.brain)
        if case.brain is not None:
            dices.append(score)
        line = f"{case.name:26} | {score:6.3f} {ml(mask, case):6.0f} {found.doubt:6.2f} {spent + more:6.1f}   |"
        line += f" {aligned.quality:7.2f} {aligning:4.1f} |"
        if not arguments.no_template:
            (other, quality), took = timed(lambda case=case: by_template(case.image))
            line += f" {overlap(other, case.brain):6.3f} {ml(other, case):6.0f} {quality:7.2f} {took:6.1f}"
        print(line, flush=True)
        if arguments.pictures:
            draw(arguments.pictures / f"{case.name}.png", case, mask)
    met = min(dices) >= MIN_DICE and max(seconds) <= MAX_SECONDS
    print(f"Dice at least {min(dices):.3f} (limit {MIN_DICE}), at most {max(seconds):.1f} s (limit {MAX_SECONDS})")
    return 0 if met else 1


def cases(data: Path) -> Iterator[Case]:
    """The scans, one by one."""
    long, mni, heads = data / "real" / "ms_long", data / "real" / "ms_mni", data / "heads" / "scans"
    for path in sorted(long.glob("sub-*/ses-*/anat/*_FLAIR.nii.gz")):
        published = long / "derivatives" / "resampled" / path.parent.relative_to(long)
        mask = read_labels(published / path.name.replace("FLAIR", "label-brain_mask")).data > 0
        yield Case(stem(path), read_image(path), mask)
    for path in sorted(mni.glob("sub-*/anat/*_FLAIR.nii.gz")):
        image = read_image(path)
        yield Case(f"mni_{stem(path)}", image, image.data != 0)
    for path in sorted(heads.glob("*.nii*")):
        if path.name.endswith(("_brain.nii.gz", "_lesion.nii.gz", "_lesion.nii")):
            continue
        image, known = read_image(path), path.with_name(f"{stem(path)}_brain.nii.gz")
        if known.exists():
            yield Case(stem(path), image, read_image(known).data > 0)
        else:
            yield Case(stem(path), image, image.data != 0 if "stripped" in path.name else None)


def by_template(image: Image) -> tuple[Array, float]:
    """The template's brain mask and the quality of its registration."""
    aligned = align_to_template(image, kind="affine", seed=SEED, minimum_quality=MINIMUM_QUALITY)
    return template_brain_mask(aligned, image), aligned.quality


def overlap(mask: Array, known: Array | None) -> float:
    return np.nan if known is None else 2.0 * float((mask & known).sum()) / float(mask.sum() + known.sum())


def ml(mask: Array, case: Case) -> float:
    return float(mask.sum()) * case.image.grid.voxel_ml


def timed(function: Callable[[], T]) -> tuple[T, float]:
    begin = time.process_time()
    result = function()
    return result, time.process_time() - begin


def draw(path: Path, case: Case, mask: Array) -> None:
    """Sagittal, coronal and axial planes through the middle of the brain and off it, with the outline."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    grid = ras_grid(case.image.grid, 1.0)
    image = resample(case.image, grid).data
    inside = resample(Image(mask.astype(np.float32), case.image.affine), grid).data > 0.5
    where = np.argwhere(inside) if inside.any() else np.argwhere(np.ones_like(inside))
    low, high = np.percentile(image[image != image.min()], (1, 99.5))
    figure, axes = pyplot.subplots(2, 3, figsize=(12, 8), facecolor="black", layout="constrained")
    for row, share in zip(axes, (50, 72), strict=True):
        for axis, panel in enumerate(row):
            plane = int(np.percentile(where[:, axis], share))
            panel.imshow(np.take(image, plane, axis).T, cmap="gray", origin="lower", vmin=low, vmax=high)
            panel.contour(np.take(inside, plane, axis).T, [0.5], colors="#ffb000", linewidths=0.8)
            panel.axis("off")
    figure.suptitle(f"{case.name}: {ml(mask, case):.0f} ml", color="white")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii").removesuffix("_FLAIR")


if __name__ == "__main__":
    sys.exit(main())
