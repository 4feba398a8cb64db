"""The files that finished scans left, from the records of what was written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from flairflow.paths import Results
from flairflow.shards import state
from flairflow.shards.ledger import Row


def recorded_scans(results: Results) -> Iterator[tuple[str, str, Row]]:
    """Stage, shard and row of every scan that a stage has finished; the row names its files."""
    for stage, record in results.records():
        for row in state.read(record).values():
            yield stage, record.stem, row


def files_of(row: Row, results: Results) -> list[Path]:
    """The files that are there of those a row names, each with its sidecars. What leads out of the results folder, by
    its name or by a link, is no file of theirs."""
    found: dict[Path, None] = {}
    for name in row.files.values():
        path = results.root / name
        stem = path.name.removesuffix(".gz").removesuffix(".nii")
        for candidate in (path, path.with_name(f"{stem}.json"), path.with_name(f"{stem}.tsv")):
            if candidate.is_file() and not candidate.is_symlink() and _inside(candidate.parent, results.root):
                found[candidate] = None
    return list(found)


@lru_cache(maxsize=1024)
def _inside(folder: Path, root: Path) -> bool:
    return folder.resolve().is_relative_to(root.resolve())
