"""What the entries of `strategies` in a configuration stand for. Light: the rules ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flairflow.config.models import Config, StrategySettings
from flairflow.errors import ConfigError
from flairflow.network.activation import tell_apart
from flairflow.training.strategies import names, strategy
from flairflow.training.strategy import Part, Strategy, Task, fully_annotated

# What an entry says as `init` that does not start from the model of `training.init`.
FROM_SCRATCH = Path("none")


@dataclass(frozen=True)
class Entry:
    """One entry: its strategy's parts with its options.

    calibrates : the entry whose networks it takes as they are, with a temperature fitted to each.
    budget     : how many times the updates of the others each of its networks gets.
    init       : the model, as users name it, whose weights its first networks start from; None: from random ones.
    settings   : all that makes its networks differ from those of another entry, as plain values.
    """

    name: str
    strategy: str
    parts: dict[str, Part]
    calibrates: str | None
    budget: int
    settings: dict[str, Any]
    init: Path | None = None

    def step(self, step: str) -> dict[str, Part]:
        """The parts of a step; those of "" segment."""
        return {name: part for name, part in self.parts.items() if part.step == step}


@cache
def entry(config: Config, name: str) -> Entry:
    """The entry of this name; a strategy that is not among the entries stands for itself, without options.

    Raises ConfigError where the name means nothing, or an option is none of its strategy.
    """
    given = config.strategies.get(name, StrategySettings())
    if given.calibrates:
        return _calibrated(config, name, given)
    found = _strategy(config, name, given)
    try:
        options = found.options.model_validate(given.options)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {_what(fault, found)}" for fault in error.errors())
        raise ConfigError(f"config: strategies.{name}.{faults}") from None
    settings = {"strategy": found.name, "budget": given.budget, "options": options.model_dump(mode="json")}
    init = None if given.init == FROM_SCRATCH else given.init or config.training.init
    settings |= {"init": str(init)} if init else {}
    return Entry(name, found.name, found.parts(config.labels, options), None, given.budget, settings, init)


def ensemble_parts(config: Config, ensemble: str) -> tuple[Entry, dict[str, Part]]:
    """The entry of an ensemble and its parts: `name`, what segments, or `name.step`, what teaches. Raises ConfigError
    where there is none."""
    name, dot, step = ensemble.partition(".")
    found = entry(config, name)
    if not found.step(step) or (dot and not step):
        raise ConfigError(f"config: strategies: {name} has no step {step!r}")
    return found, found.step(step)


def teacher(owner: Entry, part: Part) -> str | None:
    """The ensemble that fills in missing masks for a part; None if it learns without one."""
    return f"{owner.name}{part.teacher}" if part.teacher and part.teacher.startswith(".") else part.teacher


def teachers(config: Config) -> tuple[str, ...]:
    """All ensembles that fill in missing masks for an entry, directly or for one of its teachers."""
    found: dict[str, None] = {}
    for name in config.strategies:
        for needed in _needed(config, name):
            found |= dict.fromkeys(teacher(needed, part) or "" for part in needed.parts.values())
    return tuple(name for name in found if name)


def parts_before(config: Config, name: str, part: str, taught: bool = True) -> set[tuple[str, str]]:
    """The networks, by entry and part, that have to be trained before a part of an entry, each once. A temperature is
    no training. `taught`: whether any training scan lacks a mask; else teachers are not asked, so not trained."""
    owner = entry(config, name)
    if owner.calibrates:
        return parts_before(config, owner.calibrates, part, taught)
    found: set[tuple[str, str]] = set()
    if start := owner.parts[part].starts_from:
        found |= {(name, start)} | parts_before(config, name, start, taught)
    by = teacher(owner, owner.parts[part])
    if by and taught:
        teaching, parts = ensemble_parts(config, by)
        for other in parts:
            found |= {(teaching.calibrates or teaching.name, other)} | parts_before(config, teaching.name, other)
    return found


def task_of(config: Config, part: Part) -> Task:
    """What the network of a part is to learn."""
    return Task(config.labels, config.precedence, part.classes)


def check_entries(config: Config) -> None:
    """Raises ConfigError where an entry means nothing, needs itself, or learns from masks that no dataset has."""
    for name in config.strategies:
        for needed in _needed(config, name):
            _check_fed(needed, config)
            for part in needed.parts.values():
                if by := teacher(needed, part):
                    _check_teaches(by, needed, config)


def _needed(config: Config, name: str, path: Sequence[str] = ()) -> Iterator[Entry]:
    """An entry and, before it, what has to be trained for it."""
    if name in path:
        raise ConfigError(f"config: strategies: {' needs '.join((*path, name))}: nothing can be trained first")
    found = entry(config, name)
    before = [found.calibrates, *(part.teacher for part in found.parts.values())]
    # Its own earlier steps, with a dot, come first anyway.
    for other in dict.fromkeys(other.partition(".")[0] for other in before if other):
        if other:
            _check_known(config, name, other)
            yield from _needed(config, other, (*path, name))
    yield found


def _check_known(config: Config, name: str, other: str) -> None:
    if other not in (*config.strategies, *names()):
        raise ConfigError(
            f"config: strategies.{name}: needs {other!r}, which is neither an entry nor a strategy; entries are "
            f"{', '.join(config.strategies)}, strategies {', '.join(names())}"
        )


def _strategy(config: Config, name: str, given: StrategySettings) -> Strategy:
    wanted = given.strategy or name
    if wanted not in names():
        hint = f"{name}: " if name in config.strategies else ""
        raise ConfigError(f"config: strategies: {hint}{wanted!r} is none of {', '.join(names())}")
    if name in names() and wanted != name:
        raise ConfigError(f"config: strategies.{name}: is the name of a strategy, so it cannot be {wanted}; rename it")
    return strategy(wanted)


def _calibrated(config: Config, name: str, given: StrategySettings) -> Entry:
    if given.strategy or given.options or given.budget != 1 or given.init:
        raise ConfigError(
            f"config: strategies.{name}: calibrates the networks of {given.calibrates}: no other key helps"
        )
    if name in names():
        raise ConfigError(f"config: strategies.{name}: is the name of a strategy, so it cannot calibrate; rename it")
    assert given.calibrates is not None
    if config.strategies.get(given.calibrates, StrategySettings()).calibrates:
        raise ConfigError(f"config: strategies.{name}.calibrates: {given.calibrates} trains no networks of its own")
    _check_known(config, name, given.calibrates)
    other = entry(config, given.calibrates)
    parts = {key: replace(part, starts_from=None, teacher=None, fold=None) for key, part in other.step("").items()}
    return Entry(name, other.strategy, parts, other.name, other.budget, {"calibrates": other.name})


def _check_fed(found: Entry, config: Config) -> None:
    """Before hours of registration: does any dataset have the masks that the entry learns from?"""
    sources = [tuple(dataset.labels) for dataset in config.datasets.values() if dataset.use == "all"]
    for part in found.parts.values():
        task = task_of(config, part)
        if found.calibrates and not any(fully_annotated(labels, task) for labels in sources):
            raise ConfigError(
                f"config: strategies.{found.name}: a temperature is fitted on scans with masks of "
                f"{', '.join(task.class_labels)}, and no dataset has all of them; leave the entry out"
            )
        if not any(part.learns_from(labels, task) for labels in sources):
            raise ConfigError(
                f"config: strategies: {found.name} learns from masks that no dataset has (see docs/strategies.md); "
                f"leave it out of 'strategies', or add a dataset with {', '.join(task.class_labels)}"
            )


def _check_teaches(by: str, taught: Entry, config: Config) -> None:
    if not tell_apart({tuple(part.classes) for part in ensemble_parts(config, by)[1].values()}, config.labels):
        raise ConfigError(
            f"config: strategies.{taught.name}: {by} does not tell {', '.join(config.labels)} apart, so it cannot teach"
        )


def _what(fault: Any, found: Strategy) -> str:
    if fault["type"] == "extra_forbidden":
        allowed = ["strategy", "calibrates", "budget", "init", *found.options.model_fields]
        return f"no such key; here there are {', '.join(allowed)}"
    return f"{fault['msg']} (given: {fault['input']!r})"
