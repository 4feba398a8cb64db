"""Ensembles: the mean of their members, for images of any size, and only of models that belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flairflow.config import load_config
from flairflow.config.models import NetworkSettings, PreprocessingSettings
from flairflow.errors import ConfigError
from flairflow.network.activation import channels
from flairflow.network.architecture import build_network, network_weights
from flairflow.network.ensemble import Ensemble
from flairflow.network.model import Model, load_model, save_model
from flairflow.network.plan import Plan, Record
from flairflow.training.ensemble_members import check_given_models


def make_folder(folder: Path, seed: int, **changed: Any) -> Path:
    network = NetworkSettings(filters=(4, 8, 16), deep_supervision=1)
    torch.manual_seed(seed)
    values: dict[str, Any] = {
        "strategy": "marginal",
        "part": "all",
        "labels": ("A", "B"),
        "precedence": ("B", "A"),
        "classes": ("A", "B"),
        "activation": "softmax",
        "images": ("FLAIR", "T1w"),
        "preprocessing": PreprocessingSettings(spacing=1.0),
        "network": network,
        "patch": 16,
        "overlap": 0.5,
    }
    record = Record(
        seed=seed,
        updates=1,
        best_update=1,
        best_score=None,
        history=(),
        training_scans=1,
        validation_scans=0,
        annotated={},
        inputs="",
        precision="32",
        versions={},
    )
    plan = Plan(**(values | changed))
    outputs = channels(plan.activation, len(plan.classes))
    save_model(folder, Model(network_weights(build_network(network, 2, outputs)), plan, record))
    return folder


def make_binary(folder: Path, label: str, odds: float, seed: int = 0, temperature: float = 1.0) -> Path:
    """A model of one label that gives it the same log odds everywhere."""
    make_folder(folder, seed, part=label, classes=(label,), activation="sigmoid", temperature=temperature)
    return with_odds(folder, [odds])


def with_odds(folder: Path, odds: Sequence[float]) -> Path:
    """Make a model give each class the same log odds everywhere."""
    model = load_model(folder)
    for name, tensor in model.weights.items():
        if name.startswith("output_block."):
            tensor.copy_(torch.tensor(odds) if name.endswith("bias") else torch.zeros_like(tensor))
    save_model(folder, model)
    return folder


@pytest.mark.parametrize("shape", [(16, 16, 16), (20, 33, 17), (7, 40, 9)])
def test_the_mean_of_the_members(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    folders = [make_folder(tmp_path / f"seed-{seed}", seed) for seed in (0, 1)]
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    both = Ensemble(folders, precision="32").predict(images)
    assert both.shape == (3, *shape) and both.dtype == np.float32
    np.testing.assert_allclose(both.sum(axis=0), 1, atol=1e-5)
    single = [Ensemble([folder], precision="32").predict(images) for folder in folders]
    np.testing.assert_allclose(both, (single[0] + single[1]) / 2, atol=1e-6)


def test_one_window_is_the_network_itself(tmp_path: Path) -> None:
    ensemble = Ensemble([make_folder(tmp_path / "model", 0)], precision="32")
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 16)).astype(np.float32)
    with torch.inference_mode():
        direct = ensemble.members[0][0].eval()(torch.from_numpy(images)[None]).softmax(1)[0]
    np.testing.assert_allclose(ensemble.predict(images), direct.numpy(), atol=1e-5)


def test_half_precision_is_close(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", 0)
    images = np.random.default_rng(0).normal(size=(2, 20, 20, 20)).astype(np.float32)
    exact, half = (Ensemble([folder], precision=kind).predict(images) for kind in ("32", "bf16"))
    assert np.abs(exact - half).mean() < 0.01


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": ("A", "C")},
        {"images": ("T1w", "FLAIR")},
        {"preprocessing": PreprocessingSettings(spacing=2.0)},
        {"precedence": ("A", "B")},
    ],
)
def test_models_must_belong_together(tmp_path: Path, changed: dict[str, Any]) -> None:
    folders = [make_folder(tmp_path / "one", 0), make_folder(tmp_path / "two", 1, **changed)]
    with pytest.raises(ConfigError, match=f"two: its {next(iter(changed))} "):
        Ensemble(folders)


def test_the_hash_stands_for_the_members_in_any_order(tmp_path: Path) -> None:
    folders = [make_folder(tmp_path / f"seed-{seed}", seed) for seed in (0, 1)]
    assert Ensemble(folders).hash == Ensemble(folders[::-1]).hash != Ensemble(folders[:1]).hash


def test_the_precision_is_part_of_what_masks_come_from(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", 0)
    exact, half, automatic = (Ensemble([folder], precision=kind) for kind in ("32", "bf16", "auto"))
    assert exact.provenance == {"ModelHash": exact.hash, "Precision": "fp32"}
    assert half.provenance == exact.provenance | {"Precision": "bf16"}
    # Whoever asks for one takes no other; whoever leaves it to the machine keeps what another machine did.
    assert exact.as_good == [exact.provenance] and half.as_good == [half.provenance]
    assert exact.provenance in automatic.as_good and half.provenance in automatic.as_good


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can")
def test_a_precision_that_this_machine_cannot_compute_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"segmentation\.precision: fp16 needs a GPU"):
        Ensemble([make_folder(tmp_path / "model", 0)], precision="16")


def test_no_models_and_wrong_images_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        Ensemble([])
    with pytest.raises(ValueError, match="expected 2 images"):
        Ensemble([make_folder(tmp_path / "model", 0)]).predict(np.zeros((1, 16, 16, 16), np.float32))


@pytest.mark.parametrize(
    ("first", "second", "decided"),
    [(0.9, 0.6, 1), (0.6, 0.9, 2), (0.45, 0.2, 0), (0.2, 0.45, 0), (0.51, 0.1, 1)],
)
def test_binary_models_are_joined(tmp_path: Path, first: float, second: float, decided: int) -> None:
    odds = [float(np.log(p / (1 - p))) for p in (first, second)]
    folders = [make_binary(tmp_path / label, label, o) for label, o in zip("AB", odds, strict=True)]
    for given in (folders, folders[::-1]):
        found = Ensemble(given, precision="32").predict(np.zeros((2, 16, 16, 16), np.float32))
        assert found.shape == (3, 16, 16, 16) and (found.argmax(0) == decided).all()
        np.testing.assert_allclose(found[:, 0, 0, 0], [1 - max(first, second), first, second], atol=1e-6)


def test_each_label_is_the_mean_of_the_models_that_know_it(tmp_path: Path) -> None:
    # Log odds of 0 and ln 9 are 0.5 and 0.9; with a temperature of 2 the latter is ln 3, 0.75.
    ninth = float(np.log(9))
    folders = [make_binary(tmp_path / f"A{seed}", "A", ninth * seed, seed) for seed in (0, 1)]
    folders.append(make_binary(tmp_path / "B0", "B", ninth, temperature=2.0))
    found = Ensemble(folders, precision="32").predict(np.zeros((2, 16, 16, 16), np.float32))
    np.testing.assert_allclose(found[:, 3, 4, 5], [0.25, 0.7, 0.75], atol=1e-6)


def test_seeds_of_a_sigmoid_decide_as_binary_models_do(tmp_path: Path) -> None:
    # Each seed is sure of something; the mean of no label is above one half.
    sure = 20.0
    seeds = [(math.log(9), -sure), (-sure, math.log(9)), (math.log(4 / 6), -sure)]
    folders = [
        with_odds(make_folder(tmp_path / f"seed{seed}", seed, activation="sigmoid"), odds)
        for seed, odds in enumerate(seeds)
    ]
    found = Ensemble(folders, precision="32").predict(np.zeros((2, 16, 16, 16), np.float32))
    np.testing.assert_allclose(found[:, 3, 4, 5], [1 - 1.3 / 3, 1.3 / 3, 0.3], atol=1e-6)


def test_models_of_sigmoids_and_of_softmax_are_averaged(tmp_path: Path) -> None:
    folders = [make_folder(tmp_path / "soft", 0), make_folder(tmp_path / "sig", 1, activation="sigmoid")]
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 16)).astype(np.float32)
    single = [Ensemble([folder], precision="32").predict(images) for folder in folders]
    found = Ensemble(folders, precision="32").predict(images)
    np.testing.assert_allclose(found[1:], np.mean(single, axis=0)[1:], atol=1e-6)
    np.testing.assert_allclose(found[0], 1 - found[1:].max(0), atol=1e-6)


@pytest.mark.parametrize("kinds", [["A"], ["AB", "A"], ["A", "B", "AB"], ["C", "A", "B"]])
def test_every_label_is_known_to_models_of_one_kind(tmp_path: Path, kinds: list[str]) -> None:
    folders = [make_folder(tmp_path / f"of{kind}", 0, classes=tuple(kind), activation="sigmoid") for kind in kinds]
    with pytest.raises(ConfigError, match=r"models of .* do not make an ensemble for A, B") as error:
        Ensemble(folders)
    assert all(str(folder) in str(error.value) for folder in folders)
    values = {"labels": ["A", "B"], "images": ["FLAIR", "T1w"], "preprocessing": {"spacing": 1.0}}
    config = load_config(values | {"datasets": {"ds": {"root": "x"}}, "models": {"mine": list(map(str, folders))}})
    with pytest.raises(ConfigError, match=r"config: models.mine: networks of .* make no ensemble for A, B"):
        check_given_models(config)
