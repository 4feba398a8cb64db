"""Scores of others beside one's own: the tables that `compare.imported` names. Light: the rules ask."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from flairflow.cohort.withdrawn import withdrawn_participants
from flairflow.comparison.published.check_scores import check_names, check_places, check_references, check_values
from flairflow.comparison.published.result_files import read_results
from flairflow.config.models import Config
from flairflow.errors import ConfigError
from flairflow.metrics.registry import COLUMNS
from flairflow.tables import read_table

log = logging.getLogger(__name__)

KEYS = ["scan", "ensemble", "label"]
NEEDED = ("scan", "dataset", "participant", "ensemble", "label")


def read_imported(
    paths: Sequence[Path], labels: Collection[str] | None = None, own: Collection[str] = ()
) -> pd.DataFrame:
    """The rows of tables with the columns of tables/metrics.tsv, one under the other.

    labels : those that are compared (None: all); own: names that stand for something else already.
    Raises ConfigError, naming the file and what to do, for a table with other columns, with labels, ensembles or values
    that cannot be compared, with a scan twice or scored against different masks.
    """
    _check(paths, labels, own)
    if not paths:
        return pd.DataFrame(columns=list(NEEDED))
    table = pd.concat([_read(path) for path in paths], ignore_index=True)
    check_references(table)
    return table


def with_imported(scores: pd.DataFrame, config: Config) -> pd.DataFrame:
    """The scores of one's own ensembles (tables/metrics.tsv), those of `compare.imported` below them. What an imported
    table does not have is NaN. An imported id without session and run is that of the participant's scan here, where
    there is one here and one in that table. Participants are the persons of one's own cohort. Rows of those who
    withdrew are left out. Raises ConfigError, beside what `read_imported` does, where a scan then stands twice or was
    scored against different masks (`check_scores`)."""
    paths = config.compare.imported
    _check(paths, config.labels, config.compared)
    tables = [_without_withdrawn(path, _read(path), config) for path in paths]
    if not any(map(len, tables)):
        return scores
    imported = pd.concat(
        [_paired(path, table, scores) for path, table in zip(paths, tables, strict=True)], ignore_index=True
    )
    _check_twice(paths, imported)
    joined = pd.concat([scores, imported], ignore_index=True)[list(scores.columns)]
    check_references(joined)
    return joined


def check_imported(config: Config) -> None:
    """Raises ConfigError, before anything runs, where an imported table cannot be compared."""
    try:
        _check(config.compare.imported, config.labels, config.compared)
    except ConfigError as error:
        raise ConfigError(f"config: compare.imported: {error}") from None


def _read(path: Path) -> pd.DataFrame:
    """The table, if these can be its scores: it may not come from `import-results`."""
    given = read_results(path)
    check_values(given)
    table = read_table(path)
    check_places(given, table)
    return table


def _without_withdrawn(path: Path, table: pd.DataFrame, config: Config) -> pd.DataFrame:
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
        log.info("%s: %d rows of participants who withdrew are left out", path, gone.sum())
    return table[~gone]


def _paired(path: Path, table: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """An imported table with the scans and the persons of one's own, where its ids say which they are."""
    own, theirs = _by_participant(scores), _by_participant(table)
    persons = own.drop_duplicates("of").set_index("of")["participant"]
    one_here, one_there = (
        about[~about["of"].duplicated(keep=False)].set_index("of")["scan"] for about in (own, theirs)
    )
    # An id that says more, `ds_sub-1_ses-2`, is of that session, and of no other.
    without_session = one_there[one_there == one_there.index]
    same = {scan: one_here[scan] for scan in without_session if one_here.get(scan, scan) != scan}
    if same:
        log.info("%s: %d scans without session are the only ones of their participants here", path, len(same))
    of = _participant_of(table["scan"])
    return table.assign(
        scan=table["scan"].replace(same),
        participant=of.map(persons).where(of.isin(persons.index), table["participant"]),
    )


def _by_participant(table: pd.DataFrame) -> pd.DataFrame:
    """A row per scan whose id names a participant: scan, participant (the person), of (`ds_sub-1`)."""
    about = table[["scan", "participant"]].drop_duplicates("scan")
    return about.assign(of=_participant_of(about["scan"])).dropna(subset=["of"])


def _participant_of(scans: pd.Series) -> pd.Series:
    """`ds_sub-1` of `ds_sub-1_ses-2`; NaN of ids that are not flairflow's. Not the person, whom a column may name."""
    return scans.astype(str).str.extract(r"^([A-Za-z0-9]+_sub-[A-Za-z0-9]+)(?:_|$)", expand=False)


def _check(paths: Sequence[Path], labels: Collection[str] | None, own: Collection[str]) -> None:
    """Of the columns' names and the rows' keys alone: every job parses the Snakefile, and so comes here."""
    tables = [_keys(path, labels, own) for path in paths]
    _check_twice(paths, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=KEYS))


def _check_twice(paths: Sequence[Path], table: pd.DataFrame) -> None:
    keys = table[KEYS]
    if (twice := keys.duplicated()).any():
        scan, ensemble, label = keys[twice].iloc[0]
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
    try:
        check_names(keys["label"].unique(), keys["ensemble"].unique())
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if labels is not None and (wrong := [label for label in keys["label"].unique() if label not in labels]):
        raise ConfigError(f"{path}: label {', '.join(wrong)} is none of {', '.join(labels)}; rename it")
    if clash := [name for name in keys["ensemble"].unique() if name in own]:
        raise ConfigError(
            f"{path}: ensemble {', '.join(clash)} is the name of one of your own; import it again with --prefix, or "
            "rename it"
        )
    return keys
