"""A shard's ledger: one row per scan saying what became of it. The declared output of every per-scan stage."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from flairflow.cohort.scan import SPLITS
from flairflow.cohort.sharding import shard_names
from flairflow.files import write_text
from flairflow.paths import Results
from flairflow.tables import read_table, to_tsv


@dataclass(frozen=True)
class Row:
    """What became of one scan in one stage.

    fingerprint : of the inputs, the settings and the version of the stage that made it.
    files       : what was written, by role, relative to the results folder.
    values      : what was measured, by name.
    """

    scan: str
    status: Literal["ok", "failed"]
    fingerprint: str
    reason: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float | str | None] = field(default_factory=dict)


def write_ledger(path: Path, rows: Sequence[Row]) -> None:
    """Write a ledger whole; files and values stand as JSON in one column each."""
    import pandas as pd

    texts = [asdict(row) | {key: json.dumps(getattr(row, key)) for key in ("files", "values")} for row in rows]
    columns = ["scan", "status", "reason", "fingerprint", "files", "values"]
    write_text(path, to_tsv(pd.DataFrame(texts, columns=columns)))


def read_ledger(path: Path) -> dict[str, Row]:
    """The rows of a ledger by scan."""
    rows = {}
    for row in read_table(path, text=True).to_dict("records"):
        texts = {str(key): str(value) for key, value in row.items()}
        rows[texts["scan"]] = Row(
            scan=texts["scan"],
            status="ok" if texts["status"] == "ok" else "failed",
            reason=texts["reason"],
            fingerprint=texts["fingerprint"],
            files=json.loads(texts["files"]),
            values=json.loads(texts["values"]),
        )
    return rows


def read_ledgers(paths: Iterable[Path]) -> dict[str, Row]:
    """The rows of several ledgers by scan."""
    return {scan: row for path in paths for scan, row in read_ledger(path).items()}


def stage_rows(
    results: Results, stage: str, splits: Sequence[str] = SPLITS, having: str | None = None
) -> dict[str, Row]:
    """What became of every scan of these shards in a stage, by scan."""
    return read_ledgers(results.ledger(stage, shard) for shard in shard_names(results, splits, having))
