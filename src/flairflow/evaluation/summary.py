"""Every metric of every ensemble in one line: mean, spread, and how sure the mean is; by dataset, pooled and macro."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flairflow.evaluation.bootstrap import interval, mean_draws, participants_with
from flairflow.evaluation.metrics import METRICS
from flairflow.evaluation.scores import Scores, scores_by_label
from flairflow.images.grid import Array
from flairflow.tables import Column, column

PRIMARY = "pooled"
COLUMNS: dict[str, Column] = {
    "label": column("Lesion label"),
    "metric": column("A column of metrics.tsv, whose dictionary says what it is"),
    "ensemble": column("What segmented: an ensemble of models, an intensity rule, or imported results"),
    "view": column(
        "What is summed up",
        levels={
            "pooled": "all scans, each counting the same",
            "macro": "the datasets' means, each dataset counting the same",
            "dataset": "the scans of one dataset",
        },
    ),
    "dataset": column("The dataset of the view `dataset`; n/a in the others"),
    "scans": column("Scans on which the metric is defined: n of this row"),
    "participants": column("Participants whose scans they are"),
    "mean": column("Mean over the scans; macro: mean of the datasets' means"),
    "sd": column("Standard deviation over the scans (n - 1); macro: of the datasets' means"),
    "median": column("Median over the scans; macro: of the datasets' means"),
    "low": column("Lower end of the 95 % interval of the mean: percentile bootstrap over participants, with all scans"),
    "high": column("Upper end of it; n/a: fewer than two participants"),
    "primary": column(
        "Whether this is the view to report first: pooled, the mean over scans that published tables give. Datasets of "
        "two scans would weigh as much as those of hundreds in macro"
    ),
}


def summarise(metrics: pd.DataFrame) -> pd.DataFrame:
    """A row per label, metric, ensemble and view from tables/metrics.tsv, columns as in COLUMNS; no row where there is
    no score.

    Intervals are percentiles of 9,999 draws of the participants of the view, each with all of its scans. For `macro`
    participants are drawn within each dataset, and those who are in several datasets, with their scans of all, among
    those who are in the same ones; a single participant of a kind is always drawn.
    """
    rows: list[tuple[object, ...]] = []
    for scores in scores_by_label(metrics, METRICS):
        own: list[tuple[object, ...]] = []
        for part in scores.populations():
            views = _views(part)
            for place, metric in enumerate(part.metrics):
                for number, ensemble in enumerate(part.ensembles):
                    at = number * len(part.metrics) + place
                    for view, dataset, table in views:
                        if table["scans"].iloc[at]:
                            line = table.iloc[at].to_list()
                            own.append((part.label, metric, ensemble, view, dataset, *line, view == PRIMARY))
        rows += sorted(own, key=lambda row: scores.metrics.index(str(row[1])))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"scans": int, "participants": int, "primary": bool})


def _views(part: Scores) -> list[tuple[str, str | None, pd.DataFrame]]:
    """The views with a table each; its rows are ensembles, and metrics within them."""
    datasets, total, times, broad = [], np.array(0.0), np.array(0), np.array(False)
    strata, flat = _datasets_of_participants(part), part.values.reshape(len(part.scans), -1)
    for name in np.unique(part.datasets):
        within = part.datasets == name
        table = _over_scans(part.of(within))
        datasets.append(("dataset", str(name), table))
        draws = mean_draws(np.where(within[:, None], flat, np.nan), part.participants, strata)
        total = total + np.nan_to_num(draws)
        times = times + ~np.isnan(draws)
        broad = broad | (table["participants"].to_numpy() > 1)
    pooled = _over_scans(part)
    with np.errstate(invalid="ignore"):
        low, high = interval(total / times)
    means = pd.concat([table["mean"] for _, _, table in datasets], axis=1)
    macro = pd.DataFrame(
        {
            "scans": pooled["scans"],
            "participants": pooled["participants"],
            "mean": means.mean(axis=1),
            "sd": means.std(axis=1),
            "median": means.median(axis=1),
            "low": np.where(broad, low, np.nan),
            "high": np.where(broad, high, np.nan),
        }
    )
    return [("pooled", None, pooled), ("macro", None, macro), *datasets]


def _datasets_of_participants(part: Scores) -> Array:
    """For each scan (N,) in which datasets its participant has scans."""
    rows = pd.DataFrame({"dataset": part.datasets, "participant": part.participants})
    sets = rows.groupby("participant")["dataset"].agg(lambda names: "\t".join(sorted(set(names))))
    return np.asarray(rows["participant"].map(sets), dtype=str)


def _over_scans(part: Scores) -> pd.DataFrame:
    flat = part.values.reshape(len(part.scans), -1)
    values, draws = pd.DataFrame(flat), mean_draws(flat, part.participants)
    participants = participants_with(flat, part.participants)
    low, high = (np.where(participants > 1, bound, np.nan) for bound in interval(draws))
    return pd.DataFrame(
        {
            "scans": values.count(),
            "participants": participants,
            "mean": values.mean(),
            "sd": values.std(),
            "median": values.median(),
            "low": low,
            "high": high,
        }
    )
