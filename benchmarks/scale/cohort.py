"""Cohorts of any number of scans: BIDS trees of tiny images, one after the other the same few bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
import pandas as pd

from flairflow.cohort.index import write_shard_lists, write_shards
from flairflow.cohort.left_out import COLUMNS, summary
from flairflow.cohort.scan import Mask, Scan, columns, to_row
from flairflow.cohort.sharding import assign_shards
from flairflow.cohort.splits import assign_splits
from flairflow.config import read_config
from flairflow.paths import Results
from flairflow.tables import write_table

Kind = Literal["realistic", "all annotated", "all annotated, 128 a shard"]

# The volumes of Phitidis et al. 2026. In their training lists (docs/paper.md) one half of the scans has both masks, an
# eighth WMH alone, the rest ISL alone.
ANNOTATED = 2_052
PATTERN = (("WMH", "ISL"), ("ISL",), ("WMH", "ISL"), ("WMH",), ("WMH", "ISL"), ("ISL",), ("WMH", "ISL"), ("ISL",))

# Trees are not in the working folder itself: Python, as the jobs of a cluster start it, lists all folders there several
# times, which takes a second where one holds 100,000 participants.
CONFIG = """\
labels: [WMH, ISL]
datasets:
  study:
    root: data/study
    labels:
      WMH: {folder: derivatives/manual, entities: {label: WMH}}
      ISL: {folder: derivatives/manual, entities: {label: ISL}}
  archive: {root: data/archive}
"""


def make_cohort(folder: Path, count: int, kind: Kind) -> None:
    """A configuration and the BIDS trees `study`, annotated as in the paper, and `archive`, with nothing annotated.

    realistic     : the study has the paper's 2,052 scans, the archive the rest.
    all annotated : all are in the study, by 64 to a shard or by 128.
    """
    _configure(folder, kind)
    (folder / "data" / "archive").mkdir(parents=True)
    add_scans(folder, range(count), kind)


def add_scans(folder: Path, numbers: range, kind: Kind) -> None:
    """Write the scans of these numbers to the trees of a cohort."""
    image, mask = _files(folder)
    for number in numbers:
        dataset = _dataset(number, kind)
        path = flair(folder / "data" / dataset, number)
        _write(path, image)
        if dataset == "study":
            for masked in mask_paths(folder / "data" / dataset, number):
                _write(masked, mask)


def assign_tables(folder: Path, count: int, kind: Kind) -> None:
    """The configuration, and what an index of the same trees would leave, without the trees."""
    _configure(folder, kind)
    for name in ("study", "archive"):
        (folder / "data" / name).mkdir(parents=True)
    config = read_config(folder / "config.yaml")
    results = Results(folder / "results")
    scans = assign_splits(
        [_scan(number, kind) for number in range(count)], config.datasets, config.index.splits, config.seed, {}
    )
    scans = assign_shards(scans, config.index.shard_size, {})
    write_shards(results.shards, scans)
    write_shard_lists(results, scans)
    dictionary = columns(config.labels, config.images)
    write_table(results.cohort, pd.DataFrame([to_row(scan) for scan in scans]).replace("", None), dictionary)
    write_table(results.cohort_summary, summary({}, {}), COLUMNS)


def flair(root: Path, number: int) -> Path:
    """The image of a scan."""
    return root / f"sub-{number:06d}/anat/sub-{number:06d}_FLAIR.nii.gz"


def mask_paths(root: Path, number: int) -> Iterator[Path]:
    """The masks of an annotated scan."""
    for label in PATTERN[number % len(PATTERN)]:
        folder = root / f"derivatives/manual/sub-{number:06d}/anat"
        yield folder / f"sub-{number:06d}_label-{label}_mask.nii.gz"


def _configure(folder: Path, kind: Kind) -> None:
    folder.mkdir(parents=True)
    larger = "index: {shard_size: 128}\n" if kind.endswith("128 a shard") else ""
    (folder / "config.yaml").write_text(CONFIG + larger)


def _dataset(number: int, kind: Kind) -> str:
    return "archive" if kind == "realistic" and number >= ANNOTATED else "study"


def _scan(number: int, kind: Kind) -> Scan:
    dataset = _dataset(number, kind)
    name = f"sub-{number:06d}"
    masks = {"WMH": Mask(), "ISL": Mask()}
    if dataset == "study":
        for label in PATTERN[number % len(PATTERN)]:
            masks[label] = Mask("mask", f"derivatives/manual/{name}/anat/{name}_label-{label}_mask.nii.gz")
    images = {"FLAIR": str(flair(Path(), number))}
    return Scan(f"{dataset}_{name}", dataset, name[4:], "", f"{dataset}_{name}", images, masks, digest="0" * 64)


def _files(folder: Path) -> tuple[bytes, bytes]:
    """The bytes of an image and of a mask, of 4 x 4 x 4 voxels."""
    voxels = np.arange(1, 65, dtype=np.int16).reshape(4, 4, 4)
    contents = []
    for data in (voxels, (voxels > 60).astype(np.uint8)):
        path = folder / "one.nii.gz"
        nib.save(nib.Nifti1Image(data, np.eye(4)), path)
        contents.append(path.read_bytes())
        path.unlink()
    return contents[0], contents[1]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
