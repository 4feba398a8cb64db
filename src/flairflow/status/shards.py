"""How far the shards of a stage are, from their ledgers, their records of finished scans and their costs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flairflow.status.file_cache import Reader, table_rows

# A pace is that of the last half hour of work; five minutes in which nothing was worked on end it.
LATELY_S = 1800.0
PAUSE_S = 300.0
ROW = ("scan", "status", "reason", "fingerprint")
_POSITION = re.compile(r" INFO \S+ (\d+)/\d+ \S+ (?:done|failed)")


@dataclass(frozen=True)
class Failure:
    """A scan that failed. `own`: in this stage; else in one before, which passed it on."""

    scan: str
    reason: str
    own: bool


@dataclass(frozen=True)
class Rows:
    """What became of the scans of a shard that are finished."""

    ok: int = 0
    failed: tuple[Failure, ...] = ()


def finished_scans(ledger: Path, record: Path, reader: Reader) -> Rows:
    """The finished scans of a shard: as its ledger says or, while there is none, the record from which it resumes."""
    return reader.read(ledger, parse_ledger) or reader.read(record, parse_record) or Rows()


def up_to(rows: Rows, log: Path, reader: Reader) -> Rows:
    """The finished scans of a shard that a job works on now: as many as its log says. The record alone would also count
    what it has to do again, for other settings."""
    position = reader.read(log, parse_position)
    if not position:
        return rows
    failed = rows.failed[:position]
    return Rows(position - len(failed), failed)


def parse_position(text: str) -> int:
    """The number, within its shard, of the last scan that a log calls finished; 0 where there is none."""
    return max(map(int, _POSITION.findall(text)), default=0)


def parse_ledger(text: str) -> Rows:
    """The rows of a ledger's text; lines that are no rows are passed over."""
    lines = text.split("\n")[1:]
    # A hundred thousand scans: the whole format is only for shards where a reason can make a row span lines.
    cells = [line.split("\t", 4) for line in lines if line]
    ok = sum(len(row) == 5 and row[1] == "ok" for row in cells)
    if ok == len(cells):
        return Rows(ok)
    rows = ([row.get(name, "") for name in ROW] for row in table_rows(text))
    return _rows(row for row in rows if row[1] in ("ok", "failed"))


def parse_record(text: str) -> Rows:
    """The last whole line of every scan; a line that a kill cut short is passed over."""
    rows: dict[str, list[str]] = {}
    for line in text.split("\n"):
        try:
            values = json.loads(line)
            rows[values["scan"]] = [str(values[name]) for name in ROW]
        except (ValueError, KeyError, TypeError):
            continue
    return _rows(list(rows.values()))


def scans_per_second(costs: Iterable[Path], reader: Reader) -> float | None:
    """How many scans a stage has finished a second in its last half hour of work, all its jobs together.

    costs : the files of `Results.scan_costs`. None where fewer than two scans say when they were finished.
    """
    times: dict[Path, float] = {}
    for path in costs:
        try:
            times[path] = path.stat().st_mtime
        except OSError:
            continue
    newest = max(times.values(), default=0.0)
    spans: list[tuple[float, float]] = []
    for path, time in times.items():
        if time >= newest - LATELY_S:
            spans += reader.read(path, parse_costs) or []
    return _pace(spans)


def parse_costs(text: str) -> list[tuple[float, float]]:
    """When each scan was finished, in seconds since 1970, and how many seconds it took, where the file says so."""
    spans = []
    for line in text.split("\n")[1:]:
        try:
            _, _, seconds, _, finished = line.split("\t")
            spans.append((datetime.fromisoformat(finished).timestamp(), float(seconds)))
        except ValueError:
            continue
    return spans


def _pace(spans: Sequence[tuple[float, float]]) -> float | None:
    latest = sorted(spans, reverse=True)
    if not latest:
        return None
    end = latest[0][0]
    start, count = end, 0
    for finished, seconds in latest:
        if finished < max(end - LATELY_S, start - PAUSE_S):
            break
        start, count = min(start, finished - seconds), count + 1
    return count / (end - start) if count > 1 and end > start else None


def _rows(rows: Iterable[Sequence[str]]) -> Rows:
    ok, failed = 0, []
    for scan, status, reason, fingerprint in rows:
        if status == "ok":
            ok += 1
        else:
            # What failed before has no fingerprint here.
            failed.append(Failure(scan, reason, bool(fingerprint)))
    return Rows(ok, tuple(failed))
