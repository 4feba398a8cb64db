"""The request of a job. docs/resources.md has the formula in words; benchmarks/job_requests.py checks it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from flairflow.config.models import Config
from flairflow.resources.job_load import load

# So many times what is expected; CPUs and file systems of clusters differ more than memory does.
MEMORY_MARGIN, TIME_MARGIN = 1.25, 4.0
MIN_MINUTES = 10
# No training asks for more in its first attempt: many partitions allow no more, and the next one goes on from its last
# checkpoint.
LONGEST_TRAINING_MINUTES = 2880
# On a cluster two Snakemake processes stand around each job: in the batch script, and in its step.
SNAKEMAKE_MB = 350
# Multiply-adds a second: measured on two CPU cores that others used too; assumed of a GPU, there was none to measure.
CPU_SPEED, GPU_SPEED = 2e10, 5e12
# A job whose networks take a CPU longer than this (seconds) is thought to have a GPU.
CPU_SECONDS = 3600.0


@dataclass(frozen=True)
class Request:
    """Memory in MB and time in minutes."""

    mem_mb: int
    runtime: int


@dataclass(frozen=True)
class Cost:
    """What a rule's jobs cost beside their networks.

    mb      : MB of the program itself.
    native, classes, prepared : bytes a voxel of each native image; of the native grid for each class (background and
              labels); of the prepared grid.
    kb      : kB a row.
    seconds : of the start; scan, row: a scan and a row; of_native, of_prepared: a scan and million voxels.
    """

    mb: float
    native: float = 0
    classes: float = 0
    prepared: float = 0
    kb: float = 0
    seconds: float = 20
    scan: float = 0
    row: float = 0
    of_native: float = 0
    of_prepared: float = 0


COSTS = {
    "simulate": Cost(1350, native=10, scan=3, of_native=0.25),
    "index": Cost(200, native=12, kb=50, row=0.02),
    "register": Cost(420, native=15, scan=20, of_native=1),
    "preprocess": Cost(250, native=40, prepared=60, scan=5, of_native=1, of_prepared=1),
    "train_model": Cost(850, kb=20, seconds=60, row=0.05),
    "pseudolabel": Cost(450, prepared=40, scan=1, of_prepared=1),
    "segment": Cost(450, classes=12, prepared=40, scan=1, of_native=1),
    "segment_archive": Cost(500, native=20, classes=6, prepared=60, scan=25, of_native=3),
    "thresholds": Cost(150, prepared=60, scan=0.5, of_prepared=0.3),
    "evaluate": Cost(160, native=40, scan=1, of_native=1),
    "metrics": Cost(150, kb=8, row=0.001),
    "comparison": Cost(280, native=30, kb=300, seconds=60, row=0.1),
    "volumes": Cost(150, kb=2, row=0.001),
    "report": Cost(200, native=15, kb=10, seconds=60, row=0.001),
    # Some 2 s an update, drawing heads in four processes beside it.
    "default_models": Cost(7000, row=2),
    "tidy": Cost(150, kb=10, row=0.01),
}


def request(config: Config, rule: str, wildcards: Mapping[str, str], threads: int = 1, attempt: int = 1) -> Request:
    """What a job of a rule asks for; an attempt after one that failed gets so many times as much.

    Raises KeyError for a shard that does not exist.
    """
    megabytes, seconds, multiply_adds = expected(config, rule, wildcards, threads)
    seconds += _network_seconds(multiply_adds)
    minutes = max(MIN_MINUTES, math.ceil(TIME_MARGIN * seconds / 60))
    if rule == "train_model":
        minutes = min(minutes, LONGEST_TRAINING_MINUTES)
    return Request(attempt * math.ceil(SNAKEMAKE_MB + MEMORY_MARGIN * megabytes), attempt * minutes)


def expected(config: Config, rule: str, wildcards: Mapping[str, str], threads: int = 1) -> tuple[float, float, float]:
    """Megabytes, seconds beside its networks, and multiply-adds of these that a job of a rule is expected to take."""
    cost, of = COSTS[rule], load(config, rule, wildcards, threads)
    native = cost.native * of.images + cost.classes * (1 + len(config.labels))
    megabytes = cost.mb + (native * of.native + cost.prepared * of.prepared + of.network_bytes) / 1e6
    megabytes += cost.kb * of.rows / 1e3
    a_scan = cost.scan + (cost.of_native * of.images * of.native + cost.of_prepared * of.prepared) / 1e6
    seconds = cost.seconds + of.scans * a_scan + of.rows * cost.row
    return megabytes, seconds, of.multiply_adds


def _network_seconds(multiply_adds: float) -> float:
    return min(multiply_adds / CPU_SPEED, max(CPU_SECONDS, multiply_adds / GPU_SPEED))
