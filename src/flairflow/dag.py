"""What the rules ask of the package. Light: every job of a cluster parses the Snakefile and imports this."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from flairflow.cohort.archive_changes import archive_state
from flairflow.config import Config, load_config
from flairflow.config.line_numbers import with_lines
from flairflow.config.load import resolved
from flairflow.config.named_models import is_default
from flairflow.errors import ConfigError
from flairflow.files import write_text
from flairflow.paths import MODEL_FILES, RULES, Results
from flairflow.resources.profile_check import blocks_of, check_site
from flairflow.resources.request import request
from flairflow.resources.slurm_submission import watch_submission
from flairflow.shards import stages
from flairflow.shards.unexpected import last_word
from flairflow.status.preconditions import check_all
from flairflow.tables import read_table
from flairflow.training.configured_strategies import entry
from flairflow.training.ensemble_members import (
    given_models,
    init_folder,
    model_before,
    model_folders,
)

# Seconds by which clocks may differ: no job that makes something of these files ends sooner.
CLOCKS_DIFFER = 5


def load(values: dict[str, Any], files: Sequence[Path] = (), main: bool = False) -> Config:
    """The validated configuration; a faulty one ends the run with a list of its faults, and where in the files that it
    was read from they are. main: whether this is the process that plans, which also looks at the folders."""
    # Of the millions of objects that make up a large plan hardly one is garbage before it ends: looking for it as often
    # as Python does takes a seventh of the time.
    gc.set_threshold(200_000, 20, 100)
    try:
        config = load_config(values)
        check_all(config, places=main)
    except ConfigError as error:
        raise WorkflowError(with_lines(str(error), files)) from None
    if main:
        print(f"flairflow: {_scans_known(config)}", file=sys.stderr)
    return config


def _scans_known(config: Config) -> str:
    """How many scans there are, which a list of jobs does not say."""
    shards = Results(config.results).shards
    if not shards.exists():
        return f"{len(config.datasets)} datasets; how many scans they have is known after the job `index`"
    counts = read_table(shards, text=True)["scans"].astype(int)
    return f"{len(config.datasets)} datasets; at the last index {counts.sum():,} scans in {len(counts)} shards"


def keep_config(config: Config) -> None:
    """Write the resolved configuration for the jobs to read; untouched when nothing changed."""
    path, text = Results(config.results).config, resolved(config)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    for name, models in config.models.items():
        if any(is_default(model) for model in models):
            print(f"models.{name}: the default model, which comes with flairflow, segments", file=sys.stderr)


def say_last_word(results: Results) -> None:
    """Print, where there is something to say, how many scans ended unexpectedly."""
    if text := last_word(results):
        print(text, flush=True)


def share_cores(workflow: Any) -> None:
    """Where there is no GPU, jobs that want one need not take turns: there are as many at a time as there are cores."""
    on_nodes = workflow.resource_settings.nodes is not None or workflow.remote_exec
    if not on_nodes and "gpu" in workflow.global_resources and not may_have_gpu():
        workflow.register_resource("gpu", workflow.cores)


def may_have_gpu() -> bool:
    """Whether torch may find a GPU here, without loading it to know."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "NoDevFiles"):
        return False
    devices = Path("/dev")
    return any(devices.glob("nvidia[0-9]*")) or any((devices / name).exists() for name in ("dxg", "kfd"))


def check_resources(workflow: Any) -> None:
    """Raises WorkflowError for what a cluster's profile says that would fail, or silently be something else, later."""
    if workflow.resource_settings.nodes is not None and not workflow.remote_exec:
        try:
            check_site(blocks_of(workflow.resource_settings))
        except ConfigError as error:
            raise WorkflowError(str(error)) from None


def watch_executor(workflow: Any) -> None:
    """Have nothing left in a cluster's queue when the run ends, and nothing waited for in vain."""
    try:
        watch_submission(workflow.scheduler._executor)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


def version(config: Config, stage: str) -> str:
    """The `params.settings` of a stage's rule: it changes when, and only when, the stage's results would."""
    return stages.settings_hash(config, stage)


def training_version(config: Config, name: str) -> str:
    """The same for the networks of one entry: another entry's options change nothing."""
    return stages.fingerprint(version(config, "train"), entry(config, name).settings)


def segment_version(config: Config, shard: str, ensemble: str = "") -> str:
    """The same for the masks of a shard by an ensemble, of which given models count by what is in them: only those of
    a test shard are scored. A shard's name holds its split."""
    split = shard.split("-")[1]
    stage = {"test": "segment_scored", "archive": "segment_archive"}.get(split, "segment")
    settings = predicted_version(config, stage)
    given = given_models(config, ensemble) if ensemble else ""
    return stages.fingerprint(settings, given) if given else settings


def compare_version(config: Config) -> str:
    """The same for the comparison, which says what was spent on given models too."""
    settings, given = version(config, "compare"), given_models(config)
    return stages.fingerprint(settings, given) if given else settings


def predicted_version(config: Config, stage: str) -> str:
    """The same for what networks predict. Another precision runs the rule again, which redoes the scans that were not
    predicted in it."""
    return stages.fingerprint(version(config, stage), config.segmentation.precision)


def models_before(config: Config, name: str, part: str, seed: str) -> list[Path]:
    """The files of the model that a part of an entry goes on from, if it does."""
    folder = model_before(config, name, part, seed)
    return [folder / file for file in MODEL_FILES] if folder else []


def archive(config: Config, workflow: Any) -> str:
    """What changes when a dataset does: the `params.archive` of the rule `index`. Parameters, not inputs: a file of an
    archive may be dated in the future. Jobs, which start by the thousand, do not look.

    Raises WorkflowError where a file that others are made from is dated in the future: snakemake would remove those.
    """
    if not workflow.is_main_process:
        return ""
    entries = [] if config.models else [entry(config, name) for name in config.strategies]
    given = [folder / name for owner in entries if (folder := init_folder(owner)) for name in MODEL_FILES]
    given += [*config.compare.imported, *([config.compare.published] if config.compare.published else [])]
    for path in given:
        ahead = path.stat().st_mtime - time.time() if path.exists() else 0
        if ahead > CLOCKS_DIFFER:
            raise WorkflowError(
                f"{path} is dated {ahead / 60:.1f} minutes ahead of the clock of this machine, so what is made of it "
                f"would look older than it and be removed: run `touch {path}`, or wait"
            )
    state, unseen = archive_state(config)
    for line in unseen:
        print(line, file=sys.stderr)
    return state


def model_files(config: Config, ensemble: str) -> list[Path]:
    """The files of an ensemble's members that the workflow trains. Given models are no inputs of rules, whose places
    and times would count: `params.settings` says what is in them."""
    if ensemble in config.models:
        return []
    return [folder / name for folder in model_folders(config, ensemble) for name in MODEL_FILES]


def published(config: Config) -> Path:
    """The table of published means that the target `paper` stands for. Raises WorkflowError where none is given."""
    if config.compare.published is None:
        raise WorkflowError("paper: say what was published (compare.published), as configs/paper.yaml does")
    return config.compare.published


def targets(config: Config) -> list[Path]:
    """What a whole run is to make; of an archive, of which nothing is known, there is nothing to compare."""
    results = Results(config.results)
    compared = [results.table("comparison")] if config.scores else []
    return [results.table("volumes"), *compared, results.report]


def memory(config: Config, rule: str) -> Callable[..., int]:
    """The `mem_mb` of a rule: what fits the job, and more for each attempt after one that failed."""

    def mem_mb(wildcards: Any, threads: int, attempt: int) -> int:
        return request(config, rule, dict(wildcards.items()), threads, attempt).mem_mb

    return mem_mb


def minutes(config: Config, rule: str) -> Callable[..., int]:
    """The `runtime` of a rule, likewise."""

    def runtime(wildcards: Any, threads: int, attempt: int) -> int:
        return request(config, rule, dict(wildcards.items()), threads, attempt).runtime

    return runtime


def scratch_option(workflow: Any) -> str:
    """What makes a command work on a node's own disk, where the profile's `default-resources` name one as `scratch`.
    Variables in it, such as $USER, are those of the job on its node."""
    given = workflow.resource_settings.default_resources or ()
    return ' --scratch "{resources.scratch}"' if "scratch" in given else ""


def evaluated(config: Config, ensemble: str, shard: str) -> list[Path]:
    """What the evaluation of a shard reads: the masks of an ensemble, or the thresholds and the prepared images; and
    the references on the grid it is done on."""
    results = Results(config.results)
    known = results.ledger(stages.reference_stage(config), shard)
    if ensemble in RULES:
        return sorted({results.table("thresholds"), results.ledger("preprocess", shard), known})
    return [results.ledger(f"segment/{ensemble}", shard), known]
