"""Scores of others beside one's own: the tables that `compare.imported` names. Light: the rules ask."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from flairflow.cohort.withdrawn import withdrawn_participants
from flairflow.config.models import Config
from flairflow.errors import ConfigError
from flairflow.evaluation.metrics import COLUMNS
from flairflow.tables import read_table

log = logging.getLogger(__name__)

KEYS = ["scan", "ensemble", "label"]
NEEDED = ("scan", "dataset", "participant", "ensemble", "label")


def read_imported(
    paths: Sequence[Path], labels: Collection[str] | None = None, own: Collection[str] = ()
) -> pd.DataFrame:
    """The rows of tables with the columns of tables/metrics.tsv, one under the other.

    labels : those that are compared (None: all); own: names that stand for something else already.
    Raises ConfigError, naming the file and what to do, for a table with other columns, with labels or ensembles that
    cannot be compared, or with a scan twice.
    """
    _check(paths, labels, own)
    if not paths:
        return pd.DataFrame(columns=list(NEEDED))
    return pd.concat([read_table(path) for path in paths], ignore_index=True)


def with_imported(scores: pd.DataFrame, config: Config) -> pd.DataFrame:
    """The scores of one's own ensembles (tables/metrics.tsv), those of `compare.imported` below them. What an imported
    table does not have is NaN. Where a person has one scan here and one there, it is the same: the ids of others say
    nothing of sessions. Rows of participants who withdrew are left out."""
    imported = _without_withdrawn(read_imported(config.compare.imported, config.labels, config.compared), config)
    if imported.empty:
        return scores
    own, theirs = _only_scans(scores), _only_scans(imported)
    same = {scan: own[person] for person, scan in theirs.items() if person in own}
    imported = imported.assign(scan=imported["scan"].replace(same))
    return pd.concat([scores, imported], ignore_index=True)[list(scores.columns)]


def check_imported(config: Config) -> None:
    """Raises ConfigError, before anything runs, where an imported table cannot be compared."""
    try:
        _check(config.compare.imported, config.labels, config.compared)
    except ConfigError as error:
        raise ConfigError(f"config: compare.imported: {error}") from None


def _without_withdrawn(table: pd.DataFrame, config: Config) -> pd.DataFrame:
    """The rows of those who are on no dataset's list. The log says how many others, not whose."""
    prefixes = tuple(
        f"{name}_sub-{label}_"
        for name, dataset in config.datasets.items()
        if dataset.withdrawn
        for label in withdrawn_participants(name, dataset.withdrawn)
    )
    gone = pd.Series(False, index=table.index)
    for name in ("scan", "participant"):
        gone |= (table[name].astype(str) + "_").str.startswith(prefixes)
    if gone.any():
        log.info("compare.imported: %d rows of participants who withdrew are left out", gone.sum())
    return table[~gone]


def _only_scans(table: pd.DataFrame) -> dict[str, str]:
    """By participant the scan, of those who have one."""
    scans = table[["participant", "scan"]].dropna().drop_duplicates()
    return dict(scans[~scans["participant"].duplicated(keep=False)].itertuples(index=False))


def _check(paths: Sequence[Path], labels: Collection[str] | None, own: Collection[str]) -> None:
    """Of the columns' names and the rows' keys alone: every job parses the Snakefile, and so comes here."""
    tables = [_keys(path, labels, own) for path in paths]
    keys = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=KEYS)
    if (twice := keys.duplicated()).any():
        scan, ensemble, label = keys.loc[twice, KEYS].iloc[0]
        raise ConfigError(
            f"{', '.join(map(str, paths))}: {label} of {scan} by {ensemble} stands there twice; import the results "
            "again, with different names (--prefix)"
        )


def _keys(path: Path, labels: Collection[str] | None, own: Collection[str]) -> pd.DataFrame:
    try:
        columns = list(pd.read_csv(path, sep="\t", nrows=0, encoding="utf-8-sig").columns)
        if missing := [name for name in NEEDED if name not in columns]:
            raise ConfigError(
                f"{path}: has no column {', '.join(missing)}; `flairflow import-results` makes such tables"
            )
        keys = pd.read_csv(path, sep="\t", usecols=KEYS, dtype=str, na_filter=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a table ({error})") from None
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise ConfigError(f"{path}: column {', '.join(unknown)} is no metric (docs/metrics.md has all)")
    if labels is not None and (wrong := [label for label in keys["label"].unique() if label not in labels]):
        raise ConfigError(f"{path}: label {', '.join(wrong)} is none of {', '.join(labels)}; rename it")
    if clash := [name for name in keys["ensemble"].unique() if name in own]:
        raise ConfigError(
            f"{path}: ensemble {', '.join(clash)} is the name of one of your own; import it again with --prefix, or "
            "rename it"
        )
    return keys
