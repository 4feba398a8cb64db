"""What the report counts: scans and what is known of them, what a teacher filled in, volumes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from flairflow.cohort.scan import SPLITS, Scan
from flairflow.cohort.sharding import shard_names
from flairflow.config.models import Config
from flairflow.paths import Results
from flairflow.shards import state
from flairflow.shards.ledger import Row
from flairflow.training.configured_strategies import teachers


def cohort_counts(scans: Sequence[Scan], registered: Mapping[str, Row], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Per dataset: scans found, included, by split, and per label how many have a lesion, none, or are unknown.

    A scan has none if its mask is empty or absent where the configuration says that this means none.
    """

    def known(scan: Scan, label: str) -> str:
        if scan.masks[label].annotation == "missing":
            return "missing"
        row = registered.get(scan.scan)
        empty = row is not None and row.values.get(f"{label}_known_ml") == 0
        return "none" if empty or scan.masks[label].annotation == "none" else "lesion"

    counts = []
    for dataset in dict.fromkeys(scan.dataset for scan in scans):
        own = [scan for scan in scans if scan.dataset == dataset]
        used = [scan for scan in own if scan.included]
        row: dict[str, Any] = {
            "dataset": dataset,
            "participants": len({scan.participant for scan in used}),
            "found": len(own),
            "included": len(used),
        }
        row |= {split: sum(scan.split == split for scan in used) for split in SPLITS}
        row["annotated"] = {
            label: {kind: sum(known(scan, label) == kind for scan in used) for kind in ("lesion", "none", "missing")}
            for label in labels
        }
        counts.append(row)
    return counts


def pseudolabel_counts(scans: Sequence[Scan], config: Config, results: Results) -> list[dict[str, Any]]:
    """Per teacher, dataset and label: training scans whose mask is missing, how many of these it filled in (whom it
    teaches does not learn from the others), how many with a lesion, and the mean ml. Empty where nobody is taught."""
    rows = []
    shards = shard_names(results, ["train"], having="incomplete")
    for name in () if config.models else teachers(config):
        # From the records: the ledgers go with their files where the configuration does not keep these.
        records = [state.read(results.state(f"pseudolabel/{name}", shard)) for shard in shards]
        done = {scan: row for record in records for scan, row in record.items() if row.status == "ok"}
        for dataset, label in itertools.product(config.datasets, config.labels):
            own = [s for s in scans if s.dataset == dataset and s.included and s.split == "train" and s.incomplete]
            missing = [scan for scan in own if label not in scan.annotated]
            ml = [float(done[scan.scan].values[f"{label}_ml"] or 0) for scan in missing if scan.scan in done]
            if missing:
                row = {"teacher": name, "dataset": dataset, "label": label, "missing": len(missing)}
                row |= {"filled_in": len(ml), "with_lesion": sum(volume > 0 for volume in ml)}
                rows.append(row | {"ml": np.mean(ml) if ml else None})
    return rows


def volume_summary(volumes: pd.DataFrame) -> list[dict[str, Any]]:
    """Per dataset and label: scans segmented, without a lesion, and the quartiles and maximum of the volume in ml.

    Scans with a flag are counted apart, and are in none of the other numbers.
    """
    rows = []
    for (dataset, label), group in volumes.groupby(["dataset", "label"], sort=False):
        segmented = group[group["volume_ml"].notna()]
        ml = segmented.loc[segmented["flag"].isna(), "volume_ml"].astype(float)
        quartiles = np.percentile(ml, [25, 50, 75]) if len(ml) else [None] * 3
        rows.append(
            {"dataset": dataset, "label": label, "scans": len(ml), "without": int((ml == 0).sum())}
            | {"flagged": len(segmented) - len(ml)}
            | dict(zip(("lower", "median", "upper"), quartiles, strict=True))
            | {"largest": ml.max() if len(ml) else None}
        )
    return rows
