"""What jobs asked for against what they used: a table in Markdown of the `benchmark:` files of real runs.

    python benchmarks/job_requests.py RESULTS_FOLDER...

Each folder is `results` of a run, with its config.json. Requests are worked out anew for the first attempt, with no
more threads than this machine has cores. Memory is the largest sum of the resident memory of a job's processes, which
counts what they share several times; Snakemake's own part of a request (`SNAKEMAKE_MB`), which these files do not see,
is left out. Ends with an error where a job used more than it asked for.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil

from flairflow.config import read_config
from flairflow.paths import Results
from flairflow.resources.request import SNAKEMAKE_MB, request
from flairflow.tables import read_table

# Rules whose benchmarks stand under another name, and the threads of those whose requests depend on them.
RULES = {"train": "train_model", "compare": "comparison"}
THREADS = {"simulate": 4, "index": 8}


@dataclass(frozen=True)
class Job:
    used_mb: float
    asked_mb: float
    seconds: float
    minutes: int

    @property
    def share(self) -> float:
        """Of the request's memory that was used."""
        return self.used_mb / self.asked_mb


def main() -> None:
    jobs: dict[str, list[Job]] = defaultdict(list)
    for folder in map(Path, sys.argv[1:]):
        for rule, job in measured(folder.resolve()):
            jobs[rule].append(job)
    print(
        f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')}\n"
    )
    print(
        "| rule | jobs | MB used: median | largest | MB requested | used / requested | seconds used | min requested |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for rule, found in sorted(jobs.items()):
        used = [job.used_mb for job in found]
        print(
            f"| {rule} | {len(found)} | {statistics.median(used):.0f} | {max(used):.0f} |"
            f" {span([job.asked_mb for job in found])} | {span([job.share for job in found], '.2f')} |"
            f" {span([job.seconds for job in found])} | {span([job.minutes for job in found])} |"
        )
    too_small = [
        rule for rule, found in jobs.items() for job in found if job.share > 1 or job.seconds > 60 * job.minutes
    ]
    if too_small:
        sys.exit(f"used more than they asked for: {', '.join(sorted(set(too_small)))}")


def measured(root: Path) -> list[tuple[str, Job]]:
    """The jobs of a run by rule."""
    results = Results(root)
    # Relative paths of a configuration start where the run was, not here.
    config = read_config(results.config).model_copy(update={"results": root})
    jobs = []
    for path in sorted((root / "benchmarks").rglob("*.tsv")):
        if path.name.endswith(".scans.tsv"):
            continue
        stage, *middle = path.relative_to(root / "benchmarks").with_suffix("").parts
        rule, wildcards = RULES.get(stage, stage), {}
        if rule == "train_model":
            wildcards = dict(
                zip(("strategy", "part", "seed"), [*middle[:2], middle[2].removeprefix("seed-")], strict=True)
            )
        elif results.shard_list(path.stem).exists():
            wildcards = {"shard": path.stem} | ({"ensemble": middle[0]} if len(middle) > 1 else {})
            if stage == "segment" and "-archive-" in path.stem:
                rule = "segment_archive"
        asked = request(config, rule, wildcards, min(THREADS.get(rule, 1), psutil.cpu_count()))
        row = read_table(path).iloc[-1]
        if row["max_rss"] > 0:  # Snakemake looks every few seconds at most: shorter jobs have none
            jobs.append((rule, Job(row["max_rss"], asked.mem_mb - SNAKEMAKE_MB, row["s"], asked.runtime)))
    return jobs


def span(values: list[float] | list[int], form: str = ".0f") -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    main()
