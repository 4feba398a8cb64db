"""Run a stage over a shard, scan by scan: a scan that fails becomes a row, a scan that is done is not done again."""

from __future__ import annotations

import errno
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from flairflow.cohort.scan import Scan
from flairflow.errors import ScanError, in_short, is_unexpected, unexpected_reason
from flairflow.files import remove_partial
from flairflow.paths import Results
from flairflow.shards import guard, state
from flairflow.shards.begun import Begun
from flairflow.shards.files_kept import files_of
from flairflow.shards.ledger import Row, write_ledger
from flairflow.shards.lock import alone

log = logging.getLogger(__name__)

# How often a scan may end its job before it is given up.
DEATHS = 2
# What no scan is at fault for: the disk is full or was taken away, too many files are open.
MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENFILE, errno.EMFILE}


@dataclass(frozen=True)
class Outcome:
    """What a stage made of one scan: files (paths below the results folder) by role, and measured values by name."""

    files: Mapping[str, Path] = field(default_factory=dict)
    values: Mapping[str, float | str | None] = field(default_factory=dict)


def run_shard(
    stage: str,
    shard: str,
    scans: Sequence[Scan],
    fingerprint: Callable[[Scan], str],
    process: Callable[[Scan], Outcome],
    results: Results,
    upstream: Mapping[str, Row] | None = None,
    as_good: Callable[[Scan], Collection[str]] | None = None,
    strict: bool = False,
) -> list[Row]:
    """Process the scans of a shard and write its ledger last.

    process     : does one scan; raises ScanError when the scan is at fault. Any other exception is a bug, or memory
                  that is not there: a row too, with the traceback in the log and a count as the log's last line. Only
                  what no scan is at fault for, such as a full disk, ends the job; what was finished stays finished.
    fingerprint : of everything the outcome depends on; a scan with the same one in the state, and whose files are still
                  there, is not done again. Failed scans are tried again. Files that a scan had and has no longer are
                  removed.
    upstream    : rows of the stage before; a scan that failed there fails here with the same reason.
    as_good     : further fingerprints with which a scan is not done again.
    strict      : scans that end unexpectedly fail the job, after all others are done.
    A scan that took its job with it twice is given up, and a row. Waits as long as another job works on the shard.
    Raises ScanError where scans are left for a job with more memory, or by `strict`.
    """
    with alone(results.lock(stage, shard)):
        state_path = results.state(stage, shard)
        done = state.read(state_path)
        begun = Begun(results.begun(stage, shard))
        rows, put_off = [], []
        for number, scan in enumerate(scans, start=1):
            if upstream is not None and upstream[scan.scan].status != "ok":
                rows.append(Row(scan.scan, "failed", "", upstream[scan.scan].reason))
                continue
            expected = fingerprint(scan)
            row = done.get(scan.scan)
            fits = {expected, *(as_good(scan) if as_good else ())}
            if row is None or row.fingerprint not in fits or row.status != "ok" or not _present(row, results.root):
                deaths = begun.deaths(scan.scan, expected)
                if len(deaths) < DEATHS and scan.scan in guard.put_off:
                    put_off.append(scan.scan)
                    continue
                replaced = row
                if len(deaths) < DEATHS:
                    row = _process(scan, expected, process, results, stage, shard, begun)
                else:
                    what = f"end of its job, {len(deaths)} times: {deaths[-1]}"
                    row = Row(scan.scan, "failed", expected, unexpected_reason(_first(stage), what))
                if replaced is not None:
                    _remove_replaced(replaced, row, results)
                state.append(state_path, row)
                begun.end(scan.scan)
                outcome = "done" if row.status == "ok" else f"failed: {row.reason}"
                log.info("%s %d/%d %s %s", stage, number, len(scans), scan.scan, outcome)
            rows.append(row)
        unexpected = [row.scan for row in rows if row.fingerprint and row.status != "ok" and is_unexpected(row.reason)]
        if put_off:
            raise ScanError(f"{stage}: {in_short(put_off)}: left for the next attempt, which has more memory")
        if unexpected and strict:
            raise ScanError(f"{stage}: {in_short(unexpected)} ended unexpectedly, and `strict` is set")
        write_ledger(results.ledger(stage, shard), rows)
        begun.finish()
    if unexpected:
        log.error("%s: %d of %d scans ended unexpectedly: %s", stage, len(unexpected), len(rows), in_short(unexpected))
    return rows


def _process(
    scan: Scan,
    expected: str,
    process: Callable[[Scan], Outcome],
    results: Results,
    stage: str,
    shard: str,
    begun: Begun,
) -> Row:
    started = time.perf_counter()
    begun.begin(scan.scan, expected)
    try:
        outcome = process(scan)
    except ScanError as problem:
        row = Row(scan.scan, "failed", expected, f"{_first(stage)}: {problem}")
    # A library may call sys.exit; who stops this job does it by a signal.
    except (Exception, SystemExit) as problem:
        if _of_the_machine(problem, results.root):
            begun.end(scan.scan)
            raise
        log.exception("%s %s: unexpected error", stage, scan.scan)
        row = Row(
            scan.scan, "failed", expected, unexpected_reason(_first(stage), f"{type(problem).__name__}: {problem}")
        )
    except BaseException:
        begun.end(scan.scan)
        raise
    else:
        for path in outcome.files.values():
            remove_partial(path)
        files = {role: path.relative_to(results.root).as_posix() for role, path in outcome.files.items()}
        row = Row(scan.scan, "ok", expected, files=files, values=dict(outcome.values))
    _note_cost(results.scan_costs(stage, shard), scan.scan, row.status, time.perf_counter() - started)
    return row


def _first(stage: str) -> str:
    return stage.split("/")[0]


def _of_the_machine(problem: BaseException, root: Path) -> bool:
    """Whether an exception would meet any scan here: it must end the job, or a whole shard would fail by it."""
    if isinstance(problem, OSError):
        denied = problem.errno in (errno.EACCES, errno.EPERM) and problem.filename is not None
        return problem.errno in MACHINE or (denied and Path(os.fsdecode(problem.filename)).is_relative_to(root))
    # Torch's word for a GPU that is in no state to go on; torch itself is not imported by every stage.
    return isinstance(problem, ImportError) or type(problem).__name__ == "AcceleratorError"


def _remove_replaced(old: Row, new: Row, results: Results) -> None:
    """Remove the files of a row that the one in its place does not name: they would pass for its own."""
    for path in set(files_of(old, results)).difference(files_of(new, results)):
        path.unlink(missing_ok=True)


def _present(row: Row, root: Path) -> bool:
    return all((root / path).exists() for path in row.files.values())


def _note_cost(path: Path, scan: str, status: str, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    # ru_maxrss counts KiB on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**10 if sys.platform != "darwin" else 2**20)
    with path.open("a", encoding="utf-8") as file:
        if new:
            file.write("scan\tstatus\tseconds\tpeak_mb\tfinished\n")
        finished = datetime.now(UTC).isoformat(timespec="milliseconds")
        file.write(f"{scan}\t{status}\t{seconds:.2f}\t{peak:.0f}\t{finished}\n")
        file.flush()
        os.fsync(file.fileno())
