"""What the rules ask of the package. Light: every job of a cluster parses the Snakefile and imports this."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from flairflow import stages
from flairflow.config import Config, load_config
from flairflow.config.load import resolved
from flairflow.errors import ConfigError
from flairflow.files import write_text
from flairflow.paths import MODEL_FILES, RULES, Results
from flairflow.training import strategies
from flairflow.training.folders import check_given_models, model_folders


def load(values: dict[str, Any]) -> Config:
    """The validated configuration; a faulty one ends the run with a list of its faults."""
    try:
        config = load_config(values)
        check_given_models(config)
        _check_strategies(config)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    return config


def _check_strategies(config: Config) -> None:
    known = strategies.names()
    for name in config.strategies:
        if name not in known:
            raise ConfigError(f"config: strategies: {name!r} is none of {', '.join(known)}")
    if config.models:
        return
    untaught = [name for name in known if not strategies.strategy(name).taught]
    taught = [name for name in config.strategies if name not in untaught]
    if taught and config.pseudolabels.teacher not in untaught:
        raise ConfigError(
            f"config: pseudolabels.teacher: {config.pseudolabels.teacher!r} cannot teach {', '.join(taught)}; "
            f"these can: {', '.join(untaught)}"
        )
    for name in (*config.strategies, config.pseudolabels.teacher) if taught else config.strategies:
        _check_fed(name, config)


def _check_fed(name: str, config: Config) -> None:
    """Before hours of registration: does any dataset have the masks that the strategy learns from?"""
    strategy = strategies.strategy(name)
    for classes in strategy.parts(config.labels).values():
        task = strategies.Task(config.labels, config.precedence, classes)
        sources = [tuple(dataset.labels) for dataset in config.datasets.values() if dataset.use == "all"]
        if not any(strategy.learns_from(labels, task) for labels in sources):
            raise ConfigError(
                f"config: strategies: {name} learns from masks that no dataset has (see docs/strategies.md); "
                f"leave it out of 'strategies', or add a dataset with {', '.join(classes)}"
            )


def keep_config(config: Config) -> None:
    """Write the resolved configuration for the jobs to read; untouched when nothing changed."""
    path, text = Results(config.results).config, resolved(config)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def version(config: Config, stage: str) -> str:
    """The `params.settings` of a stage's rule: it changes when, and only when, the stage's results would."""
    return stages.settings_hash(config, stage)


def index_inputs(config: Config) -> list[Path]:
    """What changes when a dataset does: manifests, split lists, lists of participants and of withdrawn ones, roots."""
    files = []
    for dataset in config.datasets.values():
        files += [path for path in (dataset.manifest, dataset.split_list, dataset.withdrawn) if path]
        participants = dataset.root / "participants.tsv"
        # A simulated dataset is announced by its record instead, which the rule that makes it declares.
        if config.simulation and dataset.root.is_relative_to(config.simulation.root):
            continue
        if not dataset.manifest:
            # The folder's own time changes when a participant's folder comes or goes.
            files += [path for path in (dataset.root, participants) if path.exists()]
    return files


def model_files(config: Config, ensemble: str) -> list[Path]:
    """The files of an ensemble's members."""
    return [folder / name for folder in model_folders(config, ensemble) for name in MODEL_FILES]


def scaled(amount: int) -> Callable[..., int]:
    """A resource that grows with every attempt: a job killed for memory or time is given more."""

    def resource(wildcards: Any, attempt: int) -> int:
        return amount * attempt

    return resource


def evaluated(config: Config, ensemble: str, shard: str) -> list[Path]:
    """What the evaluation of a shard reads: the masks of an ensemble, or the thresholds and the prepared images."""
    results = Results(config.results)
    if ensemble in RULES:
        return [results.table("thresholds"), results.ledger("preprocess", shard)]
    return [results.ledger(f"segment/{ensemble}", shard)]
