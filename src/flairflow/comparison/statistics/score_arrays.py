"""The table of metrics as arrays: for each label scans by ensembles by metrics, so that statistics are done at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from flairflow.images.grid import Array
from flairflow.tables import Column, column

log = logging.getLogger(__name__)
# What captions have to say of all intervals and tests.
TRAINED_ONCE = (
    "Each ensemble was trained once, its seeds averaged: intervals and tests are of other participants, not of how "
    "another training would have come out."
)
# How many scans a warning names.
NAMED = 5
# What the columns say of a table that has a row for each of `views`.
VIEW_COLUMNS: dict[str, Column] = {
    "view": column(
        "Which scans are seen",
        levels={"pooled": "all", "dataset": "those of one dataset; only where there are several datasets"},
    ),
    "dataset": column("The dataset of the view `dataset`; n/a in the other"),
}


@dataclass(frozen=True)
class Scores:
    """The scores of one label. N scans, E ensembles, M metrics.

    scans, datasets, participants : (N,) names; participants are persons, who may have several scans.
    values                        : (N, E, M), NaN where an ensemble has no score of a scan.
    """

    label: str
    scans: Array
    datasets: Array
    participants: Array
    ensembles: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Array

    def of_metric(self, name: str) -> Array:
        """The scores (N, E) of one metric."""
        values: Array = self.values[:, :, self.metrics.index(name)]
        return values

    def of(self, scans: Array) -> Scores:
        """These scans alone, (N,) bool."""
        return replace(
            self,
            scans=self.scans[scans],
            datasets=self.datasets[scans],
            participants=self.participants[scans],
            values=self.values[scans],
        )

    def by(self, ensembles: Array) -> Scores:
        """These ensembles alone, (E,) bool."""
        names = tuple(name for name, chosen in zip(self.ensembles, ensembles, strict=True) if chosen)
        return replace(self, ensembles=names, values=self.values[:, ensembles])

    def populations(self) -> Iterator[Scores]:
        """Parts of it whose metrics are defined on the same scans, those with a lesion or those without: metrics that
        have no score at all are in none."""
        defined = ~np.isnan(self.values).all(axis=1)
        patterns, which = np.unique(defined, axis=1, return_inverse=True)
        for number, scans in enumerate(patterns.T):
            if scans.any():
                chosen = np.flatnonzero(which.ravel() == number)
                own = self.of(scans)
                names = tuple(self.metrics[metric] for metric in chosen)
                yield replace(own, metrics=names, values=own.values[:, :, chosen])


def views(scores: Scores) -> list[tuple[str, str | None, Scores]]:
    """The scores of all scans (`pooled`), then, where there are several datasets, those of each (`dataset`)."""
    names = np.unique(scores.datasets)
    each = [("dataset", str(name), scores.of(scores.datasets == name)) for name in names if len(names) > 1]
    return [("pooled", None, scores), *each]


def scores_by_label(table: pd.DataFrame, metrics: Iterable[str]) -> list[Scores]:
    """The scores of each label of tables/metrics.tsv, in the table's order of labels and ensembles.

    metrics : the columns wanted; those that the table lacks are left out.
    A scan without a participant is its own. Values that are not finite, as some published tables have, are missing.
    Raises ValueError where an ensemble has two rows of a scan and label.
    """
    names = [name for name in metrics if name in table.columns]
    ensembles = pd.Index(table["ensemble"].unique())
    found = []
    for label, own in table.groupby("label", sort=False):
        if (twice := own.duplicated(["scan", "ensemble"])).any():
            scan, ensemble = own.loc[twice, ["scan", "ensemble"]].iloc[0]
            raise ValueError(f"{label}: {ensemble} has two rows of the scan {scan}")
        own = own.assign(scan=own["scan"].astype(str), participant=own["participant"].fillna(own["scan"]).astype(str))
        about = own.drop_duplicates("scan").set_index("scan").sort_index()
        known = [name for name in ensembles if (own["ensemble"] == name).any()]
        values = np.full((len(about), len(known), len(names)), np.nan)
        places = about.index.get_indexer(pd.Index(own["scan"])), pd.Index(known).get_indexer(pd.Index(own["ensemble"]))
        given = own[names].to_numpy(float)
        values[places] = np.where(np.isfinite(given), given, np.nan)
        scans, datasets, people = (
            np.asarray(column, dtype=str) for column in (about.index, about["dataset"], about["participant"])
        )
        found.append(Scores(str(label), scans, datasets, people, tuple(known), tuple(names), values))
    return found


def comparable(known: Array) -> Array:
    """Which ensembles (E,) can be compared on common scans: those with at least half of the scans of the first one that
    has any. Results of other scans would else leave none that all have.

    known : (N, E), whether an ensemble has a score of a scan.
    """
    measured: Array = np.asarray(known.any(axis=0))
    if not measured.any():
        return measured
    first = known[:, int(np.argmax(measured))]
    chosen: Array = np.asarray(measured & (known[first].mean(axis=0) >= 0.5))
    return chosen


def warn_of_other_scans(table: pd.DataFrame) -> None:
    """Say in the log which ensembles have scans that not all others of their label have."""
    for label, own in table.groupby("label", sort=False):
        sets = {name: set(scans) for name, scans in own.groupby("ensemble", sort=False)["scan"]}
        common = set.intersection(*sets.values())
        for name, scans in sets.items():
            if other := sorted(map(str, scans - common)):
                named = ", ".join(other[:NAMED]) + (", ..." if len(other) > NAMED else "")
                log.warning(
                    "%s: %s has %d scans that not every ensemble has (%s); ensembles are compared on those they share",
                    label,
                    name,
                    len(other),
                    named,
                )
