"""Run a stage over a shard, scan by scan: a scan that fails becomes a row, a scan that is done is not done again."""

from __future__ import annotations

import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from flairflow.cleaning.storage import files_of
from flairflow.cohort.scan import Scan
from flairflow.errors import ScanError
from flairflow.files import remove_partial
from flairflow.paths import Results
from flairflow.shards import state
from flairflow.shards.ledger import Row, write_ledger
from flairflow.shards.lock import alone

log = logging.getLogger(__name__)


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
) -> list[Row]:
    """Process the scans of a shard and write its ledger last.

    process     : does one scan; raises ScanError when the scan is at fault. Any other exception is a bug: it ends the
                  job with its traceback, and what was finished before stays finished.
    fingerprint : of everything the outcome depends on; a scan with the same one in the state, and whose files are still
                  there, is not done again. Failed scans are tried again. Files that a scan had and has no longer are
                  removed.
    upstream    : rows of the stage before; a scan that failed there fails here with the same reason.
    Waits as long as another job works on the shard.
    """
    with alone(results.lock(stage, shard)):
        state_path = results.state(stage, shard)
        done = state.read(state_path)
        rows = []
        for number, scan in enumerate(scans, start=1):
            if upstream is not None and upstream[scan.scan].status != "ok":
                rows.append(Row(scan.scan, "failed", "", upstream[scan.scan].reason))
                continue
            expected = fingerprint(scan)
            row = done.get(scan.scan)
            if row is None or row.fingerprint != expected or row.status != "ok" or not _present(row, results.root):
                replaced, row = row, _process(scan, expected, process, results, stage, shard)
                if replaced is not None:
                    _remove_replaced(replaced, row, results)
                state.append(state_path, row)
                outcome = "done" if row.status == "ok" else f"failed: {row.reason}"
                log.info("%s %d/%d %s %s", stage, number, len(scans), scan.scan, outcome)
            rows.append(row)
        write_ledger(results.ledger(stage, shard), rows)
    return rows


def _process(
    scan: Scan, expected: str, process: Callable[[Scan], Outcome], results: Results, stage: str, shard: str
) -> Row:
    started = time.perf_counter()
    try:
        outcome = process(scan)
    except ScanError as problem:
        row = Row(scan.scan, "failed", expected, f"{stage.split('/')[0]}: {problem}")
    else:
        for path in outcome.files.values():
            remove_partial(path)
        files = {role: path.relative_to(results.root).as_posix() for role, path in outcome.files.items()}
        row = Row(scan.scan, "ok", expected, files=files, values=dict(outcome.values))
    _note_cost(results.scan_costs(stage, shard), scan.scan, row.status, time.perf_counter() - started)
    return row


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
