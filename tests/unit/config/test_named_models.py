"""The model in the box in a configuration: when it segments, what it fills in, and what starts from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flairflow import dag
from flairflow.config import load_config, named_models
from flairflow.config.load import resolved
from flairflow.errors import ConfigError
from flairflow.resources.job_load import _members
from flairflow.training.ensemble_members import check_given_models, check_inits, model_folders


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the box with a whole plan, and weights that stand for any."""
    plan: dict[str, Any] = {"labels": ["A", "B"], "precedence": ["B", "A"], "classes": ["A", "B"], "images": ["FLAIR"]}
    plan |= {"network": {"filters": [4, 8, 16, 32], "deep_supervision": 0}, "activation": "softmax"}
    plan |= {"patch": 32, "overlap": 0.25, "preprocessing": {"spacing": 1.5, "bias_correction": True}}
    folder = tmp_path / "box" / "default"
    folder.mkdir(parents=True)
    for name in ("weights.safetensors", "plan.json", "record.json"):
        (folder / name).write_text(json.dumps(plan))
    monkeypatch.setattr(named_models, "MODELS", folder.parent)
    return folder


def test_datasets_alone_are_a_whole_configuration(
    default: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"datasets": {"mine": {"root": "x"}}, "results": str(tmp_path / "results")}
    config = load_config(values)
    assert config.models == {"default": (Path("default"),)} and config.ensembles == ("default",)
    assert (config.labels, config.precedence, config.images) == (("A", "B"), ("B", "A"), ("FLAIR",))
    assert config.preprocessing.spacing == 1.5
    check_given_models(config)
    assert model_folders(config, "default") == [default]
    assert [network.filters for network in _members(config, "default")] == [(4, 8, 16, 32)], "what its jobs ask for"
    assert load_config(json.loads(resolved(config))) == config, "jobs read it again"
    dag.keep_config(config)
    assert "models.default: the default model, which comes with flairflow" in capsys.readouterr().err


def test_it_goes_by_its_name_beside_others(default: Path) -> None:
    values: dict[str, Any] = {"datasets": {"mine": {"root": "x", "use": "test", "labels": {"A": {}}}}}
    config = load_config(values | {"models": {"boxed": ["default"]}, "labels": ["A", "B"]})
    assert model_folders(config, "boxed") == [default] and config.preprocessing.spacing == 1.5
    check_given_models(config)
    with pytest.raises(ConfigError, match=r"labels is \['A'\], but models.boxed"):
        check_given_models(load_config(values | {"models": {"boxed": "default"}, "labels": ["A"]}))


def test_other_labels_than_its_own_are_nothing_to_segment_with_it(default: Path) -> None:
    values: dict[str, Any] = {"datasets": {"mine": {"root": "x"}}}
    assert load_config(values | {"labels": ["A", "B"]}).models
    with pytest.raises(ConfigError, match="nothing to train on"):
        load_config(values | {"labels": ["A"]})


@pytest.mark.parametrize("more", [{"strategies": ["multiclass"]}, {"training": {"updates": 100}}])
def test_who_wants_to_train_is_told_that_nothing_can_be(default: Path, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="nothing to train on"):
        load_config({"datasets": {"mine": {"root": "x"}}, "labels": ["A", "B"], **more})


def test_masks_to_learn_from_are_learnt_from(default: Path) -> None:
    config = load_config({"datasets": {"mine": {"root": "x", "labels": {"A": {}}}}, "labels": ["A"]})
    assert not config.models


def test_an_installation_without_it_says_so(default: Path) -> None:
    (default / "plan.json").unlink()
    with pytest.raises(ConfigError, match=r"models\.default: .*plan\.json missing"):
        load_config({"datasets": {"mine": {"root": "x"}}})


def test_what_starts_from_it_has_its_shape_and_voxels(default: Path) -> None:
    values: dict[str, Any] = {"datasets": {"mine": {"root": "x", "labels": {"A": {}}}}, "labels": ["A"]}
    config = load_config(values | {"training": {"init": "default"}, "strategies": ["multiclass"]})
    assert config.training.network.filters == (4, 8, 16, 32) and config.preprocessing.spacing == 1.5
    check_inits(config)
    other = values | {"strategies": {"multiclass": {"init": "default"}}}
    with pytest.raises(
        ConfigError, match=r"strategies\.multiclass\.init: .*filters is \[16, 32, 64, 96\], but default"
    ):
        check_inits(load_config(other))
