"""The record from which a killed job resumes: a line per finished scan, appended and synced, never a rule's output."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from flairflow.files import add_json_line, json_lines
from flairflow.shards.ledger import Row


def append(path: Path, row: Row) -> None:
    """Add one finished scan; on disk when this returns."""
    add_json_line(path, asdict(row))


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
