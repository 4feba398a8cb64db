"""Twins that differ in one thing: nobody looked for the one's lesions; the other's annotator found none."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from chain import CONFIG, Run
from flairflow.cohort.index import read_scans
from flairflow.config import read_config
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image
from flairflow.report.counts import cohort_counts
from flairflow.shards.ledger import Row, read_ledger
from flairflow.tables import read_table
from flairflow.training.data.patches import Patches, read, read_teacher, shape_of
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.strategies import strategy
from flairflow.training.strategy import Annotations, Part, Task, one_class_each
from flairflow.training.train import prepared_scan

LABELS = ("WMH", "ISL")
TASK = Task(LABELS, ("ISL", "WMH"), one_class_each(LABELS))
EMPTY, MISSING = "twins_sub-empty", "twins_sub-missing"
SHARD = "twins-train-0001"


def network_of(name: str) -> Part:
    return strategy(name).parts(LABELS, strategy(name).options())["all"]


@pytest.fixture(scope="module")
def twins(chain: Run, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Run:
    """The workflow over the twins beside fully annotated participants."""
    run = Run(tmp_path_factory.mktemp("twins"), repository)
    source, root = chain.folder / "demo/both", run.folder / "twins"
    for name in ("empty", "missing"):
        for path in sorted(source.rglob("sub-001*_*.nii.gz")):
            copy = root / str(path.relative_to(source)).replace("sub-001", f"sub-{name}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        mask = root / f"derivatives/manual/sub-{name}/anat/sub-{name}_label-ISL_mask.nii.gz"
        affine = np.asarray(nib.load(mask).affine)  # type: ignore[attr-defined]
        empty = np.zeros(nib.load(mask).shape, bool)  # type: ignore[attr-defined]
        mask.unlink()
        if name == "empty":
            write_image(mask, Image(empty, affine))
    (root / "dataset_description.json").write_text('{"Name": "twins", "BIDSVersion": "1.10.0"}')
    (run.folder / "splits.tsv").write_text("participant\tsplit\nempty\ttrain\nmissing\ttrain\n")
    labels = CONFIG["datasets"]["both"]["labels"]
    config = CONFIG | {
        "strategies": ["pseudolabels"],
        "evaluation": {"grid": "preprocessed"},
        "datasets": {
            "both": {"root": str(source), "labels": labels},
            "twins": {"root": "twins", "labels": labels, "split_list": "splits.tsv"},
        },
    }
    del config["simulation"]
    (run.folder / "config.yaml").write_text(yaml.safe_dump(config))
    run.snakemake()
    return run


def row(run: Run, stage: str, scan: str) -> Row:
    return read_ledger(run.results.ledger(stage, SHARD))[scan]


@pytest.fixture(scope="module")
def prepared(twins: Run) -> dict[str, PreparedScan]:
    """Both as training sees them, with a teacher (the same for both) that finds ISL in one corner of the brain."""
    scans = {scan.scan: scan for scan in read_scans(twins.results.shard_list(SHARD), LABELS, ["FLAIR"])}
    made = {}
    for name in (EMPTY, MISSING):
        filled = row(twins, "pseudolabel/marginal", MISSING)
        made[name] = prepared_scan(scans[name], row(twins, "preprocess", name), twins.results, filled)
    brain = np.asarray(nib.load(made[EMPTY].brain).dataobj) > 0  # type: ignore[attr-defined]
    known = np.asarray(nib.load(made[EMPTY].bits).dataobj) > 0  # type: ignore[attr-defined,arg-type]
    probabilities = np.zeros((*brain.shape, 3), np.uint8)
    probabilities[..., 0] = 255
    x, y, z = np.argwhere(brain & ~known)[1000]
    probabilities[x, y, z] = (0, 0, 255)
    write_image(made[EMPTY].teacher or Path(), Image(probabilities, np.eye(4)), slope=1 / 255)
    return made


def test_they_are_indexed_apart(twins: Run) -> None:
    cohort = read_table(twins.results.cohort).set_index("scan")
    found = cohort.loc[[EMPTY, MISSING], ["annotation_WMH", "annotation_ISL"]]
    assert found.to_numpy().tolist() == [["mask", "mask"], ["mask", "missing"]]


def test_only_the_missing_mask_is_work_for_a_teacher(twins: Run) -> None:
    ledgers = list((twins.results.root / "ledgers/pseudolabel").rglob("*.tsv"))
    assert {name for path in ledgers for name in read_ledger(path)} == {MISSING}
    assert set(row(twins, "pseudolabel/marginal", MISSING).values) == {"ISL_ml"}


def test_a_teacher_is_trained_though_it_is_not_compared(twins: Run) -> None:
    models = twins.results.root / "models"
    assert {path.name for path in models.iterdir()} == {"marginal", "pseudolabels"}
    ensembles = set(read_table(twins.results.table("comparison"))["ensemble"])
    assert ensembles == {"pseudolabels", "one_threshold", "two_thresholds"}
    assert not twins.results.masks("marginal").exists()


def test_they_lead_to_other_targets(prepared: dict[str, PreparedScan]) -> None:
    """Marginal loss: ISL is a class of the one only. Pseudolabels: the teacher is heard for the other only."""
    targets, known, filled_in = {}, {}, {}
    for name, scan in prepared.items():
        shape = shape_of(scan)
        _, masks = read(scan, (0, 0, 0), shape)
        teacher = read_teacher(scan, (0, 0, 0), shape, 3)
        annotated = torch.tensor([[label in scan.annotated for label in LABELS]])
        given = Annotations(masks[1][None], masks[2][None], annotated, teacher[None])
        known[name] = network_of("marginal").targets(given, TASK)[1].tolist()
        targets[name] = network_of("pseudolabels").targets(given, TASK)[0]
        filled_in[name] = int((targets[name] == 2).sum())
        assert network_of("multiclass").learns_from(scan.annotated, TASK) == (name == EMPTY)
    assert known == {EMPTY: [[True, True]], MISSING: [[True, False]]}
    assert filled_in == {EMPTY: 0, MISSING: 1}
    assert torch.equal(targets[EMPTY] == 1, targets[MISSING] == 1)


def test_they_lead_to_other_sampling(twins: Run, prepared: dict[str, PreparedScan]) -> None:
    settings = read_config(twins.results.config).training

    def centres(scan: PreparedScan) -> dict[str, int]:
        return {label: len(voxels) for label, voxels in Patches([scan], TASK, settings, 0).centres[0][2].items()}

    alone = {name: centres(replace(scan, teacher=None)) for name, scan in prepared.items()}
    assert alone[EMPTY] == {"WMH": alone[MISSING]["WMH"], "ISL": 0}
    assert set(alone[MISSING]) == {"WMH"}
    assert centres(prepared[MISSING])["ISL"] == 1


def test_they_are_counted_apart_in_the_report(twins: Run) -> None:
    scans = read_scans(twins.results.cohort, LABELS, ["FLAIR"])
    registered = read_ledger(twins.results.ledger("register", SHARD))
    counts = {row["dataset"]: row["annotated"] for row in cohort_counts(scans, registered, LABELS)}
    assert counts["twins"] == {
        "WMH": {"lesion": 2, "none": 0, "missing": 0},
        "ISL": {"lesion": 0, "none": 1, "missing": 1},
    }
    page = twins.results.report.read_text()
    assert "<td>2</td><td>0</td><td>0</td><td>0</td><td>1</td><td>1</td>" in page[page.index("<td>twins</td>") :]


def test_on_the_preprocessed_grid_scores_are_of_what_the_network_said_there(twins: Run) -> None:
    metrics = read_table(twins.results.table("metrics"))
    rows = metrics[metrics["ensemble"] == "pseudolabels"].to_dict("records")
    assert rows
    for found in rows:
        shard = "both-test-0001"
        segmented = read_ledger(twins.results.ledger("segment/pseudolabels", shard))[found["scan"]]
        prepared_row = read_ledger(twins.results.ledger("preprocess", shard))[found["scan"]]
        classes, bits = (
            np.asarray(nib.load(twins.results.root / path).dataobj).astype(int)  # type: ignore[attr-defined]
            for path in (segmented.files["prepared_dseg"], prepared_row.files["bits"])
        )
        number = LABELS.index(found["label"])
        # ISL wins where both are.
        reference = (bits == 1) if found["label"] == "WMH" else bits >= 2
        assert found["predicted_ml"] == pytest.approx((classes == number + 1).sum() * 0.064, rel=1e-4)
        assert found["reference_ml"] == pytest.approx(reference.sum() * 0.064, rel=1e-4)
        assert 0 <= found["calibration_error"] <= 1
