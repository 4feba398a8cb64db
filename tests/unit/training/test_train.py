"""The training stage: which scans a network sees, what it goes on from, and what it says when it is trained again."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import pandas as pd
import pytest
import torch

from flairflow import commands, dag
from flairflow.cohort.index import read_scans, write_shard_lists, write_shards
from flairflow.cohort.scan import Mask, Scan, to_row
from flairflow.cohort.sharding import assign_shards
from flairflow.comparison.tables.ensembles import ensemble_updates
from flairflow.config import Config, load_config
from flairflow.config.load import resolved
from flairflow.errors import ConfigError
from flairflow.files import write_text
from flairflow.images.grid import Grid, Image
from flairflow.images.nifti import memory_map, write_image
from flairflow.inference.pseudolabels import pseudolabel_scan
from flairflow.inference.teachers import Teaching
from flairflow.network.architecture import HEADS
from flairflow.network.ensemble import Ensemble
from flairflow.network.model import load_model, model_hash
from flairflow.paths import Results
from flairflow.preprocessing.prepare import Prepared
from flairflow.preprocessing.preprocess import write_prepared
from flairflow.shards.ledger import Row, read_ledger, write_ledger
from flairflow.tables import to_tsv
from flairflow.training.data.folds import assign_folds
from flairflow.training.ensemble_members import check_inits, fold_folders, model_folders
from flairflow.training.train import _say_what_changed, train_model

LABELS, SHAPE = ("A", "B"), (20, 20, 20)
STRATEGIES: dict[str, Any] = {
    "phased": None,
    "multimodel": None,
    "cooled": {"calibrates": "multimodel"},
    "mine": {"strategy": "pseudolabels", "teacher": "cooled"},
    "twice": {"strategy": "noisy_student", "folds": 2, "rounds": 2, "smallest_ml": 0, "confidence": 0},
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return prepare(tmp_path_factory.mktemp("cohort"), every=2)


def prepare(folder: Path, every: int) -> Config:
    """Prepared scans of six persons to train on, of whom one has two, and of two to validate on; `every` so many of
    them has a mask of B."""
    values = {
        "results": str(folder / "results"),
        "labels": list(LABELS),
        "datasets": {"ds": {"root": str(folder), "labels": {"A": {}, "B": {}}}},
        "preprocessing": {"spacing": 1.0},
        "training": {
            "network": {"filters": [4, 8, 16], "deep_supervision": 1},
            "patch": 16,
            "batch": 1,
            "updates": 2,
            "validate_every": 1,
            "precision": "32",
        },
        "strategies": STRATEGIES,
        "seeds": [0, 1],
    }
    config = load_config(values)
    results = Results(config.results)
    write_text(results.config, resolved(config))
    scans = []
    for number in range(9):
        person = "p0" if number == 6 else f"p{number}"
        masks = {"A": Mask("mask", "m"), "B": Mask("mask", "m") if number % every == 0 else Mask("missing")}
        split = "train" if number < 7 else "validation"
        if number == 7:
            masks["B"] = Mask("none")
        scans.append(Scan(f"ds_sub-{number}", "ds", str(number), "", person, {"FLAIR": "f"}, masks, split=split))
    scans = assign_shards(scans, 64, {})
    write_text(results.cohort, to_tsv(_frame(scans)))
    write_shards(results.shards, scans)
    write_shard_lists(results, scans)
    rows: dict[str, list[Row]] = {}
    for number, scan in enumerate(scans):
        rng = np.random.default_rng(number)
        bits = np.zeros(SHAPE, np.uint8)
        bits[3:8, 3:8, 3:8] |= 1
        bits[11:16, 11:16, 11:16] |= 2 * ("B" in scan.annotated)
        native = f"native{number}.nii"
        write_image(results.root / native, Image(bits, np.eye(4)))
        channel = (rng.normal(size=SHAPE) + 2 * (bits > 0)).astype(np.float32)
        grid = Grid(SHAPE, np.eye(4))
        made = Prepared(channel[None], (True,), np.ones(SHAPE, bool), grid, grid)
        registered = Row(scan.scan, "ok", "", files={"bits": native})
        files = write_prepared(scan, made, registered, config, results).files
        paths = {role: path.relative_to(results.root).as_posix() for role, path in files.items()}
        rows.setdefault(scan.shard, []).append(Row(scan.scan, "ok", f"prepared{number}", files=paths))
    for shard, own in rows.items():
        write_ledger(results.ledger("preprocess", shard), own)
    return config


def _frame(scans: list[Scan]) -> pd.DataFrame:
    return pd.DataFrame([to_row(scan) for scan in scans]).replace("", None)


@pytest.fixture(scope="module")
def trained(cohort: Config) -> Results:
    """All networks of all entries, in the order in which the rules ask for them."""
    results = Results(cohort.results)

    def train(name: str, *parts: str) -> None:
        for part in parts:
            for seed in cohort.seeds:
                train_model(name, part, seed, cohort, results, threads=1)

    def teach(ensemble: str) -> None:
        commands.pseudolabel(Namespace(config=results.config, shard="ds-train-0001", ensemble=ensemble))

    train("phased", "lesion", "all")
    train("multimodel", *LABELS)
    train("cooled", *LABELS)
    teach("cooled")
    train("mine", "all")
    train("twice", "round1-fold1", "round1-fold2")
    teach("twice.round1")
    train("twice", "round2-fold1", "round2-fold2")
    teach("twice.round2")
    train("twice", "all")
    return results


def learnt(results: Results, name: str, part: str) -> set[str]:
    """The training scans of a network (seed 0)."""
    recorded = results.learnt_scans()[results.model(name, part, 0)]
    return set(json.loads(recorded.read_text())) - {"ds_sub-7", "ds_sub-8"}


def test_nobody_teaches_whom_he_has_learnt_from(cohort: Config, trained: Results) -> None:
    scans = {scan.scan: scan for scan in read_scans(trained.cohort, LABELS, ("FLAIR",))}
    folds = assign_folds(list(scans.values()), 2, cohort.seed)
    assert set(folds) == {f"ds_sub-{n}" for n in range(7)} and folds["ds_sub-0"] == folds["ds_sub-6"]
    for step in ("round1", "round2"):
        rows = read_ledger(trained.ledger(f"pseudolabel/twice.{step}", "ds-train-0001"))
        assert set(rows) == {"ds_sub-1", "ds_sub-3", "ds_sub-5"}, "those that lack a mask"
        hashes = {fold: Ensemble(folders).hash for fold, folders in fold_folders(cohort, f"twice.{step}").items()}
        for fold in (0, 1):
            others = {scan for scan, number in folds.items() if number != fold}
            assert learnt(trained, "twice", f"{step}-fold{fold + 1}") == others
            record = load_model(trained.model("twice", f"{step}-fold{fold + 1}", 0)).record
            assert record.training_scans == len(others) and record.validation_scans == 2
        for scan, row in rows.items():
            sidecar = json.loads((trained.root / row.files["teacher"]).with_suffix(".json").read_text())
            assert sidecar["ModelHash"] == hashes[folds[scan]]
            assert sidecar["LabelMap"] == ["background", *LABELS] and sidecar["Model"] == f"twice.{step}"
            said, step_size, _ = memory_map(trained.root / row.files["teacher"])
            assert said.shape == (*SHAPE, 3) and said.dtype == np.uint8
            np.testing.assert_allclose(said.astype(float).sum(-1) * step_size, 1, atol=0.01)
            assert row.values.keys() == {"B_ml"}
    assert learnt(trained, "twice", "all") == set(folds)


def test_lesions_that_are_too_small_are_not_passed_on(cohort: Config, trained: Results, tmp_path: Path) -> None:
    results = Results(shutil.copytree(trained.root, tmp_path / "results"))
    rows = read_ledger(trained.ledger("preprocess", "ds-train-0001"))
    scans = {scan.scan: scan for scan in read_scans(trained.cohort, LABELS, ("FLAIR",))}
    found: dict[float, list[float]] = {}
    for smallest in (0.0, 0.02, 1000.0):
        twice = STRATEGIES["twice"] | {"smallest_ml": smallest}
        values = cohort.model_dump(mode="json") | {"results": str(results.root), "strategies": {"twice": twice}}
        config = load_config(values)
        teaching = Teaching(config, results, "twice.round1")
        for name in ("ds_sub-1", "ds_sub-3", "ds_sub-5"):
            outcome = pseudolabel_scan(scans[name], rows[name], teaching, config, results)
            said, _, _ = memory_map(outcome.files["teacher"])
            bits, _, _ = memory_map(results.root / rows[name].files["bits"])
            # Known lesions take nothing of it: what is filled in is B where it is largest and A is known not to be.
            filled = (said.argmax(-1) == 2) & (np.asarray(bits) & 1 == 0)
            volume = outcome.values["B_ml"]
            assert volume == pytest.approx(filled.sum() * config.preprocessing.spacing**3 / 1000)
            found.setdefault(smallest, []).append(float(volume or 0))
            said_nothing = said.sum(-1) == 0
            sizes = np.bincount(cc3d.connected_components(filled, connectivity=26).ravel())[1:]
            assert (sizes * config.preprocessing.spacing**3 / 1000 >= smallest).all()
            assert said_nothing.any() == (found[0.0][len(found[smallest]) - 1] > float(volume or 0))
    assert sum(found[0.0]) > 0, "a teacher that finds nothing would show nothing"
    assert found[1000.0] == [0, 0, 0] and sum(found[0.02]) <= sum(found[0.0])


def test_networks_start_from_a_model_of_other_data(cohort: Config, trained: Results, tmp_path: Path) -> None:
    boxed = trained.model("phased", "all", 0)
    values = cohort.model_dump(mode="json") | {"results": str(tmp_path / "results")}
    shutil.copytree(trained.root, tmp_path / "results", ignore=shutil.ignore_patterns("models", "train"))
    values["training"] |= {"init": str(boxed), "learning_rate": 1e-12}
    values["strategies"] = {"multiclass": {}, "multimodel": {}, "phased": {}, "fresh": {"strategy": "multiclass"}}
    values["strategies"]["fresh"]["init"] = "none"
    config, results = load_config(values), Results(tmp_path / "results")
    check_inits(config)
    before = load_model(boxed)
    heads = {name for name in before.weights if name.startswith(HEADS)}

    def same(name: str, part: str) -> tuple[bool, bool]:
        """Whether a network has the body and the heads of the model that it started from; it hardly learns here."""
        train_model(name, part, 0, config, results, threads=1)
        model = load_model(results.model(name, part, 0))
        equal = {
            key: tensor.shape == before.weights[key].shape and torch.allclose(tensor, before.weights[key], atol=1e-6)
            for key, tensor in model.weights.items()
        }
        return all(equal[key] for key in equal.keys() - heads), all(equal[key] for key in heads)

    assert same("multiclass", "all") == (True, True)
    assert same("multimodel", "A") == (True, False), "another number of classes"
    assert same("phased", "lesion") == (True, False)
    assert same("phased", "all") == (True, False), "its first phase gives the body, not the heads"
    assert same("fresh", "all") == (False, False)
    record = load_model(results.model("multiclass", "all", 0)).record
    assert record.updates_before == 0 and record.init is not None
    assert (record.init.model, record.init.hash) == (str(boxed), model_hash(boxed))
    assert record.init.updates == 2 and record.init.heads
    assert load_model(results.model("fresh", "all", 0)).record.init is None
    # Another starting point is another training, and none is the same one as ever.
    assert dag.training_version(config, "multiclass") != dag.training_version(config, "fresh")
    values["training"] |= {"init": None}
    assert dag.training_version(load_config(values), "multiclass") == dag.training_version(config, "fresh")


def test_a_model_that_is_not_alike_is_refused_in_words(cohort: Config, trained: Results, tmp_path: Path) -> None:
    boxed = trained.model("phased", "all", 0)
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"training": {"init": str(boxed), "network": {"filters": [4, 8, 32]}}},
            r"is \[4, 8, 32\], but .* has \[4, 8, 16",
        ),
        ({"training": {"init": str(boxed)}, "images": ["FLAIR", "T1w"]}, r"images is \['FLAIR', 'T1w'\], but"),
        ({"training": {"init": str(tmp_path)}}, "training.init: .* is no usable model folder"),
    ]
    for changed, said in cases:
        values = cohort.model_dump(mode="json")
        values["training"] |= changed.get("training", {})
        values |= {key: value for key, value in changed.items() if key != "training"}
        values["training"]["network"]["deep_supervision"] = 1
        with pytest.raises(ConfigError, match=said):
            check_inits(load_config(values))


def test_updates_before_are_counted_once(cohort: Config, trained: Results) -> None:
    def spent(name: str, part: str, seed: int = 1) -> tuple[int, int]:
        record = load_model(trained.model(name, part, seed)).record
        return record.updates, record.updates_before

    assert spent("phased", "lesion") == (2, 0) and spent("phased", "all") == (2, 2)
    assert spent("multimodel", "A") == spent("cooled", "A") == (2, 0)
    # Two networks of two updates taught it; a temperature costs none.
    assert spent("mine", "all") == (2, 4)
    assert spent("twice", "round1-fold2") == (2, 0) and spent("twice", "round2-fold1") == (2, 4)
    assert spent("twice", "all") == (2, 8)
    counted = {name: ensemble_updates(model_folders(cohort, name)) for name in cohort.ensembles}
    assert counted == {"phased": (2, 2), "multimodel": (4, 0), "cooled": (4, 0), "mine": (2, 4), "twice": (2, 8)}


def test_without_a_missing_mask_no_teacher_is_needed(tmp_path: Path) -> None:
    config = prepare(tmp_path, every=1)
    results = Results(config.results)
    for name in ("mine", "twice"):
        train_model(name, "all", 0, config, results, threads=1)
        record = load_model(results.model(name, "all", 0)).record
        assert (record.training_scans, record.updates, record.updates_before) == (7, 2, 0)


def test_scans_that_say_nothing_of_a_networks_labels_do_not_train_it_again(tmp_path: Path) -> None:
    config = prepare(tmp_path, every=2)
    results = Results(config.results)
    of_b = results.model("multimodel", "B", 0)
    scans = read_scans(results.cohort, LABELS, ("FLAIR",))
    unknown = [replace(scan, masks={**scan.masks, "B": Mask()}) if scan.scan == "ds_sub-7" else scan for scan in scans]
    write_text(results.cohort, to_tsv(_frame(unknown)))
    train_model("multimodel", "B", 0, config, results, threads=1)
    before = load_model(of_b).record
    assert set(json.loads(results.learnt_scans()[of_b].read_text())) == {f"ds_sub-{n}" for n in (0, 2, 4, 6, 8)}
    write_text(results.cohort, to_tsv(_frame([scan for scan in unknown if scan.scan != "ds_sub-7"])))
    train_model("multimodel", "B", 0, config, results, threads=1)
    assert load_model(of_b).record.inputs == before.inputs and before.validation_scans == 1


def test_a_temperature_is_all_that_calibration_changes(trained: Results) -> None:
    for part in LABELS:
        model, before = (load_model(trained.model(name, part, 1)) for name in ("cooled", "multimodel"))
        assert model.weights.keys() == before.weights.keys()
        assert all(torch.equal(tensor, before.weights[name]) for name, tensor in model.weights.items())
        assert before.plan.temperature == 1 != model.plan.temperature
        assert model.plan.strategy == "cooled" and model.plan.part == part
        assert model.record.calibration is not None
        assert model.record.calibration["after"] <= model.record.calibration["before"]
        assert model.record.inputs != before.record.inputs


def test_who_goes_on_from_weights_has_learnt_from_the_scans_behind_them(trained: Results) -> None:
    """Else `purge` would not name a second phase when somebody of the first withdrew."""
    everyone = {f"ds_sub-{n}" for n in range(7)}
    assert learnt(trained, "phased", "lesion") == learnt(trained, "phased", "all") == everyone
    assert load_model(trained.model("phased", "all", 0)).record.training_scans == 4
    assert (
        learnt(trained, "multimodel", "B")
        == learnt(trained, "cooled", "B")
        == everyone
        - {
            "ds_sub-1",
            "ds_sub-3",
            "ds_sub-5",
        }
    )


def test_a_second_phase_goes_on_from_the_first_of_its_seed(trained: Results) -> None:
    bodies = [load_model(trained.model("phased", "lesion", seed)).weights for seed in (0, 1)]
    after = load_model(trained.model("phased", "all", 1)).weights

    def distance(before: dict[str, torch.Tensor]) -> float:
        return sum(float((before[name] - after[name]).norm()) for name in after if not name.startswith(HEADS))

    assert distance(bodies[1]) < 0.5 * distance(bodies[0])


def test_a_model_trained_again_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = tmp_path / "scans.json"
    _say_what_changed(record, {"a": "1", "b": "1"}, "model")
    assert not caplog.records
    _say_what_changed(record, {"a": "1", "b": "1"}, "model")
    assert not caplog.records
    _say_what_changed(record, {"b": "2", "c": "1", "d": "1"}, "model")
    assert "model is trained again" in caplog.text
    assert "2 new (c, d); 1 gone (a); 1 changed (b)" in caplog.text
