"""Model folders: what is written comes back, and damage is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from flairflow.config.models import NetworkSettings
from flairflow.errors import ConfigError
from flairflow.network.architecture import build_network, load_network_weights, network_weights
from flairflow.network.model import Model, load_model, model_hash, save_model
from small_models import small_plan, small_record

NETWORK = NetworkSettings(filters=(4, 8, 16), deep_supervision=1)


def make_model(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    plan = small_plan(NETWORK, overlap=0.5)
    record = small_record(
        seed=seed,
        updates=4,
        best_update=2,
        best_score=0.5,
        history=({"update": 2, "score": 0.5},),
        training_scans=3,
        validation_scans=1,
        annotated={"A": 3, "B": 1},
        inputs="abc",
        versions={"torch": "2"},
    )
    return Model(network_weights(build_network(NETWORK, 1, 3)), plan, record)


def test_a_model_comes_back(tmp_path: Path) -> None:
    model = make_model()
    save_model(tmp_path / "model", model)
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        "configs",
        "plan.json",
        "record.json",
        "weights.safetensors",
    ]
    back = load_model(tmp_path / "model")
    assert back.plan == model.plan and back.record == model.record
    image = torch.randn(1, 1, 16, 16, 16)
    assert torch.equal(back.network().eval()(image), model.network().eval()(image))


def test_the_hash_is_of_weights_and_plan(tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("same", 0), ("other", 1)):
        save_model(tmp_path / name, make_model(seed))
    first = model_hash(tmp_path / "first")
    assert first == model_hash(tmp_path / "same") != model_hash(tmp_path / "other")
    plan = tmp_path / "same" / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text())))
    (tmp_path / "same" / "record.json").write_text("{}")
    assert model_hash(tmp_path / "same") == first
    plan.write_text(plan.read_text().replace('"overlap": 0.5', '"overlap": 0.25'))
    assert model_hash(tmp_path / "same") != first


@pytest.mark.parametrize("name", ["weights.safetensors", "plan.json", "record.json"])
def test_damage_names_the_folder(tmp_path: Path, name: str) -> None:
    save_model(tmp_path / "model", make_model())
    file = tmp_path / "model" / name
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ConfigError, match="no usable model folder"):
        load_model(tmp_path / "model")
    file.unlink()
    with pytest.raises(ConfigError, match=str(tmp_path / "model")):
        load_model(tmp_path / "model")


def test_weights_of_another_network_do_not_load() -> None:
    weights = make_model().weights
    weights.pop(sorted(weights)[0])
    with pytest.raises(RuntimeError, match="do not fit"):
        load_network_weights(build_network(NETWORK, 1, 3), weights)


def test_the_papers_network_has_its_parameters() -> None:
    paper = NetworkSettings(filters=(32, 64, 128, 256, 320, 320), deep_supervision=3)
    with torch.device("meta"):
        network = build_network(paper, 1, 3)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(31.4e6, rel=0.01)
