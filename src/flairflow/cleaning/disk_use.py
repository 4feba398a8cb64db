"""What the results take: files and bytes by stage, from the records of what was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flairflow.paths import Results
from flairflow.shards.files_kept import files_of, recorded_scans
from flairflow.tables import Column, column

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: dict[str, Column] = {
    "what": column(
        "Stage that wrote the files; or models, checkpoints, report, records (all that runs resume from), or aside (of "
        "scans that are no longer in the cohort)"
    ),
    "scans": column("Scans that have such files; n/a where files are not by scan"),
    "files": column("Number of files"),
    "bytes": column("Their size", "byte"),
    "files_per_scan": column("Number of files per scan"),
    "bytes_per_scan": column("Size per scan", "byte"),
    "kept": column(
        "Whether the files stay",
        levels={
            "yes": "they do",
            "no": "removed after this count (see `keep`); the next knows nothing of them",
        },
    ),
}


def measure(results: Results) -> pd.DataFrame:
    """Scans, files and bytes (also per scan) of every stage that writes files, and of what is not by scan."""
    import pandas as pd

    counts: dict[str, list[int]] = {}
    for stage, _, row in recorded_scans(results):
        if files := files_of(row, results):
            one = counts.setdefault(stage, [0, 0, 0])
            for place, number in enumerate((1, len(files), sum(path.lstat().st_size for path in files))):
                one[place] += number
    rows = [(stage, *one, one[1] / one[0], one[2] / one[0]) for stage, one in sorted(counts.items())]
    checkpoints = set(results.checkpoints())
    for what, folders in (
        ("models", [results.models]),
        ("report", [results.report.parent]),
        ("aside", [results.aside]),
        ("records", results.record_folders),
    ):
        sizes = [path.lstat().st_size for path in _files_below(folders) if path not in checkpoints]
        rows.append((what, None, len(sizes), sum(sizes), None, None))
    sizes = [path.lstat().st_size for path in checkpoints]
    rows.append(("checkpoints", None, len(sizes), sum(sizes), None, None))
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "kept"])
    return table.astype({"scans": "Int64"})


def _files_below(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
