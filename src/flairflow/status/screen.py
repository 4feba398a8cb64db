"""The state of a run as a page of the terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flairflow.paths import Results
from flairflow.status.grouping import grouped
from flairflow.status.run_state import StageStatus, Status
from flairflow.training.pace import duration

# So many lines of a kind are shown, and so many scans of a line; the rest is counted.
LINES = 8
SCANS = 3
WIDE = 100


def picture(status: Status, width: int) -> RenderableType:
    """What `flairflow status` prints, for a terminal of so many columns. Nothing in it is read as markup: names and
    reasons come from outside."""
    parts: list[RenderableType] = [_headline(status), Text(), _stages(status, width)]
    if status.trainings:
        more = len(status.trainings) - LINES
        title = "Networks in training" + (f" (the first {LINES}, {more:,} more)" if more > 0 else "")
        parts += [Text(), Text(title, style="bold"), _trainings(status, width)]
    for title, lines in (
        ("SLURM", list(_slurm(status))),
        ("Stopped at an error", list(_stopped(status))),
        ("Failed scans", list(_failed(status))),
        ("Excluded scans", list(_excluded(status))),
    ):
        if lines:
            parts += [Text(), Text(title, style="bold"), Padding(Group(*_some(lines)), (0, 0, 0, 2))]
    return Group(*parts)


def _headline(status: Status) -> Text:
    cohort = status.cohort
    working = any(stage.jobs["running"] or stage.jobs["waiting"] for stage in status.stages)
    if status.finished:
        state, style = "all done", "bold green"
    elif working:
        state, style = "running" if status.workflow_runs else "jobs run, but no snakemake that follows", "bold cyan"
    elif status.workflow_runs:
        state, style = "snakemake is there, no job works at the moment", "bold cyan"
    else:
        state, style = "not running: start snakemake to go on", "bold yellow"
    counts = (
        f"{cohort.scans:,} scans in {len(cohort.shards):,} shards, {len(cohort.excluded):,} excluded"
        if cohort
        else "not indexed yet: what there is to do is known after `index`"
    )
    now = time.strftime("%H:%M:%S")
    return Text.assemble((_plain(str(status.results)), "bold"), "  ", (state, style), f"  {now}\n{counts}")


def _stages(status: Status, width: int) -> Table:
    wide = width >= WIDE
    queued = status.queue is not None and not status.queue.problem
    table = _table(width)
    table.add_column("stage", overflow="fold")
    if wide:
        table.add_column("")
        table.add_column("of")
    names = ["done", "failed", "to go", "running", *(["waiting"] if queued else []), "scans/h", "time left"]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for stage in status.stages:
        table.add_row(*_row(stage, wide, queued))
    return table


def _row(stage: StageStatus, wide: bool, queued: bool) -> Iterator[RenderableType]:
    total = stage.done + stage.failed + stage.to_go
    complete = stage.jobs["done"] == sum(stage.jobs.values())
    style = "red" if stage.jobs["stopped"] else "cyan" if stage.jobs["running"] else "green" if complete else ""
    yield Text(stage.stage, style=style)
    if wide:
        yield ProgressBar(total=max(total, 1), completed=total - stage.to_go, width=10)
        yield Text(stage.unit if total > 1 else stage.unit.removesuffix("s"), style="dim")
    yield _count(stage.done, "green")
    yield _count(stage.failed, "red")
    yield _count(stage.to_go, "")
    yield _count(stage.jobs["running"], "cyan")
    if queued:
        yield _count(stage.jobs["waiting"], "yellow")
    pace, left = stage.scans_per_hour, stage.seconds_left
    begun = stage.unit == "scans" and (stage.done or stage.jobs["running"])
    yield Text("" if not begun else "n/a" if pace is None else f"{pace:,.0f}", style="dim" if complete else "")
    timed = stage.unit != "jobs" and stage.jobs["running"]
    yield Text("" if not timed else "n/a" if left is None else duration(left))


def _count(number: int, style: str) -> Text:
    return Text(f"{number:,}", style=style) if number else Text("-", style="dim")


def _trainings(status: Status, width: int) -> Table:
    table = _table(width)
    table.add_column("network", overflow="fold")
    for name in ("update", "of", "loss", "updates/h", "time left"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, training in list(status.trainings.items())[:LINES]:
        pace, left = training.seconds_per_update, training.seconds_left
        table.add_row(
            Text(name),
            f"{training.update:,}",
            _known(training.updates, "{:,}"),
            _known(training.loss, "{:.3f}"),
            _known(3600 / pace if pace else None, "{:,.0f}"),
            "n/a" if left is None else duration(left),
        )
    return table


def _known(number: float | None, form: str) -> str:
    return "n/a" if number is None else form.format(number)


def _table(width: int) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2 if width >= WIDE else 1, 0, 0), header_style="dim")


def _slurm(status: Status) -> Iterator[Text]:
    if status.queue is None:
        return
    if status.queue.problem:
        yield Text(f"not known: {_plain(status.queue.problem)}", style="yellow")
    waiting = Counter(one.slurm.reason for one in status.queued if one.slurm.waits)
    for reason, count in waiting.most_common():
        yield Text(f"{count:,} waiting: {_plain(reason)}", style="yellow")
    for one in status.queued:
        if not one.slurm.waits:
            yield Text(f"job {one.slurm.number} on {one.slurm.node or 'n/a'}: {one.stage} {one.job}")


def _stopped(status: Status) -> Iterator[Text]:
    for one in status.stopped:
        yield Text.assemble(
            (f"{one.stage} {one.job}" if one.job != one.stage else one.stage, "red"),
            f": {_plain(one.message)} ({_plain(str(one.log))})",
        )


def _failed(status: Status) -> Iterator[Text]:
    for stage, failures in status.failures.items():
        for reason, scans in grouped((failure.reason, failure.scan) for failure in failures):
            # The reason of a failed scan begins with its stage.
            yield _reason(reason or stage, scans)


def _excluded(status: Status) -> Iterator[Text]:
    if status.cohort is None or not status.cohort.excluded:
        return
    table = Results(status.results).cohort
    yield Text(f"{len(status.cohort.excluded):,}, of each {_plain(str(table))} says why", style="dim")
    for reason, scans in grouped((reason, scan) for scan, reason in status.cohort.excluded.items()):
        yield _reason(reason, scans)


def _reason(reason: str, scans: Sequence[str]) -> Text:
    named = ", ".join(map(_plain, scans[:SCANS])) + (f" and {len(scans) - SCANS:,} more" if len(scans) > SCANS else "")
    return Text.assemble((f"{len(scans):,} ", "red"), _plain(reason), (f"  {named}", "dim"))


def _some(lines: Sequence[Text]) -> Iterator[Text]:
    yield from lines[:LINES]
    if len(lines) > LINES:
        yield Text(f"and {len(lines) - LINES:,} more (--json has all)", style="dim")


def _plain(text: str) -> str:
    """A text from outside without what would move the cursor or colour the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
