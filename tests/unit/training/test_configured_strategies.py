"""What the entries of `strategies` mean: options, teachers, calibration; and what is refused, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flairflow import dag
from flairflow.config import Config, load_config, read_config
from flairflow.config.load import resolved
from flairflow.errors import ConfigError
from flairflow.paths import Results
from flairflow.training.configured_strategies import (
    check_entries,
    ensemble_parts,
    entry,
    parts_before,
    teacher,
    teachers,
)
from flairflow.training.ensemble_members import fold_folders, model_before, model_folders
from flairflow.training.strategies import names

EVERYTHING: dict[str, Any] = {
    "multiclass": None,
    "multimodel": None,
    "multimodel_temperature": {"calibrates": "multimodel"},
    "phased": None,
    "phased_paper": {"strategy": "phased", "paper": True},
    "class_conditional": None,
    "class_adaptive": None,
    "marginal": None,
    "marginal_long": {"strategy": "marginal", "budget": 2},
    "pseudolabels": None,
    "masked_sigmoid": None,
    "marginal_exclusion": None,
    "noisy_student": {"folds": 2},
}


def configured(strategies: Any, **changed: Any) -> Config:
    datasets = {
        "both": {"root": "x", "labels": {"A": {}, "B": {}}},
        "one": {"root": "y", "labels": {"A": {}}},
        "tested": {"root": "z", "use": "test", "labels": {"C": {}}},
    }
    return load_config(
        {"labels": ["A", "B"], "datasets": {"both": datasets["both"]}, "strategies": strategies} | changed
    )


def test_a_list_and_a_mapping_mean_the_same() -> None:
    listed = configured(["marginal", "phased"])
    assert listed == configured({"marginal": None, "phased": {}}) == configured({"marginal": {}, "phased": None})
    assert listed.ensembles == ("marginal", "phased") and listed.segmenter == "phased"
    with pytest.raises(ConfigError, match="strategies: a value stands twice"):
        configured(["marginal", "marginal"])
    with pytest.raises(ConfigError, match="strategies"):
        configured([])


def test_the_resolved_entries_read_back(tmp_path: Path) -> None:
    config = configured(EVERYTHING)
    (tmp_path / "config.json").write_text(resolved(config))
    back = read_config(tmp_path / "config.json")
    assert back == config
    for name in EVERYTHING:
        assert entry(back, name).settings == entry(config, name).settings


def test_every_strategy_is_an_entry_without_options() -> None:
    config = configured(["marginal"])
    for name in names():
        found = entry(config, name)
        assert (found.name, found.strategy, found.budget, found.calibrates) == (name, name, 1, None)
        assert found.step("")


def test_options_reach_the_parts() -> None:
    config = configured(EVERYTHING)
    assert list(entry(config, "noisy_student").parts) == ["round1-fold1", "round1-fold2", "all"]
    assert list(entry(config, "noisy_student").step("round1")) == ["round1-fold1", "round1-fold2"]
    assert entry(config, "marginal_long").budget == 2 and entry(config, "marginal_long").strategy == "marginal"
    taught = configured(
        {"mine": {"strategy": "pseudolabels", "teacher": "marginal_long"}, "marginal_long": EVERYTHING["marginal_long"]}
    )
    assert teacher(entry(taught, "mine"), entry(taught, "mine").parts["all"]) == "marginal_long"
    assert teachers(taught) == ("marginal_long",)


def test_without_a_number_a_step_is_taught_by_its_own_entry() -> None:
    config = configured({"two": {"strategy": "noisy_student", "rounds": 2, "folds": 2}})
    two = entry(config, "two")
    assert teacher(two, two.parts["round1-fold1"]) is None
    assert teacher(two, two.parts["round2-fold2"]) == "two.round1"
    assert teacher(two, two.parts["all"]) == "two.round2"
    assert teachers(config) == ("two.round1", "two.round2")
    folders = fold_folders(config, "two.round1")
    assert {fold: [folder.parent.name for folder in own] for fold, own in folders.items()} == {
        0: ["round1-fold1"],
        1: ["round1-fold2"],
    }
    assert [folder.parent.name for folder in model_folders(config, "two")] == ["all"]


def test_calibration_retrains_nothing() -> None:
    config = configured(EVERYTHING, seeds=[0, 3])
    results = Results(config.results)
    cooled, own = entry(config, "multimodel_temperature"), entry(config, "multimodel")
    assert list(cooled.parts) == list(own.parts) == ["A", "B"]
    assert cooled.settings == {"calibrates": "multimodel"}
    for part in cooled.parts:
        assert model_before(config, "multimodel_temperature", part, 3) == results.model("multimodel", part, 3)
        assert model_before(config, "multimodel", part, 3) is None
    # Of a phased network only what segments is calibrated, and it does not go on from the first phase again.
    phased = configured({"phased": None, "cooled": {"calibrates": "phased"}})
    assert list(entry(phased, "cooled").parts) == ["all"]
    assert model_before(phased, "cooled", "all", 0) == results.model("phased", "all", 0)
    assert model_before(phased, "phased", "all", 0) == results.model("phased", "lesion", 0)


@pytest.mark.parametrize(
    ("strategies", "says"),
    [
        ({"phased": {"papre": True}}, r"config: strategies\.phased\.papre: no such key; here there are .*, paper$"),
        ({"marginal": {"folds": 3}}, r"config: strategies\.marginal\.folds: no such key; here there are .*init$"),
        ({"noisy_student": {"folds": 1}}, r"config: strategies\.noisy_student\.folds: .*greater than or equal to 2"),
        ({"noisy_student": {"confidence": 2}}, r"strategies\.noisy_student\.confidence: .*less than or equal to 1"),
        ({"phased": {"paper": "perhaps"}}, r"config: strategies\.phased\.paper: .*boolean.*given: 'perhaps'"),
        ({"marginal": {"budget": 0}}, r"config: .*\n  strategies\.marginal\.budget: .*greater than or equal to 1"),
        ({"mar-ginal": {}}, r"strategies\.mar-ginal.*only letters, digits and '_'"),
        (["magic"], r"config: strategies: magic: 'magic' is none of class_adaptive, .*pseudolabels"),
        ({"mine": {"strategy": "magic"}}, r"config: strategies: mine: 'magic' is none of class_adaptive"),
        (
            {"phased": {"strategy": "marginal"}},
            r"strategies\.phased: is the name of a strategy, so it cannot be marginal",
        ),
        (
            {"pseudolabels": {"teacher": "magic"}},
            "strategies.pseudolabels: needs 'magic', which is neither an entry nor",
        ),
        (
            {"pseudolabels": {"teacher": "pseudolabels"}},
            "pseudolabels needs pseudolabels: nothing can be trained first",
        ),
        (
            {
                "one": {"strategy": "pseudolabels", "teacher": "two"},
                "two": {"strategy": "pseudolabels", "teacher": "one"},
            },
            "one needs two needs one: nothing can be trained first",
        ),
        (
            {"pseudolabels": {"teacher": "cooled"}, "cooled": {"calibrates": "pseudolabels"}},
            "pseudolabels needs cooled needs pseudolabels: nothing",
        ),
        ({"pseudolabels": {"teacher": "noisy_student.round2"}}, "noisy_student has no step 'round2'"),
        ({"pseudolabels": {"teacher": "marginal.round1"}}, "marginal has no step 'round1'"),
        ({"cooled": {"calibrates": "cooled"}}, "cooled trains no networks of its own"),
        ({"one_threshold": {"strategy": "marginal"}}, r"strategies\.one_threshold.*is an intensity rule"),
        ({"pseudolabels": {"teacher": "marginal."}}, "marginal has no step ''"),
        ({"pseudolabels": {"teacher": ""}}, r"config: strategies\.pseudolabels\.teacher: .*at least 1 character"),
        ({"pseudolabels": {"teacher": "phased.first"}}, r"strategies\.pseudolabels: phased.first does not tell A, B"),
        ({"cooled": {"calibrates": "magic"}}, r"strategies\.cooled: needs 'magic', which is neither an entry nor"),
        (["marginal", {"phased": {"paper": True}}], "strategies: a list takes names alone"),
        (
            {"cooled": {"calibrates": "marginal", "budget": 2}},
            r"strategies\.cooled: calibrates the networks of marginal: no",
        ),
        (
            {"cooled": {"calibrates": "marginal", "paper": True}},
            r"strategies\.cooled: calibrates .*: no other key helps",
        ),
        (
            {"cooled": {"calibrates": "marginal", "strategy": "marginal"}},
            r"strategies\.cooled: calibrates .*: no other",
        ),
        (
            {"phased": {"calibrates": "marginal"}},
            r"strategies\.phased: is the name of a strategy, so it cannot calibrate",
        ),
        (
            {"cooled": {"calibrates": "marginal"}, "colder": {"calibrates": "cooled"}},
            r"strategies\.colder\.calibrates: cooled trains no networks of its own",
        ),
    ],
)
def test_what_means_nothing_is_refused_with_its_path(strategies: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_entries(configured(strategies))


def test_what_no_dataset_can_feed_is_refused() -> None:
    only_one = {"one": {"root": "y", "labels": {"A": {}}}}
    for strategies, says in (
        (["multiclass"], "multiclass learns from masks that no dataset has.*a dataset with A, B"),
        (["phased"], "phased learns from masks that no dataset has"),
        (["multimodel"], "multimodel learns from masks that no dataset has.*a dataset with B"),
        ({"pseudolabels": {"teacher": "multiclass"}}, "multiclass learns from masks"),
        ({"cooled": {"calibrates": "multiclass"}}, "multiclass learns from masks"),
    ):
        with pytest.raises(ConfigError, match=says):
            check_entries(configured(strategies, datasets=only_one))
        apart = only_one | {"other": {"root": "x", "labels": {"B": {}}}}
        if "multimodel" in strategies:
            check_entries(configured(strategies, datasets=apart))
        else:
            with pytest.raises(ConfigError, match=says):
                check_entries(configured(strategies, datasets=apart))
        with pytest.raises(ConfigError, match=r"strategies.cooled: a temperature .* of A, B, and no dataset has all"):
            check_entries(configured({"cooled": {"calibrates": "marginal"}}, datasets=apart))
        check_entries(configured({"cooled": {"calibrates": "multimodel"}}, datasets=apart))
    # Masks that are only tested on feed nothing.
    tested = only_one | {"both": {"root": "x", "use": "test", "labels": {"A": {}, "B": {}}}}
    with pytest.raises(ConfigError, match="multiclass learns from masks"):
        check_entries(configured(["multiclass"], datasets=tested))


def test_everything_at_once_is_valid() -> None:
    config = configured(EVERYTHING)
    check_entries(config)
    assert teachers(config) == ("marginal", "noisy_student.round1")
    assert ensemble_parts(config, "noisy_student.round1")[0].name == "noisy_student"


def versions(config: Config) -> dict[str, str]:
    return {name: dag.training_version(config, name) for name in EVERYTHING}


def test_an_entry_changes_the_training_of_no_other() -> None:
    before = versions(configured(EVERYTHING))
    assert len(set(before.values())) == len(before), "two entries that are not the same would share a network"
    changes: dict[str, Any] = {
        "marginal_long": {"strategy": "marginal", "budget": 3},
        "phased": {"paper": True},
        "pseudolabels": {"teacher": "multiclass"},
        "noisy_student": {"folds": 2, "confidence": 0.9},
        "class_adaptive": {"budget": 2},
    }
    for name, change in changes.items():
        after = versions(configured(EVERYTHING | {name: change}))
        assert {other for other in before if before[other] != after[other]} == {name}
    assert versions(configured(EVERYTHING | {"another": {"strategy": "multiclass", "budget": 5}})) == before
    fewer = configured({name: EVERYTHING[name] for name in ("marginal", "pseudolabels")})
    for name in fewer.strategies:
        assert dag.training_version(fewer, name) == before[name]
    # An option written out as its default is no other option, and nor is a list.
    assert versions(configured(EVERYTHING | {"phased": {"paper": False, "budget": 1}})) == before
    assert dag.training_version(configured(["phased"]), "phased") == before["phased"]


def test_what_is_trained_before_is_counted_once() -> None:
    config = configured(
        {
            "phased": None,
            "twice": {"strategy": "noisy_student", "rounds": 2, "folds": 2},
            "mine": {"strategy": "pseudolabels", "teacher": "cooled"},
            "cooled": {"calibrates": "phased"},
            "multimodel": None,
            "last": {"strategy": "pseudolabels", "teacher": "multimodel"},
        }
    )
    assert parts_before(config, "phased", "lesion") == set()
    assert parts_before(config, "phased", "all") == {("phased", "lesion")}
    first = {("twice", f"round1-fold{fold}") for fold in (1, 2)}
    assert parts_before(config, "twice", "round1-fold1") == set()
    assert parts_before(config, "twice", "round2-fold1") == first
    assert parts_before(config, "twice", "all") == first | {("twice", f"round2-fold{fold}") for fold in (1, 2)}
    assert parts_before(config, "cooled", "all") == {("phased", "lesion")}
    assert parts_before(config, "mine", "all") == {("phased", "lesion"), ("phased", "all")}
    assert parts_before(config, "last", "all") == {("multimodel", "A"), ("multimodel", "B")}
