"""Values that real archives hold, in images and in masks: what each becomes, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from flairflow.cohort.index import index, read_scans
from flairflow.config import load_config
from flairflow.paths import Results

SHAPE = (8, 9, 10)
SAY = "say under labels.A.values which mean A"


def saved(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)


# Values that each mask of a dataset holds, what the configuration says, and for each mask what its reason says.
DATASETS: dict[str, tuple[list[set[int]], dict[str, Any], list[str]]] = {
    "one value": ([{1}, {1}, set()], {}, ["", "", ""]),
    "one other value": ([{255}, {255}, set()], {}, ["", "", ""]),
    "the second alone": ([{1}, {1, 2}, {2}], {}, ["", f"several values (1, 2); {SAY}", "holds 2, most masks"]),
    "the second mostly": ([{2}, {2}, {1}, set()], {}, ["", "", f"holds 1, most masks of its dataset 2; {SAY}", ""]),
    "one of each": ([{1}, {2}], {}, ["", SAY]),
    "two scales": ([{1}, {1}, {255}], {}, ["", "", SAY]),
    "told apart": ([{1}, {1, 2}, {2}], {"values": [1]}, ["", "", ""]),
    "both told": ([{1}, {1, 2}, {2}], {"values": [1, 2]}, ["", "", ""]),
    "second ignored": ([{1}, {1, 2}, {2}], {"ignore_values": [2]}, ["", "", ""]),
    "none as told": ([{255}, {255}, set()], {"values": [1]}, ["no mask of its dataset holds"] * 2 + [""]),
    "an image": ([{1}, set(range(1, 400))], {}, ["", "values are no mask (256 or more different ones)"]),
}


@pytest.mark.parametrize("name", list(DATASETS))
def test_what_a_value_means_is_decided_over_the_dataset(tmp_path: Path, name: str) -> None:
    masks, source, says = DATASETS[name]
    for number, values in enumerate(masks, start=1):
        data = np.zeros(SHAPE, np.int16)
        data.flat[: len(values)] = sorted(values)
        saved(tmp_path / f"ds/sub-{number}/anat/sub-{number}_FLAIR.nii", np.ones(SHAPE, np.int16))
        saved(tmp_path / f"ds/derivatives/manual/sub-{number}/anat/sub-{number}_label-A_mask.nii", data)
    found = {"folder": "derivatives/manual", "entities": {"label": "A"}, **source}
    config = load_config(
        {
            "labels": ["A"],
            "results": str(tmp_path / "results"),
            "datasets": {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": found}}},
        }
    )
    index(config, threads=1)
    scans = read_scans(Results(config.results).cohort, config.labels, config.images)
    for scan, reason in zip(scans, says, strict=True):
        assert scan.included == (not reason) and reason in scan.reason
        assert scan.included or f"sub-{scan.participant}_label-A_mask.nii" in scan.reason
