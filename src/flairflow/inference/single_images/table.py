"""The table of what `flairflow segment` measured: a row per image, kept from run to run in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flairflow.tables import Column, column, read_table, records, write_table

Row = dict[str, Any]

TABLE = "volumes.tsv"
# Columns of text; all others are numbers.
WORDS = ("name", "image", "flag", "note", "reason", "brain_mask", "fingerprint")


class SingleTable:
    """`volumes.tsv` in the output folder. Written after every image: what is finished is not lost."""

    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        self.path = folder / TABLE
        self.labels = labels
        self.rows: dict[str, Row] = {}
        if self.path.exists():
            before = read_table(self.path, text=True)
            if set(WORDS) <= set(before.columns):
                self.rows = {row["name"]: _read(row) for row in records(before)}

    def done(self, name: str, fingerprint: str) -> Row | None:
        """The row of an image that was segmented from the same file in the same way, if there is one."""
        row = self.rows.get(name)
        return row if row and row["fingerprint"] == fingerprint and not row["reason"] else None

    def add(self, row: Row) -> None:
        """Add or replace the row of an image, and write the table."""
        import pandas as pd

        self.rows[row["name"]] = row
        columns = _columns(self.labels, self.rows)
        write_table(self.path, pd.DataFrame(list(self.rows.values()), columns=list(columns)), columns)


def _read(row: Mapping[str, str]) -> Row:
    """A row as it was added: numbers but in the columns of words, None for what is not there."""
    return {key: None if not text else text if key in WORDS else float(text) for key, text in row.items()}


def _columns(labels: Sequence[str], rows: Mapping[str, Row]) -> dict[str, Column]:
    keys = dict.fromkeys(key for row in rows.values() for key in row)
    known = {
        "name": column("What the outputs of the image are named after"),
        "image": column("The image, as it was given"),
        **{f"{label}_ml": column(f"Volume of {label} in the image", "ml") for label in labels},
        "brain_ml": column("Volume of the brain mask", "ml"),
        "flag": column("What to look at before the volumes are used, such as a doubtful brain mask"),
        "note": column("How the image was read where that was not plain, and what was clipped"),
        "reason": column("Why there are no volumes"),
        "brain_mask": column("Where the brain mask comes from"),
        "seconds": column("Time it took", "s"),
        "fingerprint": column("Stands for the image's contents, the model and the brain mask's origin"),
    }
    measured = {key: column("As in the ledgers of the workflow (docs/outputs.md)") for key in keys if key not in known}
    last = {key: known.pop(key) for key in ("brain_mask", "seconds", "fingerprint")}
    # Labels of other models than this run's, in rows of earlier ones, are among the measured.
    return known | measured | last
