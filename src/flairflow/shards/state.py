"""The record from which a killed job resumes: a line per finished scan, appended and synced, never a rule's output."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from flairflow.files import appending, json_lines
from flairflow.shards.ledger import Row


def append(path: Path, row: Row) -> None:
    """Add one finished scan; on disk when this returns."""
    with appending(path) as file:
        file.write(json.dumps(asdict(row)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> dict[str, Row]:
    """The last whole line of every scan; a line that a kill cut short is passed over."""
    rows: dict[str, Row] = {}
    for values in json_lines(path):
        try:
            row = Row(**values)
        except TypeError:
            continue
        rows[row.scan] = row
    return rows
