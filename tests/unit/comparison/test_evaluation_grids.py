"""The stages segment and evaluate on a scan's files, with a real network: what is scored on which grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flairflow.cohort.scan import Mask, Scan
from flairflow.comparison.scoring.evaluate import evaluate_scan, evaluate_thresholds
from flairflow.config import Config, load_config
from flairflow.config.models import NetworkSettings, PreprocessingSettings
from flairflow.dag import evaluated
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.nifti import read_labels, read_map, write_image
from flairflow.images.resample import resample_masks
from flairflow.inference.prediction import predict_prepared
from flairflow.inference.segment import segment_scan
from flairflow.inference.segmented_scan import read_segmented
from flairflow.metrics.compute import score_masks, score_probabilities
from flairflow.metrics.registry import METRICS
from flairflow.network.architecture import build_network, network_weights
from flairflow.network.ensemble import Ensemble
from flairflow.network.model import Model, save_model
from flairflow.paths import Results
from flairflow.preprocessing.prepare import Prepared
from flairflow.preprocessing.preprocess import read_prepared, write_prepared
from flairflow.shards import stages
from flairflow.shards.ledger import Row
from flairflow.shards.run import Outcome
from small_models import small_plan, small_record

NATIVE = Grid((20, 21, 11), np.diag([2.0, 2.0, 4.0, 1.0]))


def row(outcome: Outcome, results: Results) -> Row:
    files = {role: path.relative_to(results.root).as_posix() for role, path in outcome.files.items()}
    return Row("ds_sub-1", "ok", "", files=files, values=outcome.values)


class Case:
    """One annotated test scan, registered and prepared, and a network of random weights that finds labels in it."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.root, self.results = folder, Results(folder / "results")
        self.config: Config = load_config(
            {"labels": ["A", "B"], "datasets": {"ds": {"root": str(folder), "labels": {"A": {}}}}} | config
        )
        masks = {"A": Mask("mask", "a"), "B": Mask("missing")}
        self.scan = Scan("ds_sub-1", "ds", "1", "", "p", {"FLAIR": "flair.nii"}, masks, split="test")
        generator = np.random.default_rng(0)
        write_image(folder / "flair.nii", Image(generator.random(NATIVE.shape).astype(np.float32), NATIVE.affine))
        bits = (generator.random(NATIVE.shape) < 0.2).astype(np.uint8)
        bits[5:12, 5:12, 3:8] = 1
        ignore = np.zeros(NATIVE.shape, np.uint8)
        ignore[8:10] = 1
        files = {}
        for role, data in (("bits", bits), ("ignore", ignore)):
            files[role] = self.results.root / f"{role}.nii"
            write_image(files[role], Image(data, NATIVE.affine))
        self.registered = row(Outcome(files), self.results)
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        affine[2, 3] = -1.0
        brain = np.zeros((20, 21, 22), bool)
        brain[2:18, 2:19, 3:20] = True
        scores = np.where(brain, generator.normal(size=brain.shape), 0).astype(np.float32)
        ready = Prepared(scores[None], (True,), brain, Grid((20, 21, 22), affine), NATIVE)
        written = write_prepared(self.scan, ready, self.registered, self.config, self.results)
        self.prepared = row(written, self.results)
        self.ensemble = Ensemble([make_model(folder / "model")], precision="32")

    def segment(self, scan: Scan | None = None) -> Row:
        made = segment_scan(scan or self.scan, self.prepared, self.ensemble, "mine", self.config, self.results)
        return row(made, self.results)

    def array(self, role: str, of: Row) -> Array:
        return read_map(self.results.root / of.files[role]).data


def make_model(folder: Path) -> Path:
    network = NetworkSettings(filters=(4, 8, 16), deep_supervision=1)
    torch.manual_seed(3)
    plan = small_plan(network, strategy="multiclass", preprocessing=PreprocessingSettings(spacing=2.0), overlap=0.5)
    record = small_record()
    weights = network_weights(build_network(network, 1, 3))
    # Every class is somewhere the most probable one.
    for name in weights:
        if name.startswith("output_block."):
            weights[name] *= 20
    save_model(folder, Model(weights, plan, record))
    return folder


def test_on_the_native_grid_delivered_masks_and_their_probabilities_are_scored(tmp_path: Path) -> None:
    case = Case(tmp_path)
    segmented = case.segment()
    assert "prepared_dseg" not in segmented.files
    found = evaluate_scan(case.scan, case.registered, segmented, case.config, case.results).values
    prediction = case.array("mask_A", segmented) > 0
    assert 0.05 < prediction.mean() < 0.95
    reference, counted = case.array("bits", case.registered) > 0, case.array("ignore", case.registered) == 0
    brain_ml = float(str(case.prepared.values["brain_ml"]))
    expected = score_masks(prediction, reference, counted, NATIVE, brain_ml)
    assert expected["afvd"] == pytest.approx(abs(float(str(expected["volume_error_ml"]))) / (16 * 17 * 17 * 0.008))
    brain = case.array("brain", segmented) > 0
    expected |= score_probabilities(case.array("probability_A", segmented), reference, counted, brain)
    assert found == {f"A {name}": value for name, value in expected.items()}
    assert {name for name, value in found.items() if value is not None} == {
        f"A {name}" for name, metric in METRICS.items() if metric.where != "free"
    }


def test_on_the_preprocessed_grid_the_network_is_scored_where_it_looked(tmp_path: Path) -> None:
    case = Case(tmp_path, evaluation={"grid": "preprocessed"})
    segmented = case.segment()
    assert "probability_A" not in segmented.files  # nobody asked for those
    ready = read_prepared(case.scan, case.prepared, case.results)
    probabilities = predict_prepared(ready, case.ensemble)
    prediction = np.argmax(probabilities, axis=0) == 1
    assert 0.05 < prediction[ready.brain].mean() < 0.95
    native = read_labels(case.results.root / case.registered.files["bits"])
    reference = resample_masks(native, 1, ready.grid).data > 0
    counted = case.array("ignore", case.prepared) == 0
    expected = score_masks(prediction, reference, counted, ready.grid, ready.brain_ml)
    expected |= score_probabilities(probabilities[1], reference, counted, ready.brain)
    found = evaluate_scan(case.scan, case.prepared, segmented, case.config, case.results).values
    assert found == pytest.approx({f"A {name}": value for name, value in expected.items()}, nan_ok=True)
    other = Case(tmp_path)
    delivered = other.segment()
    assert np.array_equal(other.array("dseg", delivered), case.array("dseg", segmented))
    elsewhere = evaluate_scan(other.scan, other.registered, delivered, other.config, other.results).values
    assert elsewhere["A dice"] != found["A dice"]


@pytest.mark.parametrize("grid", ["native", "preprocessed"])
def test_only_test_scans_with_annotations_are_given_what_scoring_needs(tmp_path: Path, grid: str) -> None:
    case = Case(tmp_path, evaluation={"grid": grid})
    scored = set(case.segment().files)
    # Of the labels of the scan B is not annotated.
    maps = {"native": {"probability_A"}, "preprocessed": {"prepared_dseg", "prepared_probability_A"}}
    assert scored == {"mask_A", "mask_B", "brain", "dseg"} | maps[grid]
    unknown = {label: Mask("missing") for label in case.config.labels}
    for split, masks in (("train", case.scan.masks), ("test", unknown)):
        scan = Scan("ds_sub-1", "ds", "1", "", "p", {"FLAIR": "flair.nii"}, masks, split=split)
        plain = set(case.segment(scan).files)
        assert plain == {"mask_A", "mask_B", "brain", "dseg"}


def test_known_masks_are_shown_as_they_are_scored(tmp_path: Path) -> None:
    case = Case(tmp_path, precedence=["B", "A"])
    overlap = case.array("bits", case.registered).astype(np.uint8)
    overlap[5:8, 5:8] |= 2
    write_image(case.results.root / case.registered.files["bits"], Image(overlap, NATIVE.affine))
    scan = replace(case.scan, masks={"A": Mask("mask", "a"), "B": Mask("mask", "b")})
    _, _, predicted, known = read_segmented(scan, case.registered, case.segment(), case.config, case.results)
    assert np.array_equal(known["A"], overlap == 1) and np.array_equal(known["B"], overlap >= 2)
    assert (overlap == 3).any() and not (predicted["A"] & predicted["B"]).any()


def test_all_maps_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    case = Case(tmp_path, segmentation={"probabilities": True})
    assert {"probability_A", "probability_B"} < set(case.segment().files)


@pytest.mark.parametrize("grid", ["native", "preprocessed"])
def test_an_intensity_rule_has_masks_on_either_grid_and_no_probabilities(tmp_path: Path, grid: str) -> None:
    case = Case(tmp_path, evaluation={"grid": grid})
    known = case.registered if grid == "native" else case.prepared
    found = evaluate_thresholds(case.scan, known, case.prepared, {"A": (0.5, 9.0)}, case.config, case.results).values
    assert set(found) == {f"A {name}" for name in METRICS} - {
        f"A {n}" for n in ("ap", "average_precision", "calibration_error")
    }
    ready = read_prepared(case.scan, case.prepared, case.results)
    called = (ready.images[0] > 0.5) & ready.brain & (case.array("ignore", case.prepared) == 0)
    same = np.isclose(float(str(found["A predicted_ml"])), called.sum() * 0.008)
    assert bool(same) is (grid == "preprocessed")


def test_the_grid_decides_which_references_are_read(tmp_path: Path) -> None:
    native, prepared = Case(tmp_path), Case(tmp_path, evaluation={"grid": "preprocessed"})
    results = native.results
    for config, stage in ((native.config, "register"), (prepared.config, "preprocess")):
        assert stages.reference_stage(config) == stage
        assert results.ledger(stage, "s").name in {path.name for path in evaluated(config, "marginal", "s")}
        folders = [path.parent.name for path in evaluated(config, "marginal", "s")]
        assert sorted(folders) == sorted(["marginal", stage])
        rule = [path.parent.name for path in evaluated(config, "one_threshold", "s")]
        assert sorted(rule) == sorted({"tables", "preprocess", stage})
