"""The state of a whole run at one moment."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flairflow.config import Config, load_config
from flairflow.errors import ConfigError
from flairflow.paths import Results
from flairflow.shards.lock import held
from flairflow.status.cohort import Cohort, read_cohort
from flairflow.status.file_cache import Reader
from flairflow.status.jobs import Job, Stage, plan
from flairflow.status.shards import Failure, Rows, finished_scans, scans_per_second, up_to
from flairflow.status.slurm import Queue, QueuedJob, comment
from flairflow.status.trainings import Training, training

_ERROR = re.compile(r"^[\d-]+ [\d:,]+ ERROR (.*)$", re.MULTILINE)
Activity = Literal["done", "running", "waiting", "stopped", "to go"]


@dataclass(frozen=True)
class StageStatus:
    """How far a stage is.

    unit             : what is counted: scans, networks or jobs.
    done, failed     : scans count as finished as soon as they are, not when their shard is.
    jobs             : by activity; a job that stopped at an error waits for Snakemake to try it again, if it does.
    scans_per_hour   : of the stage lately, all its jobs together; None where it is not known.
    seconds_left     : at this pace, while anything of it runs; None where it is not known.
    """

    stage: str
    unit: Literal["scans", "networks", "jobs"]
    done: int
    failed: int
    to_go: int
    jobs: dict[Activity, int]
    scans_per_hour: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Stopped:
    """A job whose log ends in an error and whose output is not there."""

    stage: str
    job: str
    log: Path
    message: str


@dataclass(frozen=True)
class Queued:
    """A job of the run that SLURM has in its queue."""

    stage: str
    job: str
    slurm: QueuedJob


@dataclass(frozen=True)
class Status:
    """The state of a run. `failures`: by stage; only those that began there. `workflow_runs`: whether a Snakemake holds
    the folder (one that was killed leaves the mark too); None where none ever ran."""

    results: Path
    workflow_runs: bool | None
    cohort: Cohort | None
    stages: tuple[StageStatus, ...]
    trainings: dict[str, Training]
    failures: dict[str, tuple[Failure, ...]]
    stopped: tuple[Stopped, ...]
    queue: Queue | None
    queued: tuple[Queued, ...]

    @property
    def finished(self) -> bool:
        """Whether all outputs of a whole run are there, and no snakemake runs that may make some of them again."""
        done = all(stage.jobs["done"] == sum(stage.jobs.values()) for stage in self.stages)
        return self.cohort is not None and done and not self.workflow_runs


class Watcher:
    """Looks at a results folder as often as asked, and reads again only what changed."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError when there is no results folder of a run there."""
        self.results = Results(folder)
        self.reader = Reader()
        self._config()

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where Snakemake may have been started."""
        return self._base(self._config()), Path.cwd()

    def look(self, queue: Queue | None) -> Status:
        """The state of the run now. `queue` : what SLURM has of it."""
        config = self._config()
        base = self._base(config)
        cohort = read_cohort(self.results, self.reader)
        stages = plan(config, self.results, cohort, base)
        locks = base / ".snakemake" / "locks"
        runs = any(locks.glob("*.lock")) if locks.is_dir() else None
        waiting = {job.comment: job for job in queue.jobs} if queue else {}
        queued: list[Queued] = []
        done: dict[str, bool] = {}
        found: list[StageStatus] = []
        trainings: dict[str, Training] = {}
        failures: dict[str, tuple[Failure, ...]] = {}
        stopped: list[Stopped] = []
        for stage in stages:
            activities: dict[str, Activity] = {}
            rows: dict[str, Rows] = {}
            ready = all(done.get(name, True) for name in stage.after)
            for job in stage.jobs:
                if stage.by_scan:
                    ledger, record = job.outputs[0], self.results.state(stage.name, job.name)
                    rows[job.name] = finished_scans(ledger, record, self.reader)
                in_queue = waiting.get(comment(job))
                if in_queue:
                    queued.append(Queued(stage.name, job.name, in_queue))
                complete = ready and _finished(job, rows.get(job.name))
                activity, message = self._activity(stage, job, complete, in_queue, runs)
                activities[job.name] = activity
                if activity == "running" and runs and stage.by_scan:
                    rows[job.name] = up_to(rows[job.name], job.log, self.reader)
                if activity == "stopped":
                    stopped.append(Stopped(stage.name, job.name, job.log, message))
            if stage.name == "train":
                trainings |= self._trainings(stage, activities)
            own = tuple(failure for part in rows.values() for failure in part.failed if failure.own)
            if own:
                failures[stage.name] = own
            found.append(self._summary(stage, activities, rows, trainings))
            done[stage.name] = all(activity == "done" for activity in activities.values())
        return Status(
            self.results.root, runs, cohort, tuple(found), trainings, failures, tuple(stopped), queue, tuple(queued)
        )

    def _config(self) -> Config:
        path = self.results.config
        config = self.reader.read(path, _parse_config)
        if config is None:
            raise ConfigError(
                f"{path} is not there: no run has begun in {self.results.root}. Start snakemake first, or name the "
                "results folder: flairflow status FOLDER"
            )
        return config

    def _base(self, config: Config) -> Path:
        """The folder in which Snakemake runs, where the configuration's relative paths start."""
        if config.results.is_absolute():
            return Path.cwd()
        # Not resolved: `results` may be a link to another disk.
        return self.results.root.absolute().parents[len(config.results.parts) - 1]

    def _activity(
        self, stage: Stage, job: Job, complete: bool, in_queue: QueuedJob | None, runs: bool | None
    ) -> tuple[Activity, str]:
        """What goes on with a job; of one that stopped, the message too."""
        if not complete and held(self.results.lock(stage.name, job.name)):
            return "running", ""
        if in_queue:
            return ("waiting" if in_queue.waits else "running"), ""
        if complete:
            return "done", ""
        if not job.log.exists() or all(path.exists() for path in job.outputs):
            return "to go", ""
        message = self.reader.read(job.log, _last_error)
        if message:
            return "stopped", message
        # Jobs without a lock: they have begun, and have neither ended nor failed.
        begun = bool(runs) and not stage.by_scan and stage.name not in ("train", "index")
        return ("running" if begun else "to go"), ""

    def _trainings(self, stage: Stage, activities: dict[str, Activity]) -> dict[str, Training]:
        """Of the networks that are begun and not done."""
        found = {}
        for job in stage.jobs:
            if activities[job.name] != "done" and job.log.exists():
                history = self.results.root / "state" / "train" / job.name / "log.csv"
                known = training(job.log, history, job.updates, self.reader)
                # What ended and is to be done again still has its log.
                if activities[job.name] == "running" or known.update != known.updates:
                    found[job.name] = known
        return found

    def _summary(
        self, stage: Stage, activities: dict[str, Activity], rows: dict[str, Rows], trainings: dict[str, Training]
    ) -> StageStatus:
        jobs: dict[Activity, int] = dict.fromkeys(("done", "running", "waiting", "stopped", "to go"), 0)
        for activity in activities.values():
            jobs[activity] += 1
        if not stage.by_scan:
            left = _training_left(stage, activities, trainings) if stage.name == "train" else None
            unit: Literal["networks", "jobs"] = "networks" if stage.name == "train" else "jobs"
            return StageStatus(stage.name, unit, jobs["done"], 0, len(activities) - jobs["done"], jobs, None, left)
        total = sum(job.scans for job in stage.jobs)
        # A scan that has left the cohort may still be in a ledger.
        failed = sum(min(len(rows[job.name].failed), job.scans) for job in stage.jobs)
        ok = sum(min(rows[job.name].ok, job.scans - min(len(rows[job.name].failed), job.scans)) for job in stage.jobs)
        costs = (self.results.scan_costs(stage.name, job.name) for job in stage.jobs)
        pace = scans_per_second(costs, self.reader)
        to_go = total - ok - failed
        left = to_go / pace if pace and jobs["running"] else None
        return StageStatus(stage.name, "scans", ok, failed, to_go, jobs, pace * 3600 if pace else None, left)


def _parse_config(text: str) -> Config:
    try:
        return load_config(json.loads(text))
    except ValueError as error:
        raise ConfigError(f"config.json of the results is damaged ({error}): start snakemake again") from None


def _finished(job: Job, rows: Rows | None) -> bool:
    """Whether what a job makes is there, of all its scans."""
    if not all(path.exists() for path in job.outputs):
        return False
    return rows is None or rows.ok + len(rows.failed) >= job.scans


def _last_error(text: str) -> str:
    """What a log says of the error at its end; "" where there is none."""
    errors = _ERROR.findall(text)
    if not errors:
        return ""
    # After an unexpected error the log ends with the traceback.
    return str(text.rstrip().splitlines()[-1] if "unexpected error" in errors[-1] else errors[-1])


def _training_left(stage: Stage, activities: dict[str, Activity], trainings: dict[str, Training]) -> float | None:
    """The seconds that all networks still take if as many train at a time as now; None where that is not known."""
    left, paces = 0, []
    for job in stage.jobs:
        if activities[job.name] == "done":
            continue
        known = trainings.get(job.name, Training(updates=job.updates))
        if known.updates is None:
            return None
        left += known.updates - known.update
        if activities[job.name] == "running":
            if known.seconds_per_update is None:
                return None
            paces.append(1 / known.seconds_per_update)
    return left / sum(paces) if paces else None
