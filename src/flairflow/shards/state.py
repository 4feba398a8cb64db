"""The record from which a killed job resumes: a line per finished scan, appended and synced, never a rule's output."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from flairflow.shards.ledger import Row


def append(path: Path, row: Row) -> None:
    """Add one finished scan; on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        # A line cut short by a kill must not swallow the next one.
        start = b"\n" if file.tell() and not _ends_with_newline(path) else b""
        file.write(start + json.dumps(asdict(row)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> dict[str, Row]:
    """The last whole line of every scan; a line that a kill cut short is passed over."""
    rows: dict[str, Row] = {}
    if path.exists():
        for line in path.read_bytes().splitlines():
            try:
                row = Row(**json.loads(line))
            except (ValueError, TypeError):
                continue
            rows[row.scan] = row
    return rows


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
