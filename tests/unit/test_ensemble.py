"""Ensembles: the mean of their members, for images of any size, and only of models that belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flairflow.config.models import NetworkSettings, PreprocessingSettings
from flairflow.errors import ConfigError
from flairflow.inference.ensemble import Ensemble
from flairflow.training.model_folder import Model, Plan, Record, save_model
from flairflow.training.network import build_network, network_weights


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
    save_model(folder, Model(network_weights(build_network(network, 2, 3)), Plan(**(values | changed)), record))
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


def test_no_models_and_wrong_images_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        Ensemble([])
    with pytest.raises(ValueError, match="expected 2 images"):
        Ensemble([make_folder(tmp_path / "model", 0)]).predict(np.zeros((1, 16, 16, 16), np.float32))
