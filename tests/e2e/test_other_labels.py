"""Three invented labels and a second sequence, by configuration alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from chain import CONFIG, Run, same_segmentations, segmented_in_three_steps
from flairflow.tables import read_table

LABELS = ["Bright", "Scar", "Hole"]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Run:
    """Holes lie in scars, so the masks overlap; half of the scans lack a dwi; one mask is drawn on it."""
    manual: dict[str, Any] = {"folder": "derivatives/manual"}
    bright, scar, hole = (manual | {"entities": {"label": name}} for name in ("WMH", "ISL", "cavity"))
    simulated = CONFIG["simulation"]["datasets"]
    config = CONFIG | {
        "labels": LABELS,
        "images": ["FLAIR", "dwi"],
        "strategies": ["multiclass", "pseudolabels"],
        "datasets": {
            "both": {"root": "demo/both", "labels": {"Bright": bright, "Scar": scar, "Hole": hole}},
            "islonly": {"root": "demo/islonly", "labels": {"Scar": scar | {"drawn_on": "dwi"}}},
            "archive": {"root": "demo/islonly", "use": "segment"},
        },
        "simulation": {
            "root": "demo",
            "datasets": {
                "both": simulated["both"] | {"labels": ["WMH", "ISL", "cavity"]},
                "islonly": simulated["islonly"],
            },
        },
    }
    run = Run(tmp_path_factory.mktemp("other"), repository)
    (run.folder / "config.yaml").write_text(yaml.safe_dump(config))
    run.snakemake()
    return run


def test_every_scan_gets_a_volume_of_every_label(other: Run) -> None:
    volumes = read_table(other.results.table("volumes"))
    assert set(volumes["label"]) == set(LABELS) and volumes["volume_ml"].notna().all()
    comparison = read_table(other.results.table("comparison"))
    assert set(comparison["label"]) == set(LABELS)
    assert set(comparison["ensemble"]) == {"multiclass", "pseudolabels", "one_threshold", "two_thresholds"}


def test_models_are_of_these_labels_and_images(other: Run) -> None:
    plan = json.loads((other.results.model("pseudolabels", "all", 0) / "plan.json").read_text())
    assert (plan["labels"], plan["images"]) == (LABELS, ["FLAIR", "dwi"])
    assert plan["precedence"] == ["Hole", "Scar", "Bright"]


def test_a_sequence_that_is_not_there_is_not_made_up(other: Run) -> None:
    prepared = {path.name for path in other.results.prepared.rglob("*desc-prepared_*.nii")}
    assert {"sub-001_desc-prepared_FLAIR.nii", "sub-001_desc-prepared_dwi.nii"} <= prepared
    assert not list((other.results.prepared / "both").rglob("*desc-prepared_dwi.nii"))


def test_overlapping_masks_are_kept_until_precedence_resolves_them(other: Run) -> None:
    found = set()
    for path in (other.results.prepared / "both").rglob("*_desc-bits_dseg.nii.gz"):
        found |= set(np.unique(np.asarray(nib.load(path).dataobj)).tolist())  # type: ignore[attr-defined]
    assert 0b010 in found and found <= set(range(8))


def test_the_teacher_fills_in_two_of_three_masks(other: Run) -> None:
    paths = sorted((other.results.root / "pseudolabels/marginal/islonly").rglob("*_probseg.nii"))
    assert paths
    for path in paths:
        assert nib.load(path).shape[3] == 4  # type: ignore[attr-defined]
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert sidecar["LabelMap"] == ["background", *LABELS]


def test_one_pass_gives_what_three_steps_do_with_two_sequences(other: Run, tmp_path: Path) -> None:
    shard = "archive-archive-0001"
    results = segmented_in_three_steps(other, shard, "pseudolabels", tmp_path)
    scans, images = 4, len(LABELS) + 2
    assert same_segmentations(*results, shard, "pseudolabels") >= scans * images
