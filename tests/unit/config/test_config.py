"""The configuration: documented, validated, and refused with the key's path."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from flairflow.cohort.scan import SPLITS
from flairflow.config import Config, load_config, read_config
from flairflow.config.load import preset_values, resolved
from flairflow.config.models import AugmentationSettings
from flairflow.dag import segment_version
from flairflow.errors import ConfigError
from flairflow.shards import stages

MINIMAL: dict[str, Any] = {"labels": ["A", "B"], "datasets": {"ds": {"root": "x", "labels": {"A": {}}}}}


def uncommented(text: str) -> str:
    """config.yaml with its commented defaults put in force; a key's comment is one that reads `# key: value`."""
    lines = re.sub(r"^(\s*)# (?=[a-z_]+:( |$))", r"\1", text, flags=re.MULTILINE)
    return re.sub(r"^(\s*)# (?=  low_resolution)", r"\1", lines, flags=re.MULTILINE)


def test_the_documented_defaults_are_the_defaults(repository: Path) -> None:
    """Those without a model to start from, whose network and voxels the demonstration takes over."""
    text = re.sub(r"^  init: default$", "", (repository / "config.yaml").read_text(), flags=re.MULTILINE)
    assert load_config(yaml.safe_load(uncommented(text))) == load_config(yaml.safe_load(text))


def test_the_documented_augmentations_are_the_defaults(repository: Path) -> None:
    """The demonstration has others, which stand below them."""
    documented = re.search(r"augmentation: (\{.*?\})", uncommented((repository / "config.yaml").read_text()), re.DOTALL)
    assert documented
    assert yaml.safe_load(documented.group(1)) == AugmentationSettings().model_dump()


def test_every_key_is_documented(repository: Path) -> None:
    text = uncommented((repository / "config.yaml").read_text())

    def keys(model: type[BaseModel]) -> set[str]:
        found = set(model.model_fields)
        for field in model.model_fields.values():
            for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    found |= keys(part)
        return found

    missing = {key for key in keys(Config) if not re.search(rf"\b{key}:", text)}
    assert not missing


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ({"trainin": {}}, "trainin", "no such key; here there are preset, results"),
        (
            {"datasets": {"ds": {"root": "x", "lables": {}}}},
            "datasets.ds.lables",
            "no such key; here there are root, manifest",
        ),
        (
            {"training": {"network": {"filter": [1]}}},
            "training.network.filter",
            "here there are filters, deep_supervision",
        ),
        ({"models": {"mine": []}}, "", "names no model folder"),
        ({"labels": ["1"]}, "labels.0", "a letter first"),
        (
            {"datasets": {"ds": {"root": "x", "use": "test", "split_list": "l"}}},
            "datasets.ds",
            "leave one of the two out",
        ),
        ({"training": {"patch": 50}}, "training", "multiple of 8"),
        ({"training": {"updates": 150}}, "training", "multiple of validate_every"),
        ({"training": {"precision": "64"}}, "training.precision", "'bf16' or '16'"),
        ({"index": {"splits": {"train": 0.9}}}, "index.splits", "must be 1"),
        ({"precedence": ["A"]}, "", "must order exactly the labels"),
        ({"datasets": {"ds": {"root": "x", "labels": {"C": {}}}}}, "", "'C' is none of A, B"),
        ({"datasets": {"ds": {"root": "x"}}}, "", "nothing to train on"),
        ({"datasets": {"d/s": {"root": "x"}}}, "datasets.d/s", "only letters and digits"),
        (
            {"datasets": {"ds": {"root": "x", "labels": {"A": {"folder": "../up"}}}}},
            "datasets.ds.labels.A.folder",
            "inside",
        ),
        ({"datasets": {"ds": {"root": "x", "use": "segment", "labels": {"A": {}}}}}, "datasets.ds", "takes no labels"),
        ({"preprocessing": {"brain_mask": "provided"}}, "", "datasets.ds.brain_mask"),
        ({"segmentation": {"model": "nobody"}}, "", "segmentation.model: 'nobody' is none of multiclass, marginal"),
        ({"preset": "huge"}, "preset", "laptop, paper"),
        ({"seeds": [1, 1]}, "", "stands twice"),
    ],
)
def test_faults_name_the_key_and_what_is_allowed(change: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(MINIMAL | change)
    assert path in str(error.value)
    assert says in str(error.value)


def test_models_need_no_labels() -> None:
    config = load_config({"labels": ["A"], "datasets": {"ds": {"root": "x"}}, "models": {"mine": ["m/seed-0"]}})
    assert config.ensembles == ("mine",)
    assert config.segmenter == "mine"
    assert config.compared == ("mine",)


def test_the_users_values_stand_over_the_presets() -> None:
    config = load_config(MINIMAL | {"preset": "paper", "training": {"updates": 6320}})
    assert config.training.updates == 6320
    assert config.training.patch == preset_values("paper")["training"]["patch"] == 160
    assert config.seeds == (0, 1, 2)


def test_home_and_variables_stand_for_what_they_mean_in_every_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    dataset = {"root": "~/scans", "withdrawn": "~/list.txt", "split_list": "${SCRATCH}/s.tsv", "labels": {"A": {}}}
    config = load_config(
        {"labels": ["A"], "results": "~/flair", "datasets": {"ds": dataset | {"manifest": "/a/$HOME/m"}}}
    )
    assert config.results == tmp_path / "flair" and config.datasets["ds"].root == tmp_path / "scans"
    assert config.datasets["ds"].withdrawn == tmp_path / "list.txt"
    assert config.datasets["ds"].split_list == Path("/scratch/me/s.tsv")
    assert "~" not in resolved(config) and load_config(json.loads(resolved(config))) == config
    # What only looks like one stays.
    assert load_config(MINIMAL | {"report": {"title": "it costs $5, ~ 4 EUR"}}).report.title == "it costs $5, ~ 4 EUR"


@pytest.mark.parametrize("place", ["~nobody-of-that-name/x", "$NOT_SET/x", "/data/${NOT_SET}/x"])
def test_a_home_or_variable_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ConfigError, match=r"datasets\.ds\.root: there is no (user|variable of the environment) [~$]"):
        load_config({"labels": ["A"], "datasets": {"ds": {"root": place, "labels": {"A": {}}}}})


@pytest.mark.parametrize("name", ["brain", "Brain", "participant", "volume", "precision", "known", "background"])
def test_a_label_is_not_named_like_something_else_of_the_tables(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"labels\.0: '{name}': a column of the tables, or a class, has that name"):
        load_config({"labels": [name], "datasets": {"ds": {"root": "x", "labels": {name: {}}}}})


@pytest.mark.parametrize(
    ("given", "read"), [("fp32", "32"), (32, "32"), ("32", "32"), ("bf16", "bf16"), ("fp16", "16"), ("auto", "auto")]
)
def test_a_precision_is_read_as_people_write_it(given: object, read: str) -> None:
    assert load_config(MINIMAL | {"segmentation": {"precision": given}}).segmentation.precision == read


def test_another_precision_runs_the_rules_again_but_is_no_setting_of_what_is_done() -> None:
    before, after = load_config(MINIMAL), load_config(MINIMAL | {"segmentation": {"precision": "fp32"}})
    assert segment_version(before, "ds-archive-0001") != segment_version(after, "ds-archive-0001")
    assert stages.settings_hash(before, "segment_archive") == stages.settings_hash(after, "segment_archive")


def test_later_labels_win_without_a_precedence() -> None:
    assert load_config(MINIMAL).precedence == ("B", "A")


def test_the_resolved_configuration_reads_back(tmp_path: Path) -> None:
    config = load_config(MINIMAL)
    (tmp_path / "config.json").write_text(resolved(config))
    assert read_config(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"training": {"updates": 800}}, {"train"}),
        ({"preprocessing": {"spacing": 1.5}}, {"preprocess", "train", "segment_archive"}),
        ({"registration": {"template_transform": "syn"}}, {"register", "segment_archive"}),
        ({"report": {"title": "x"}}, {"report"}),
        ({"segmentation": {"probabilities": True}}, {"segment", "segment_scored", "segment_archive"}),
        ({"evaluation": {"grid": "preprocessed"}}, {"segment_scored", "evaluate"}),
        ({"compare": {"imported": ["theirs.tsv"]}}, {"metrics", "compare"}),
        ({"segmentation": {"model": "multiclass"}}, {"volumes", "compare", "report"}),
        ({"keep": []}, {"tidy"}),
        ({"datasets": {"ds": {"root": "x", "labels": {"A": {}}, "withdrawn": "list.txt"}}}, {"index"}),
        ({"results": "elsewhere"}, set()),
    ],
)
def test_a_setting_changes_the_hash_of_the_stages_that_use_it(change: dict[str, Any], redone: set[str]) -> None:
    before, after = load_config(MINIMAL), load_config(MINIMAL | change)
    names = set(stages._STAGES)
    changed = {name for name in names if stages.settings_hash(before, name) != stages.settings_hash(after, name)}
    assert changed == redone


def test_the_grid_of_the_evaluation_concerns_masks_of_test_shards_alone() -> None:
    before, after = load_config(MINIMAL), load_config(MINIMAL | {"evaluation": {"grid": "preprocessed"}})
    changed = {s for s in SPLITS if segment_version(before, f"ds-{s}-0001") != segment_version(after, f"ds-{s}-0001")}
    assert changed == {"test"}


def test_the_examples_of_the_readme_are_valid(repository: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        load_config(yaml.safe_load(block))
