"""The catalogue of bad files as one cohort with good scans, through the whole workflow: nobody else loses anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from chain import Run
from faults.test_headers import FILES, NOT_FOUND, SHAPE, saved
from flairflow.images.grid import Array
from flairflow.tables import read_table
from unit.inference.test_single_images import model  # noqa: F401 (a fixture)

GOOD = [f"good{number}" for number in range(101, 109)]
EDGE = np.diag([4.0, 4, 4, 1])
# Of files that can be read: their brain, as given here, is of a few voxels, or lies elsewhere.
SMALL = "brain mask"


def head(seed: int) -> tuple[Array, Array]:
    """A head in voxels of 4 mm, int16, and its brain."""
    random = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, count) for count in (46, 56, 44)]
    radius = np.linalg.norm(np.stack(np.meshgrid(*axes, indexing="ij"), -1) * random.uniform(1.0, 1.2, 3), axis=-1)
    brain = radius < 0.8
    data = np.select([radius < 0.2, brain, radius < 0.88, radius < 0.98], [60.0, 300, 30, 700], 0.0)
    return np.abs(data + random.normal(0, 20, radius.shape)).astype("i2"), brain.astype("u1")


def image_of(root: Path, name: str, suffix: str = ".nii.gz") -> Path:
    return root / f"sub-{name}/anat/sub-{name}_FLAIR{suffix}"


def brain_of(root: Path, name: str) -> Path:
    return root / f"derivatives/brain/sub-{name}/anat/sub-{name}_desc-brain_mask.nii.gz"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, repository: Path, model: Path) -> Run:  # noqa: F811
    """Two datasets, one of the good scans alone, and one of the same scans among all others."""
    run = Run(tmp_path_factory.mktemp("catalogue"), repository)
    alone, mixed = (run.folder / name for name in ("alone", "mixed"))
    for seed, name in enumerate(GOOD):
        image, brain = head(seed)
        for root in (alone, mixed):
            saved(image_of(root, name), image, EDGE)
            saved(brain_of(root, name), brain, EDGE)
    for name, (damage, suffix, _) in FILES.items():
        damage(image_of(mixed, name, suffix))
        saved(brain_of(mixed, name), np.ones(SHAPE, "u1"))
    source = {"folder": "derivatives/brain", "suffix": "mask", "entities": {"desc": "brain"}}
    config = {
        "datasets": {root.name: {"root": root.name, "brain_mask": source} for root in (alone, mixed)},
        "models": {"given": "model"},
        "labels": ["A", "B"],
        "registration": {"template_resolution": 4.0},
        "preprocessing": {"spacing": 4.0, "bias_correction": False, "brain_mask": "provided"},
        "report": {"mosaics": 3},
    }
    shutil.copytree(model, run.folder / "model")
    plan = json.loads((run.folder / "model/plan.json").read_text())
    plan["preprocessing"]["spacing"] = 4.0  # weights that have learnt nothing know of no size
    (run.folder / "model/plan.json").write_text(json.dumps(plan))
    (run.folder / "config.yaml").write_text(yaml.safe_dump(config))
    said = run.snakemake()
    # Whatever is wrong with a file is foreseen: nothing of it is a bug.
    assert "UNEXPECTED" not in said
    return run


@pytest.fixture(scope="module")
def volumes(run: Run) -> pd.DataFrame:
    return read_table(run.results.table("volumes"), text=True).set_index(["dataset", "participant", "label"])


def test_good_scans_lose_nothing_by_the_others(run: Run, volumes: pd.DataFrame) -> None:
    good = [f"sub-{name}" for name in GOOD]
    alone, mixed = (pd.DataFrame(volumes.loc[dataset].loc[good]) for dataset in ("alone", "mixed"))
    assert len(alone) == 2 * len(GOOD) and (alone["reason"] == "").all()
    pd.testing.assert_frame_equal(alone.drop(columns=["scan"]), mixed.drop(columns=["scan"]))
    root = run.results.masks("given")
    masks = sorted((root / "alone").rglob("*.nii.gz"))
    assert len(masks) >= len(GOOD)
    for mask in masks:
        other = root / "mixed" / mask.relative_to(root / "alone")
        first, second = (np.asarray(nib.load(path).dataobj) for path in (mask, other))  # type: ignore[attr-defined]
        assert np.array_equal(first, second)


@pytest.mark.parametrize("name", [name for name in FILES if name not in NOT_FOUND])
def test_each_bad_file_has_a_reason_of_its_own(volumes: pd.DataFrame, name: str) -> None:
    says = FILES[name][2] or SMALL
    reasons = set(volumes.loc["mixed"].loc[f"sub-{name}"]["reason"])
    assert len(reasons) == 1
    (reason,) = reasons
    assert says in reason and f"sub-{name}_" in reason


def test_a_second_run_does_nothing(run: Run) -> None:
    assert not run.planned()
    shutil.rmtree(run.folder / "mixed/sub-text")
    assert run.planned()["index"] == 1
