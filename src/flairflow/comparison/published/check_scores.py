"""Can these be scores at all? Names of metrics and labels, and values, against what each metric is."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from flairflow.comparison.published.result_files import Given
from flairflow.errors import ConfigError, in_short
from flairflow.metrics.registry import METRICS

log = logging.getLogger(__name__)

# Rounding of those who wrote the values.
ROUNDING = 1e-6
# Where the reference is empty: 1 if nothing is predicted, 0 otherwise.
ONE_OR_NONE = ("dice_or_empty", "isles22_lesion_f1")


def check_names(labels: Iterable[str], ensembles: Iterable[str]) -> None:
    """Raises ConfigError for names that cannot stand in names of files and columns, and so are none of a label or an
    ensemble."""
    for label in labels:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", label):
            raise ConfigError(f"label {label!r}: only letters and digits, a letter first; rename it")
    for name in ensembles:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise ConfigError(
                f"ensemble {name!r}: only letters, digits and '_', a letter first; rename it (--name, or in the file)"
            )


def check_values(given: Given) -> None:
    """Raises ConfigError, naming the file, the first faults and what to do, for metrics that METRICS does not have,
    names that are none of a label, values that a metric cannot take (inf is for distances alone)."""
    for metric in given.values["metric"].unique():
        if metric not in METRICS:
            near = difflib.get_close_matches(metric, METRICS, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigError(
                f"{given.path}: metric {metric!r} is not known{hint}; docs/metrics.md has all, with their definitions: "
                "rename it to the one with the same definition, or leave it out"
            )
    try:
        check_names(given.values["label"].unique(), ())
    except ConfigError as error:
        raise ConfigError(f"{given.path}: {error}") from None
    faults: list[str] = []
    for metric, own in given.values.groupby("metric", sort=False):
        low, high = METRICS[str(metric)].limits
        values = own["value"]
        wrong = own[(values < low - ROUNDING) | (values > high + ROUNDING)]
        faults += [f"{_which(row)} is {row.value:g}, not from {low:g} to {high:g}" for row in wrong.itertuples()]
        if METRICS[str(metric)].units != "mm":
            faults += [f"{_which(row)} is inf, as only distances can be" for row in own[values == np.inf].itertuples()]
        if METRICS[str(metric)].counts:
            wrong = own[np.isfinite(values) & ((values - values.round()).abs() > ROUNDING)]
            faults += [f"{_which(row)} is {row.value:g}, not a whole number" for row in wrong.itertuples()]
    if faults:
        _refuse(given, faults, "fix the file, or leave these values out (NaN or n/a)")


def check_places(given: Given, table: pd.DataFrame) -> None:
    """Raises ConfigError for values where their metric is not defined: where `n_gt` or `reference_ml` says that there
    is no lesion and it needs one, or the other way round; for scores of empty references between 0 and 1; for more
    missed lesions than there are. `table`: the file's scans, columns as in tables/metrics.tsv."""
    faults = []
    for size in (name for name in ("n_gt", "reference_ml") if name in table):
        for name in set(table.columns) & set(METRICS):
            where = METRICS[name].where
            wrong = table[table[name].notna() & ((table[size] > 0) if where == "free" else (table[size] == 0))]
            if where != "all":
                what = f"no value: {size} is {'not 0' if where == 'free' else '0'} there"
                faults += [f"{name} of {row.label} in {row.scan} must have {what}" for row in wrong.itertuples()]
        for name in set(table.columns) & set(ONE_OR_NONE):
            wrong = table[(table[size] == 0) & table[name].notna() & ~table[name].isin([0, 1])]
            what = f"must be 0 or 1: {size} is 0 there"
            faults += [f"{name} of {row.label} in {row.scan} {what}" for row in wrong.itertuples()]
    if {"n_gt", "n_lfn"} <= set(table.columns):
        wrong = table[table["n_lfn"] > table["n_gt"]]
        faults += [
            f"n_lfn of {row.label} in {row.scan} is {row.n_lfn:g}, but n_gt is {row.n_gt:g}"
            for row in wrong.itertuples()
        ]
    if faults:
        _refuse(given, faults, "fix n_gt, reference_ml or these values")


def check_references(table: pd.DataFrame) -> None:
    """Were all ensembles scored against the same masks? `table`: as tables/metrics.tsv, of own and imported ensembles.

    Raises ConfigError, naming scans and ensembles, where by the scores of some a scan has a lesion and by those of
    others it has none. Other counts of lesions, as of another grid, are a warning.
    """
    metrics = [name for name in table.columns if name in METRICS]
    given = table[metrics].notna()
    lesion, free = (
        given[[name for name in metrics if METRICS[name].where == where]].any(axis=1) for where in ("lesion", "free")
    )
    for name in set(metrics) & {"n_gt", "reference_ml"}:
        size = table[name].astype(float)
        lesion, free = lesion | (size > 0), free | (size == 0)
    faults = []
    for label, own in table.assign(lesion=lesion, free=free).groupby("label", sort=False):
        status = own.groupby("scan", sort=False)[["lesion", "free"]].any()
        for scan in status.index[status.all(axis=1)]:
            rows = own[own["scan"] == scan]
            names = [", ".join(rows.loc[rows[what], "ensemble"]) for what in ("lesion", "free")]
            faults.append(f"{scan} has a lesion ({label}) by the scores of {names[0]} and none by those of {names[1]}")
        if "n_gt" in own and (other := int((own.groupby("scan")["n_gt"].nunique() > 1).sum())):
            log.warning(
                "%s: ensembles differ in n_gt of %d scans: they were scored on other grids or masks", label, other
            )
    if faults:
        raise ConfigError(
            f"ensembles were scored against different masks: {in_short(faults)}; leave these scans out "
            "of the imported tables (import-results --scans), or score on the same grid (evaluation.grid)"
        )


def _refuse(given: Given, faults: list[str], what: str) -> None:
    raise ConfigError(f"{given.path}: {in_short(faults)}; {what}")


def _which(row: object) -> str:
    return f"{row.metric} of {row.label} in {row.scan}"  # type: ignore[attr-defined]
