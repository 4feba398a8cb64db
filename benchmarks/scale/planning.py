"""One cohort: its index, what it costs to plan its runs, and what the runs leave besides images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cohort import Kind, add_scans, assign_tables, make_cohort
from complete import complete
from process import Run, apart, flairflow, snakemake

from flairflow.files import write_text
from flairflow.paths import Results
from flairflow.tables import read_table


@dataclass(frozen=True)
class Planned:
    """What was measured of one cohort; what was not is None. `jobs` are those of the first run."""

    count: int
    kind: Kind
    shards: int
    jobs: int
    dry_run: Run
    job_start: Run
    index: Run | None = None
    index_grown: Run | None = None
    jobs_grown: int = 0
    no_op: Run | None = None
    one_changed: Run | None = None
    jobs_changed: int = 0
    bookkeeping: Run | None = None
    files: int = 0
    megabytes: float = 0.0


def plan_with_trees(folder: Path, count: int, kind: Kind) -> Planned:
    """Everything, on BIDS trees of `count` scans. Raises SystemExit where an index moves a scan to another shard or a
    second run has something to do."""
    apart(make_cohort, folder, count, kind)
    results = Results(folder / "results")
    index = flairflow(folder, "index", "--threads", "2")
    dry_run, job_start = snakemake(folder, "-n", "--quiet", "rules"), start_job(folder)
    shards = len(read_table(results.shards))
    bookkeeping = complete(folder)
    no_op = snakemake(folder, "-n", "--quiet")
    if "Nothing to be done" not in no_op.output:
        raise SystemExit(f"{folder}: a second run has something to do\n{no_op.output}")
    no_op = snakemake(folder)
    files = [path for part in (*results.record_folders, folder / ".snakemake") for path in part.rglob("*")]
    sizes = [path.stat().st_size for path in files if path.is_file()]

    _change_a_scan(results)
    one_changed = snakemake(folder, "-n", "--quiet", "rules")

    assigned = _assigned(results)
    add_scans(folder, range(count, count + count // 100), kind)
    index_grown = flairflow(folder, "index", "--threads", "2")
    grown = _assigned(results)
    if any(grown[scan] != shard for scan, shard in assigned.items()) or len(grown) != count + count // 100:
        raise SystemExit(f"{folder}: new scans moved others to another shard")
    jobs_grown = jobs_of(snakemake(folder, "-n", "--quiet", "rules"))
    return Planned(
        count,
        kind,
        shards,
        jobs_of(dry_run),
        dry_run,
        job_start,
        index,
        index_grown,
        jobs_grown,
        no_op,
        one_changed,
        jobs_of(one_changed),
        bookkeeping,
        len(sizes),
        sum(sizes) / 1e6,
    )


def plan_with_tables(folder: Path, count: int, kind: Kind) -> Planned:
    """The plan of a first run and a job's start, on the tables that an index would leave."""
    apart(assign_tables, folder, count, kind)
    dry_run, job_start = snakemake(folder, "-n", "--quiet", "rules"), start_job(folder)
    shards = len(read_table(Results(folder / "results").shards))
    return Planned(count, kind, shards, jobs_of(dry_run), dry_run, job_start)


def start_job(folder: Path) -> Run:
    """What a job of a cluster does before its command: it parses the workflow and plans its one target."""
    shards = list(read_table(Results(folder / "results").shards)["shard"])
    archive = [shard for shard in shards if "-archive-" in shard]
    rule = "segment_archive" if archive else "register"
    wildcards = f"ensemble=pseudolabels,shard={archive[-1]}" if archive else f"shard={shards[-1]}"
    job = ["--target-jobs", f"{rule}:{wildcards}", "--allowed-rules", rule]
    return snakemake(folder, "-n", "--quiet", "--force", "--nolock", "--ignore-incomplete", *job)


def jobs_of(run: Run) -> int:
    """The number of jobs that a dry run announces."""
    found = re.search(r"^total\s+(\d+)", run.output, re.MULTILINE)
    return int(found[1]) if found else 0


def _change_a_scan(results: Results) -> None:
    """Write the list of the last shard, by name an archive's where there is one, as an index does that finds one of its
    scans changed: with another digest."""
    shards = read_table(results.shards)["shard"]
    archive = shards[shards.str.contains("-archive-")]
    path = results.shard_list((archive if len(archive) else shards).iloc[-1])
    text = path.read_text(encoding="utf-8").rstrip("\n")
    write_text(path, f"{text[:-1]}{'0' if text[-1] != '0' else '1'}\n")


def _assigned(results: Results) -> dict[str, str]:
    table = read_table(results.shard_assignments, text=True)
    return dict(zip(table["name"], table["assigned"], strict=True))
