"""The measurements as Markdown, and whether the limits are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from overhead import Overhead
from planning import Planned
from process import Run

# What must hold on two quiet cores: what, at how many scans, at most. Seconds are judged by processor time, which is
# what a single process takes where nothing else runs.
LIMITS: tuple[tuple[str, int, float, Callable[[Planned], float | None]], ...] = (
    ("dry run, s", 10_000, 3, lambda planned: planned.dry_run.cpu_seconds),
    ("dry run, s", 100_000, 12, lambda planned: planned.dry_run.cpu_seconds),
    ("run with nothing to do, s", 10_000, 4, lambda planned: planned.no_op and planned.no_op.cpu_seconds),
    ("peak memory of planning, MB", 100_000, 400, lambda planned: planned.dry_run.peak_mb),
    ("start of a job, s", 100_000, 2.5, lambda planned: planned.job_start.cpu_seconds),
    ("index, cold, s", 10_000, 60, lambda planned: planned.index and planned.index.cpu_seconds),
)


def planning_table(planned: Sequence[Planned]) -> str:
    """Seconds of wall time, seconds of CPU time and MB of every process."""
    before = ["scans", "cohort", "shards", "jobs", "index, cold", "index, 1 % new", "its jobs", "dry run"]
    rows = [[*before, "nothing to do", "one scan changed", "its jobs", "start of a job"]]
    for one in planned:
        row = [f"{one.count:,}", one.kind, str(one.shards), str(one.jobs), _cell(one.index), _cell(one.index_grown)]
        row += [_jobs(one.jobs_grown), _cell(one.dry_run), _cell(one.no_op), _cell(one.one_changed)]
        rows.append([*row, _jobs(one.jobs_changed), _cell(one.job_start)])
    return "Wall seconds (CPU seconds; peak MB):\n\n" + _markdown(rows)


def limits_table(planned: Sequence[Planned]) -> str:
    """Every limit beside the measurements that it is about."""
    kinds = list(dict.fromkeys(one.kind for one in planned))
    rows = [["limit", "scans", "at most", *kinds]]
    for what, count, most, value in LIMITS:
        numbers = {one.kind: value(one) for one in planned if one.count == count}
        if numbers:
            rows.append([what, f"{count:,}", f"{most:g}", *(_judged(numbers.get(kind), most) for kind in kinds)])
    return "What must hold on two quiet cores, by CPU seconds (**bold**: it does not):\n\n" + _markdown(rows)


def kept(planned: Sequence[Planned]) -> bool:
    """Whether every measured limit is kept."""
    measured = [(value(one), most) for _, count, most, value in LIMITS for one in planned if one.count == count]
    return all(number is None or number <= most for number, most in measured)


def metadata_table(planned: Sequence[Planned]) -> str:
    """Files and bytes that are not images, and what Snakemake takes to note a job that runs nothing."""
    rows = [["scans", "cohort", "jobs", "files", "MB", "files per 100,000 scans", "MB per 100,000 scans", "ms per job"]]
    for one in planned:
        if one.bookkeeping and one.no_op:
            share = 100_000 / one.count
            noting = (one.bookkeeping.seconds - one.no_op.seconds) / one.jobs * 1000
            row = [f"{one.count:,}", one.kind, str(one.jobs), f"{one.files:,}", f"{one.megabytes:.0f}"]
            rows.append([*row, f"{one.files * share:,.0f}", f"{one.megabytes * share:,.0f}", f"{noting:.0f}"])
    about = (
        "Ledgers, records, logs, benchmarks and `.snakemake` after a complete run. `ms per job`: what Snakemake takes "
        "to schedule and note a job that runs nothing (`--touch`, less the time of planning).\n\n"
    )
    return about + _markdown(rows)


def overhead_table(overheads: Sequence[Overhead]) -> str:
    """Seconds of a run of real shards, and of what in it is not the scans' own."""
    rows = [["shards", "run, s", "commands, s", "scans, s", "start of a command, s", "Snakemake per shard, s"]]
    for one in overheads:
        start = (one.commands - one.scans) / one.shards
        numbers = [f"{one.run.seconds:.1f}", f"{one.commands:.1f}", f"{one.scans:.1f}", f"{start:.2f}"]
        rows.append([str(one.shards), *numbers, f"{one.per_shard:.2f}"])
    about = (
        "Shards of one scan of 16 x 16 x 16 voxels, really registered, two at a time. `commands`: seconds of "
        "the jobs' commands, summed; `scans`: those of the scans in them. The last column is what a shard adds to the "
        "run besides half of its command's seconds; the start of the run, some 2 s, is spread over all shards.\n\n"
    )
    return about + _markdown(rows)


def _cell(run: Run | None) -> str:
    return f"{run.seconds:.1f} ({run.cpu_seconds:.1f}; {run.peak_mb:.0f})" if run else ""


def _jobs(number: int) -> str:
    return str(number) if number else ""


def _judged(number: float | None, most: float) -> str:
    return "" if number is None else f"{number:.1f}" if number <= most else f"**{number:.1f}**"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head = [f"| {' | '.join(rows[0])} |", f"| {' | '.join('--:' for _ in rows[0])} |"]
    return "\n".join(head + [f"| {' | '.join(row)} |" for row in rows[1:]]) + "\n"
