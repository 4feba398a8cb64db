"""What a run over the scans of some archives would take: time and room, before anything was opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from flairflow.cohort.index import write_shards
from flairflow.cohort.scan import Scan, columns, to_row
from flairflow.cohort.sharding import assign_shards
from flairflow.cohort.splits import assign_splits
from flairflow.config.models import Config
from flairflow.paths import RULES, Results
from flairflow.resources.job_load import BRAIN_MM3, DEFAULT_VOXELS
from flairflow.resources.request import CPU_SPEED, GPU_SPEED, expected
from flairflow.status.cohort import read_cohort
from flairflow.status.file_cache import Reader
from flairflow.status.jobs import Job, plan
from flairflow.tables import write_table
from flairflow.training.configured_strategies import teachers

# Bytes: of masks and transforms by voxel of the native image (compressed), and of a map of probabilities.
MASK_BYTES, MAP_BYTES = 0.1, 6e6
# Of the weights of a network with its checkpoint: weights, momentum, and the best weights so far.
COPIES = 4 * 4


@dataclass(frozen=True)
class Forecast:
    """Hours with one job at a time: on two CPU cores, and with a GPU beside them; of the longest training alone; and
    the bytes written. `by_split`: how many scans."""

    hours: float
    hours_with_gpu: float
    longest_training: tuple[float, float]
    bytes: float
    by_split: dict[str, int]


def forecast(config: Config, scans: Sequence[Scan]) -> Forecast:
    """The forecast for these scans, as they were discovered. Raises ConfigError where splits contradict each other."""
    # Nothing is known of their voxels yet.
    scans = [replace(scan, shape=f"{DEFAULT_VOXELS}x1x1") for scan in scans]
    scans = assign_splits(scans, config.datasets, config.index.splits, config.seed, {})
    scans = assign_shards(scans, config.index.shard_size, {})
    included = [scan for scan in scans if scan.included]
    with TemporaryDirectory() as folder:
        trial = config.model_copy(update={"results": Path(folder)})
        results = Results(folder)
        dictionary = columns(config.labels, config.images)
        table = pd.DataFrame([to_row(scan) for scan in scans], columns=list(dictionary))
        write_table(results.cohort, table.replace("", None), dictionary)
        write_shards(results.shards, included)
        cohort = read_cohort(results, Reader())
        jobs = [job for stage in plan(trial, results, cohort, Path(folder)) for job in stage.jobs]
        taken = {job: _hours(trial, job) for job in jobs if job.rule != "simulate"}
    trainings = [hours for job, hours in taken.items() if job.rule == "train_model"]
    by_split = {
        split: sum(scan.split == split for scan in included) for split in dict.fromkeys(s.split for s in included)
    }
    return Forecast(
        sum(hours for hours, _ in taken.values()),
        sum(hours for _, hours in taken.values()),
        max(trainings, default=(0.0, 0.0)),
        _bytes(config, included, len(trainings)),
        by_split,
    )


def _hours(config: Config, job: Job) -> tuple[float, float]:
    names = {1: ("shard",), 2: ("ensemble", "shard"), 3: ("strategy", "part", "seed")}.get(len(job.wildcards), ())
    _, seconds, multiply_adds = expected(config, job.rule, dict(zip(names, job.wildcards, strict=True)))
    return (seconds + multiply_adds / CPU_SPEED) / 3600, (seconds + multiply_adds / GPU_SPEED) / 3600


def _bytes(config: Config, scans: Sequence[Scan], trainings: int) -> float:
    """docs/storage.md has the formula of prepared images in words."""
    voxels = BRAIN_MM3 / config.preprocessing.spacing**3
    prepared = [scan for scan in scans if scan.split != "archive"]
    scored = [scan for scan in scans if scan.scored]
    incomplete = [scan for scan in prepared if scan.split == "train" and scan.incomplete]
    taught = 0 if config.models else len(teachers(config))
    total = len(prepared) * (voxels * (2 * len(config.images) + 2) + MASK_BYTES * DEFAULT_VOXELS)
    total += len(incomplete) * taught * voxels * (1 + len(config.labels))
    total += (len(scans) + len(scored) * (len(config.ensembles) - 1)) * MASK_BYTES * DEFAULT_VOXELS
    scored_by = [name for name in config.compared if name not in RULES]
    total += sum(len(scan.annotated) for scan in scored) * len(scored_by) * MAP_BYTES
    if config.segmentation.probabilities:
        total += len(scans) * len(config.labels) * MAP_BYTES
    return total + trainings * COPIES * _weights(config.training.network.filters)


def _weights(filters: Sequence[int]) -> float:
    """Of a U-Net with two 3x3x3 convolutions a level, down and up."""
    return sum(27 * (3 * low * high + high * high + low * low) for low, high in pairwise(filters))
