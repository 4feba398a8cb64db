"""Temperatures: found where they are known, and never for the worse."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flairflow.config.models import NetworkSettings
from flairflow.errors import ConfigError
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image
from flairflow.network.activation import Activation, channels, probabilities
from flairflow.network.architecture import build_network, network_weights
from flairflow.network.model import Model
from flairflow.network.sliding_window import predict_logits
from flairflow.training.calibration import calibrate, fit_temperature, nll
from flairflow.training.data.patches import read
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.strategy import Task, one_class_each
from small_models import small_plan, small_record

LABELS = ("A", "B")
TASK = Task(LABELS, ("B", "A"), one_class_each(LABELS))
NETWORK = NetworkSettings(filters=(4, 8, 16), deep_supervision=1)
SHAPE = (24, 20, 16)


def make_model(activation: Activation, classes: tuple[str, ...] = LABELS) -> Model:
    torch.manual_seed(2)
    plan = small_plan(NETWORK, strategy="trained", labels=LABELS, classes=classes, activation=activation)
    record = small_record(updates=7, updates_before=5, best_update=7, validation_scans=1, inputs="trained")
    return Model(network_weights(build_network(NETWORK, 1, channels(activation, len(classes)))), plan, record)


def make_scan(folder: Path, seed: int, annotated: tuple[str, ...] = LABELS) -> PreparedScan:
    signal = np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)
    brain = np.ones(SHAPE, bool)
    brain[:2] = False
    write_image(folder / "image.nii", Image(signal * brain, np.eye(4)), slope=0.001)
    write_image(folder / "brain.nii", Image(brain, np.eye(4)))
    write_image(folder / "bits.nii", Image(np.zeros(SHAPE, np.uint8), np.eye(4)))
    return PreparedScan(
        folder.name, (folder / "image.nii",), folder / "brain.nii", folder / "bits.nii", None, annotated
    )


def annotate(scan: PreparedScan, model: Model, temperature: float, seed: int) -> None:
    """Give a scan masks drawn at random from what the model predicts with a temperature: then it is calibrated."""
    image, _ = read(scan, (0, 0, 0), SHAPE)
    logits = predict_logits(model.network(), image, 16, 0.25, "32")
    said = probabilities(logits[None], model.plan.activation, temperature)[0].numpy()
    rng = np.random.default_rng(seed)
    if model.plan.activation == "softmax":
        drawn = (said.cumsum(0) < rng.random(SHAPE)).sum(0)
        bits = np.array([0, 1, 2], np.uint8)[drawn]
    else:
        bits = (rng.random(SHAPE) < said[1]).astype(np.uint8)
    assert scan.bits is not None
    # Outside the brain all is wrong, which nobody may see.
    bits[:2] = 1
    write_image(scan.bits, Image(bits, np.eye(4)))


def scaled(model: Model, factor: float) -> Model:
    """The same network with logits multiplied."""
    weights = {
        name: tensor * factor if name.startswith("output_block.") else tensor for name, tensor in model.weights.items()
    }
    return Model(weights, model.plan, model.record)


@pytest.mark.parametrize("factor", [3.0, 1.0, 0.5])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_known_temperature_is_found(tmp_path: Path, activation: Activation, factor: float) -> None:
    # A model is scaled until its logits are as large as trained ones; masks are drawn from what it says, so that it is
    # calibrated; then its logits are multiplied by the factor, which is the temperature to find.
    classes = LABELS if activation == "softmax" else ("A",)
    task = replace(TASK, classes=one_class_each(classes))
    model = scaled(make_model(activation, classes), 4.0)
    scans = [make_scan(tmp_path / f"scan{n}", n) for n in range(3)]
    for number, scan in enumerate(scans):
        annotate(scan, model, 1.0, number)
    temperature, likelihood = fit_temperature(scaled(model, factor), task, scans)
    assert temperature == pytest.approx(factor, rel=0.15)
    assert likelihood["after"] <= likelihood["before"] + 1e-6
    if factor == 3.0:
        assert likelihood["after"] < likelihood["before"] - 0.01


def test_the_calibrated_model_is_the_network_with_a_temperature(tmp_path: Path) -> None:
    model = scaled(make_model("softmax"), 12.0)
    scan = make_scan(tmp_path / "scan", 0)
    annotate(scan, model, 3.0, 0)
    cooled = calibrate(model, "cooled", TASK, [scan], "inputs")
    assert cooled.weights is model.weights
    assert cooled.plan == model.plan.model_copy(update={"strategy": "cooled", "temperature": cooled.plan.temperature})
    assert cooled.plan.temperature == pytest.approx(3.0, rel=0.2)
    assert (cooled.record.inputs, cooled.record.updates, cooled.record.updates_before) == ("inputs", 7, 5)
    assert cooled.record.calibration is not None
    assert cooled.record.calibration["after"] < cooled.record.calibration["before"]


def test_scans_weigh_alike_and_only_fully_annotated_ones_count(tmp_path: Path) -> None:
    model = scaled(make_model("softmax"), 4.0)
    scans = [make_scan(tmp_path / "known", 0), make_scan(tmp_path / "partly", 1, ("A",))]
    for number, scan in enumerate(scans):
        annotate(scan, model, 3.0 if number == 0 else 0.3, number)
    assert fit_temperature(model, TASK, scans) == fit_temperature(model, TASK, scans[:1])
    for none in ([], scans[1:]):
        with pytest.raises(ConfigError, match="no validation scan has masks of A, B, so no temperature can be fitted"):
            fit_temperature(model, TASK, none)
    # For a network of A alone the second scan says something.
    binary = scaled(make_model("sigmoid", ("A",)), 4.0)
    task = replace(TASK, classes=one_class_each(("A",)))
    assert fit_temperature(binary, task, scans[1:])[0] > 0
    with pytest.raises(ConfigError, match="no validation scan has masks of B"):
        fit_temperature(binary, replace(TASK, classes=one_class_each(("B",))), scans[1:])


def test_the_likelihood_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    target = torch.tensor([0, 2])
    # Temperature 2: exp(1) against two ones; exp(2) and two ones, of which one is right.
    expected = (-math.log(math.e / (math.e + 2)) - math.log(1 / (math.e**2 + 2))) / 2
    assert nll(logits, target, "softmax", 2.0) == pytest.approx(expected, rel=1e-6)
    sigmoid = [1 / (1 + math.exp(-x)) for x in (1.0, 0.0, 0.0, -1.0)]
    logits = torch.tensor([[3.0, 0.0], [0.0, -3.0]])
    # The first voxel is of the first class, the second of none.
    expected = -(math.log(sigmoid[0]) + math.log(1 - sigmoid[1]) + math.log(1 - sigmoid[2]) + math.log(1 - sigmoid[3]))
    assert nll(logits, torch.tensor([1, 0]), "sigmoid", 3.0) == pytest.approx(expected / 4, rel=1e-6)


def test_a_temperature_changes_no_decision_of_one_network() -> None:
    logits = torch.randn(1, 3, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    for activation in ("softmax", "sigmoid"):
        decided = [probabilities(logits, activation, t).argmax(1) for t in (1.0, 3.0)]
        assert torch.equal(*decided)
