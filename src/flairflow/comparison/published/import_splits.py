"""Published lists of training, validation and test scans as the split lists of a configuration."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from flairflow.comparison.published.scan_ids import identify, read_list, repeated
from flairflow.errors import ConfigError
from flairflow.tables import Column, column, write_table

log = logging.getLogger(__name__)

COLUMNS: dict[str, Column] = {
    "participant": column("Participant label (BIDS sub-); change it where the dataset has another one"),
    "split": column("train, validation or test"),
    "dataset": column("Name of the dataset in the configuration"),
    "id": column("The id in the lists it was taken from"),
}


def import_splits(lists: Mapping[str, Sequence[Path]], folder: Path, renamed: Mapping[str, str]) -> None:
    """Write a split list per dataset, `<dataset>.tsv`, from lists of ids by split (`scan_ids` says how ids become
    participants). Raises ConfigError where a scan is in two splits, or two ids become one participant."""
    rows: list[tuple[str, str, str, str]] = []
    where: dict[str, Path] = {}
    for split, paths in lists.items():
        for path in paths:
            for scan in read_list(path):
                if scan in where:
                    raise ConfigError(f"{path}: {scan} stands in {where[scan]} too; a scan can have only one split")
                where[scan] = path
                try:
                    identity = identify(scan, renamed)
                except ConfigError as error:
                    raise ConfigError(f"{path}: {error}") from None
                participant = identity.person.split("_sub-", 1)[1]
                rows.append((participant, split, identity.dataset, scan))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    if twice := repeated(table["dataset"] + " " + table["participant"]):
        raise ConfigError(f"several ids become one participant: {', '.join(twice)}; change them in the lists")
    for dataset, own in table.groupby("dataset", sort=False):
        path = folder / f"{dataset}.tsv"
        write_table(path, own, COLUMNS)
        counts = own["split"].value_counts()
        log.info("%s: %s", path, ", ".join(f"{counts.get(split, 0)} {split}" for split in lists))
