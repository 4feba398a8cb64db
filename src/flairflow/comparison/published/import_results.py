"""Per-scan results of others as a table with the columns of tables/metrics.tsv."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from flairflow.comparison.published.check_scores import check_names, check_places, check_values
from flairflow.comparison.published.check_summary import check_summary
from flairflow.comparison.published.implied_scores import with_derived
from flairflow.comparison.published.result_files import Given, read_results, result_files
from flairflow.comparison.published.scan_ids import Identity, identify, named, read_ids, read_list
from flairflow.errors import ConfigError
from flairflow.metrics.registry import COLUMNS
from flairflow.tables import write_table

log = logging.getLogger(__name__)

ABOUT = ("scan", "dataset", "participant", "person", "ensemble", "label")


def import_results(
    paths: Sequence[Path],
    out: Path,
    *,
    names: Sequence[str] = (),
    prefix: str = "",
    scans: Path | None = None,
    learnt: Sequence[Path] = (),
    ids: Sequence[Path] = (),
    renamed: Mapping[str, str] | None = None,
) -> None:
    """Write results of others, files or folders of them (`result_files`), as one table with its data dictionary.

    names   : of the ensembles, one per file, instead of those the files say; prefix: before every name.
    scans   : a list of ids: others are left out and named; those of the list that a file lacks are named too.
    learnt  : lists of ids that the networks learnt from: results for these are named.
    ids     : tables that say which scans ids stand for; renamed: other names for datasets (both: `scan_ids`).
    Raises ConfigError, naming the file, what is wrong with it and what to do.
    """
    files = result_files(paths)
    if names and len(names) != len(files):
        raise ConfigError(f"--name: {len(names)} names for {len(files)} files ({', '.join(map(str, files))})")
    wanted = set(read_list(scans)) if scans else None
    seen = {scan: path for path in learnt for scan in read_list(path)}
    known = read_ids(ids)
    tables = []
    for path, name in zip(files, names or [""] * len(files), strict=True):
        given = read_results(path)
        table = to_table(given)
        _compare_with_lists(path, set(given.values["scan"]), scans, wanted, seen)
        table = table[table["scan"].isin(wanted)] if wanted is not None else table
        if name and table["ensemble"].nunique() > 1:
            raise ConfigError(f"--name: {path} has several ensembles: {', '.join(table['ensemble'].unique())}")
        table = table.assign(ensemble=[prefix + (name or own) for own in table["ensemble"]])
        tables.append(_identified(path, table, known, renamed or {}))
    table = pd.concat(tables, ignore_index=True)
    _check_ensembles(table, files)
    table = table.reindex(columns=[name for name in COLUMNS if name in table])
    write_table(out, table, COLUMNS)
    ensembles = ", ".join(table["ensemble"].unique())
    log.info("%s: %d scans, %d rows by %s", out, table["scan"].nunique(), len(table), ensembles)


def to_table(given: Given) -> pd.DataFrame:
    """A row per scan (the id in the file), ensemble and label with a reference, a column per metric, those that follow
    from others (`implied_scores`) included. What is not finite becomes NaN: a surface distance of nothing is
    infinite, and is left out of means. Raises ConfigError where values cannot be (`check_scores`), or do not give
    the file's own summary."""
    check_values(given)
    values = given.values
    about = [name for name in ABOUT if name in values]
    wide = values.pivot(index=about, columns="metric", values="value")
    # The order of the file: a pivot sorts.
    wide = wide.loc[pd.MultiIndex.from_frame(values[about].drop_duplicates())].dropna(how="all")
    infinite = values[np.isinf(values["value"])].groupby(["metric", "label"], sort=False).size()
    for (metric, label), count in infinite.items():
        log.info("%s: %s of %s is infinite in %d scans: not defined there", given.path, metric, label, count)
    table = wide.replace([np.inf, -np.inf], np.nan).rename_axis(columns=None).reset_index()
    table = with_derived(table)
    check_places(given, table)
    check_summary(given, table)
    return table


def _identified(
    path: Path, table: pd.DataFrame, known: Mapping[str, Identity], renamed: Mapping[str, str]
) -> pd.DataFrame:
    """The table with flairflow's scan, dataset and participant in the place of the file's."""
    given = [table[name] if name in table else pd.Series("", index=table.index) for name in ("dataset", "participant")]
    found: dict[str, Identity] = {}
    for scan, dataset, participant in zip(table["scan"], *given, strict=True):
        if scan in found:
            continue
        try:
            identity = known.get(scan) or identify(scan, renamed) if not (dataset and participant) else None
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        found[scan] = identity or named(renamed.get(dataset, dataset), participant, scan)
    by_scan: dict[str, str] = {}
    for text, identity in found.items():
        if by_scan.setdefault(identity.scan, text) != text:
            raise ConfigError(
                f"{path}: {by_scan[identity.scan]} and {text} both become {identity.scan}; give them ids such as "
                f"{identity.scan}_ses-1, or other participants"
            )
    identities = [found[scan] for scan in table["scan"]]
    persons = table["person"] if "person" in table else pd.Series("", index=table.index)
    return table.assign(
        scan=[identity.scan for identity in identities],
        dataset=[identity.dataset for identity in identities],
        # A person whom the scan's id does not name comes from a column of the other run's datasets.
        participant=[
            person if person and not f"{scan}_".startswith(f"{person}_") else identity.person
            for person, scan, identity in zip(persons, table["scan"], identities, strict=True)
        ],
    )


def _compare_with_lists(
    path: Path, own: set[str], scans: Path | None, wanted: set[str] | None, learnt: Mapping[str, Path]
) -> None:
    if wanted is not None:
        if stray := sorted(own - wanted):
            log.warning("%s: %d scans are not in %s and are left out: %s", path, len(stray), scans, ", ".join(stray))
        if absent := sorted(wanted - own):
            log.warning("%s: %d scans of %s have no results: %s", path, len(absent), scans, ", ".join(absent))
    for place in sorted(set(learnt.values())):
        if taught := sorted(scan for scan in own if learnt.get(scan) == place):
            log.warning(
                "%s: %d scans are in %s, so networks learnt from them: %s", path, len(taught), place, ", ".join(taught)
            )


def _check_ensembles(table: pd.DataFrame, files: Sequence[Path]) -> None:
    check_names((), table["ensemble"].unique())
    keys = ["scan", "ensemble", "label"]
    if (twice := table.duplicated(keys)).any():
        row = table[twice].iloc[0]
        raise ConfigError(
            f"{', '.join(map(str, files))}: {row['scan']} has results of {row['label']} by {row['ensemble']} in "
            "several files; give the files' ensembles different names (--name)"
        )
