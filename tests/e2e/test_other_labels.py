"""Every strategy on three invented labels and two sequences, by configuration alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import average_precision_score

from chain import CONFIG, Run, same_segmentations, segmented_in_three_steps
from flairflow.cohort.index import read_scans
from flairflow.config import read_config
from flairflow.images.masks import resolve
from flairflow.network.activation import channels, probabilities
from flairflow.network.architecture import build_network
from flairflow.network.ensemble import Ensemble
from flairflow.network.model import Model, load_model
from flairflow.paths import Results
from flairflow.shards.ledger import read_ledgers, stage_rows
from flairflow.tables import read_table
from flairflow.training.configured_strategies import ensemble_parts, entry
from flairflow.training.data.patches import read, shape_of
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.strategies import names
from flairflow.training.train import prepared_scan

LABELS = ["Bright", "Scar", "Hole"]
UPDATES = 200
ENTRIES: dict[str, Any] = {name: {} for name in names()} | {
    "noisy_student": {"folds": 2, "rounds": 2},
    "multimodel_calibrated": {"calibrates": "multimodel"},
    "phased_paper": {"strategy": "phased", "paper": True},
    "taught_by_many": {"strategy": "pseudolabels", "teacher": "multimodel", "centred_on_filled": False},
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Run:
    """Holes lie in scars, so the masks overlap; each dataset knows other labels; one lacks the second sequence; one
    mask is drawn on a sequence that the networks do not read."""
    manual: dict[str, Any] = {"folder": "derivatives/manual"}
    bright, scar, hole = (manual | {"entities": {"label": name}} for name in ("WMH", "ISL", "cavity"))
    simulated = CONFIG["simulation"]["datasets"]
    training = CONFIG["training"] | {"updates": UPDATES, "validate_every": UPDATES // 2, "learning_rate": 0.05}
    config = CONFIG | {
        "labels": LABELS,
        "images": ["FLAIR", "T1w"],
        "strategies": ENTRIES,
        "training": training,
        "datasets": {
            "both": {"root": "demo/both", "labels": {"Bright": bright, "Scar": scar, "Hole": hole}},
            "wmhonly": {"root": "demo/wmhonly", "labels": {"Bright": bright}},
            "islonly": {"root": "demo/islonly", "labels": {"Scar": scar | {"drawn_on": "dwi"}, "Hole": hole}},
            "archive": {"root": "demo/archive", "use": "segment"},
        },
        "simulation": {
            "root": "demo",
            "datasets": {
                "both": simulated["both"] | {"participants": 6, "labels": ["WMH", "ISL", "cavity"], "t1w": True},
                "wmhonly": {"participants": 4, "labels": ["WMH"], "voxel_size": [4, 4, 4], "t1w": True},
                "islonly": simulated["islonly"] | {"labels": ["ISL", "cavity"]},
                "archive": {"participants": 4, "voxel_size": [3, 3, 6], "t1w": True},
            },
        },
    }
    run = Run(tmp_path_factory.mktemp("other"), repository)
    (run.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    # Small networks gain nothing from a second thread: two are trained side by side.
    run.snakemake("--set-threads", "train_model=1", "--resources", "gpu=2")
    return run


def trained_models(run: Run) -> dict[str, Model]:
    """Every network that was trained, by its path below the models."""
    folders = sorted(path.parent for path in run.results.models.rglob("plan.json"))
    return {path.relative_to(run.results.models).as_posix(): load_model(path) for path in folders}


def test_every_scan_gets_a_volume_of_every_label(other: Run) -> None:
    volumes = read_table(other.results.table("volumes"))
    assert set(volumes["label"]) == set(LABELS) and (volumes["volume_ml"].notna() == volumes["reason"].isna()).all()
    comparison = read_table(other.results.table("comparison"))
    assert set(comparison["label"]) == set(LABELS)
    assert set(comparison["ensemble"]) == {*ENTRIES, "one_threshold", "two_thresholds"}


def test_every_network_gets_the_same_updates_and_says_what_was_spent_before(other: Run) -> None:
    assert {model.record.updates for model in trained_models(other).values()} == {UPDATES}
    comparison = read_table(other.results.table("comparison")).drop_duplicates("ensemble").set_index("ensemble")
    before = comparison["updates_before"].dropna().astype(int).to_dict()
    # A teacher; a first phase; three networks that teach; two rounds of two folds, of which one taught the other.
    expected = {"pseudolabels": 1, "phased": 1, "phased_paper": 1, "taught_by_many": 3, "noisy_student": 4}
    assert before == {name: expected.get(name, 0) * UPDATES for name in ENTRIES}
    updates = comparison["updates"].dropna().astype(int).to_dict()
    networks = dict.fromkeys(ENTRIES, 1) | dict.fromkeys(("multimodel", "multimodel_calibrated"), len(LABELS))
    assert updates == {name: number * UPDATES for name, number in networks.items()}


def test_shared_networks_are_trained_once(other: Run) -> None:
    work = other.results.root / "state/train"
    trained = Counter(path.relative_to(work).parts[0] for path in work.rglob("last.ckpt"))
    networks = {"multimodel": 3, "multimodel_calibrated": 0, "phased": 2, "phased_paper": 2, "noisy_student": 5}
    assert trained == Counter(dict.fromkeys(ENTRIES, 1) | networks)
    for label in LABELS:
        binary, scaled = (
            load_model(other.results.model(name, label, 0)) for name in ("multimodel", "multimodel_calibrated")
        )
        assert all(torch.equal(tensor, scaled.weights[name]) for name, tensor in binary.weights.items())
        likelihood = scaled.record.calibration
        assert binary.plan.temperature == 1 != scaled.plan.temperature
        assert likelihood is not None and likelihood["after"] < likelihood["before"]


@pytest.mark.parametrize("name", ENTRIES)
def test_every_strategy_beats_an_untrained_network(other: Run, name: str) -> None:
    """By average precision of lesion voxels in the training and validation scans: seconds do not make a model."""
    config = read_config(other.results.config)
    scans = known_scans(config.labels, config.images, other.results)
    owner, _ = ensemble_parts(config, name)
    for part in entry(config, owner.name).parts:
        model = load_model(other.results.model(name, part, 0))
        torch.manual_seed(0)
        outputs = channels(model.plan.activation, len(model.plan.classes))
        untrained = build_network(model.plan.network, len(model.plan.images), outputs)
        classes = owner.parts[part].classes
        before, after = (
            mean_precision(network, model, classes, scans) for network in (untrained.eval(), model.network().eval())
        )
        assert after > before, (part, before, after)


def known_scans(labels: tuple[str, ...], images: tuple[str, ...], results: Results) -> list[PreparedScan]:
    rows = stage_rows(results, "preprocess", ["train", "validation"])
    scans = [scan for scan in read_scans(results.cohort, labels, images) if scan.split in ("train", "validation")]
    return [prepared_scan(scan, rows[scan.scan], results) for scan in scans]


@torch.inference_mode()
def mean_precision(network: torch.nn.Module, model: Model, classes: Any, scans: list[PreparedScan]) -> float:
    """Average precision of the probabilities in the brain, per scan and class that is known and there; the mean."""
    found = []
    for scan in scans:
        image, masks = read(scan, (0, 0, 0), tuple(8 * -(-size // 8) for size in shape_of(scan)))
        brain, bits = masks[0].numpy() > 0, masks[1].numpy()
        predicted = probabilities(network(image[None]), model.plan.activation)[0].numpy()
        numbers = resolve(bits, model.plan.labels, model.plan.precedence)
        for channel, labels in enumerate(classes.values(), start=1):
            reference = np.isin(numbers, [model.plan.labels.index(label) + 1 for label in labels])
            if set(labels) <= set(scan.annotated) and reference[brain].any():
                found.append(average_precision_score(reference[brain], predicted[channel][brain]))
    assert found
    return float(np.mean(found))


def test_models_are_of_these_labels_and_images(other: Run) -> None:
    plan = json.loads((other.results.model("pseudolabels", "all", 0) / "plan.json").read_text())
    assert (plan["labels"], plan["images"]) == (LABELS, ["FLAIR", "T1w"])
    assert plan["precedence"] == ["Hole", "Scar", "Bright"]


def test_a_sequence_that_is_not_there_is_not_made_up(other: Run) -> None:
    prepared = {path.name for path in (other.results.prepared / "both").rglob("*desc-prepared_*.nii")}
    assert {"sub-001_desc-prepared_FLAIR.nii", "sub-001_desc-prepared_T1w.nii"} <= prepared
    assert not list((other.results.prepared / "islonly").rglob("*desc-prepared_T1w.nii"))


def test_overlapping_masks_are_kept_until_precedence_resolves_them(other: Run) -> None:
    found = set()
    for path in (other.results.prepared / "both").rglob("*_desc-bits_dseg.nii.gz"):
        found |= set(np.unique(np.asarray(nib.load(path).dataobj)).tolist())  # type: ignore[attr-defined]
    assert 0b010 in found and found <= set(range(8))


def test_teachers_say_how_probable_every_label_is(other: Run) -> None:
    for teacher in ("marginal", "multimodel", "noisy_student.round1", "noisy_student.round2"):
        paths = sorted((other.results.root / "pseudolabels" / teacher).rglob("*_probseg.nii"))
        assert {path.relative_to(other.results.root).parts[2] for path in paths} == {"wmhonly", "islonly"}
        for path in paths:
            assert nib.load(path).shape[3] == 4  # type: ignore[attr-defined]
            sidecar = json.loads(path.with_suffix(".json").read_text())
            assert sidecar["LabelMap"] == ["background", *LABELS] and sidecar["Model"] == teacher


def test_nobody_teaches_whom_they_have_learnt_from(other: Run) -> None:
    learnt = other.results.learnt_scans()
    scans = [scan for scan in read_scans(other.results.cohort, LABELS, ["FLAIR", "T1w"]) if scan.split == "train"]
    for number in (1, 2):
        models = [other.results.model("noisy_student", f"round{number}-fold{fold}", 0) for fold in (1, 2)]
        seen = {Ensemble([model]).hash: set(json.loads(learnt[model].read_text())) for model in models}
        rows = read_ledgers((other.results.root / f"ledgers/pseudolabel/noisy_student.round{number}").glob("*.tsv"))
        assert {scan.scan for scan in scans if scan.incomplete} == set(rows)
        for row in rows.values():
            sidecar = (other.results.root / row.files["teacher"]).with_suffix(".json")
            assert row.scan not in seen[json.loads(sidecar.read_text())["ModelHash"]]
        assert set.union(*seen.values()) >= {scan.scan for scan in scans}


def test_one_pass_gives_what_three_steps_do_with_two_sequences(other: Run, tmp_path: Path) -> None:
    shard, segmenter = "archive-archive-0001", list(ENTRIES)[-1]
    results = segmented_in_three_steps(other, shard, segmenter, tmp_path)
    scans, images = 4, len(LABELS) + 2
    assert same_segmentations(*results, shard, segmenter) >= scans * images
