"""Which jobs a whole run consists of, stage by stage; a test compares them with what Snakemake plans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flairflow.config.models import Config
from flairflow.paths import MODEL_FILES, Results
from flairflow.status.cohort import Cohort, Shard
from flairflow.training.configured_strategies import Entry, ensemble_parts, entry, teacher


@dataclass(frozen=True)
class Job:
    """One job.

    name      : the shard, `<entry>/<part>/seed-<seed>`, or the stage's own name.
    wildcards : their values as Snakemake has them, in its order.
    scans     : how many it is to process; 0 where the work is not by scan.
    updates   : optimiser updates of a training; None where that is known only when it starts.
    outputs   : what is there when it is done.
    """

    rule: str
    name: str
    wildcards: tuple[str, ...]
    outputs: tuple[Path, ...]
    log: Path
    scans: int = 0
    updates: int | None = None


@dataclass(frozen=True)
class Stage:
    """A stage with all its jobs. `after`: the stages whose results it gathers; it is not done before they are."""

    name: str
    jobs: tuple[Job, ...]
    after: tuple[str, ...] = ()

    @property
    def by_scan(self) -> bool:
        return any(job.scans for job in self.jobs)


def plan(config: Config, results: Results, cohort: Cohort | None, base: Path) -> list[Stage]:
    """The stages of a whole run (the target `all`) over a cohort; up to the index where there is none yet.

    base : the folder in which Snakemake runs, where relative paths of the configuration start.
    """
    found: list[Stage] = []

    def single(rule: str, *outputs: Path, log: str | None = None, after: Iterable[str] = ()) -> None:
        name = log or rule
        found.append(Stage(rule, (Job(rule, rule, (), outputs, results.log(name, name)),), tuple(after)))

    def sharded(stage: str, jobs: Iterable[tuple[Shard, int]]) -> None:
        found.append(Stage(stage, tuple(_shard_job(stage, shard, scans, results) for shard, scans in jobs)))

    if config.simulation:
        single("simulate", base / config.simulation.root / "simulated.json")
    single("index", results.cohort, results.shards)
    if cohort is None:
        return found
    shards = cohort.shards
    learnt_or_scored = [shard for shard in shards if shard.split != "archive"]
    scored = [shard for shard in shards if shard.split == "test" and shard.annotated]
    for stage in ("register", "preprocess"):
        sharded(stage, [(shard, shard.scans) for shard in learnt_or_scored])
    if not config.models:
        incomplete = [shard for shard in shards if shard.split == "train" and shard.incomplete]
        networks, teachers = _networks(config, bool(incomplete))
        found.append(Stage("train", tuple(_trainings(config, results, networks))))
        for name in teachers:
            sharded(f"pseudolabel/{name}", [(shard, shard.incomplete) for shard in incomplete])
    for name in config.ensembles:
        segmented = shards if name == config.segmenter else scored
        sharded(f"segment/{name}", [(shard, shard.scans) for shard in segmented])
    if scored and not config.models:
        single("thresholds", results.table("thresholds"))
    for name in config.compared:
        sharded(f"evaluate/{name}", [(shard, shard.annotated) for shard in scored])
    if config.scores:
        single("metrics", results.table("metrics"), after=[f"evaluate/{name}" for name in config.compared])
        trained = [] if config.models else ["train"]
        single("comparison", results.table("comparison"), log="compare", after=["metrics", *trained])
    single("volumes", results.table("volumes"), after=[f"segment/{config.segmenter}"])
    single("report", results.report, results.summary, after=["volumes", *(["comparison"] if config.scores else [])])
    single("tidy", results.table("storage"), after=["report"])
    return [stage for stage in found if stage.jobs]


def _shard_job(stage: str, shard: Shard, scans: int, results: Results) -> Job:
    rule, _, ensemble = stage.partition("/")
    log = results.log(rule, f"{ensemble}/{shard.name}" if ensemble else shard.name)
    if rule == "segment" and shard.split == "archive":
        rule = "segment_archive"
    wildcards = (ensemble, shard.name) if ensemble else (shard.name,)
    return Job(rule, shard.name, wildcards, (results.ledger(stage, shard.name),), log, scans)


def _trainings(config: Config, results: Results, networks: Sequence[tuple[Entry, str]]) -> Iterable[Job]:
    for owner, part in networks:
        # With epochs the updates depend on the scans that are left to learn from; a temperature takes none.
        known = config.training.epochs is None and not owner.calibrates
        for seed in config.seeds:
            name = f"{owner.name}/{part}/seed-{seed}"
            outputs = tuple(results.model(owner.name, part, seed) / file for file in MODEL_FILES)
            updates = owner.budget * config.training.updates if known else None
            wildcards = (owner.name, part, str(seed))
            yield Job("train_model", name, wildcards, outputs, results.log("train", name), updates=updates)


def _networks(config: Config, taught: bool) -> tuple[list[tuple[Entry, str]], list[str]]:
    """The networks to train, by entry and part, each after those it needs; and the ensembles that teach. `taught`:
    whether any training scan lacks a mask; else there is nothing to teach."""
    networks: dict[tuple[str, str], Entry] = {}
    teachers: dict[str, None] = {}

    def add_ensemble(name: str) -> None:
        owner, parts = ensemble_parts(config, name)
        for part in parts:
            add(owner, part)

    def add(owner: Entry, part: str) -> None:
        if (owner.name, part) in networks:
            return
        if owner.calibrates:
            add(entry(config, owner.calibrates), part)
        if start := owner.parts[part].starts_from:
            add(owner, start)
        by = teacher(owner, owner.parts[part])
        if by and taught:
            add_ensemble(by)
            teachers[by] = None
        networks[owner.name, part] = owner

    for name in config.strategies:
        add_ensemble(name)
    return [(owner, part) for (_, part), owner in networks.items()], list(teachers)
