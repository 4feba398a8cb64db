"""The stage `tidy`, the last of a run: how much room everything takes, and the end of what need not stay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from flairflow.cleaning.disk_use import COLUMNS, measure
from flairflow.config.models import Config
from flairflow.paths import Results
from flairflow.shards.files_kept import files_of, recorded_scans
from flairflow.tables import write_table

log = logging.getLogger(__name__)

# What `keep` may list, and which rows of the table of storage it is.
INTERMEDIATES: Mapping[str, Callable[[str], bool]] = {
    "prepared": lambda what: what == "preprocess",
    "pseudolabels": lambda what: what.startswith("pseudolabel/"),
    "checkpoints": lambda what: what == "checkpoints",
}


def tidy(config: Config, results: Results) -> None:
    """Remove the intermediates that `keep` does not list, and write tables/storage.tsv, which counts them too.

    The ledgers of removed files go with them, as Snakemake's temporary files do: they are made again when something
    that reads them has to run, and not before.
    """
    dropped = [is_meant for name, is_meant in INTERMEDIATES.items() if name not in config.keep]

    def is_dropped(what: str) -> bool:
        return any(is_meant(what) for is_meant in dropped)

    table = measure(results)
    table["kept"] = ["no" if is_dropped(what) else "yes" for what in table["what"]]
    for stage, shard, row in recorded_scans(results):
        if is_dropped(stage):
            # First the ledger: it must never name files that are gone.
            results.ledger(stage, shard).unlink(missing_ok=True)
            for path in files_of(row, results):
                _remove(path, results.root)
    if is_dropped("checkpoints"):
        for path in results.checkpoints():
            path.unlink()
    removed = table[table["kept"] == "no"]
    if removed["files"].sum():
        log.info("removed %d intermediate files, %.3g GB", removed["files"].sum(), removed["bytes"].sum() / 1e9)
    write_table(results.table("storage"), table, COLUMNS)


def _remove(path: Path, root: Path) -> None:
    """Remove a file and the folders that it leaves empty."""
    path.unlink()
    for folder in path.parents:
        if folder == root or any(folder.iterdir()):
            break
        folder.rmdir()
