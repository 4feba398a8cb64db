"""The stage `evaluate`: predictions of the test scans against their references, on the native grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.evaluation.metrics.scores import score
from flairflow.evaluation.threshold import best_thresholds
from flairflow.images.grid import Array, Image
from flairflow.images.masks import decode, resolve
from flairflow.images.nifti import read_labels
from flairflow.images.resample import resample
from flairflow.paths import RULES, Results
from flairflow.preprocessing.stage import read_prepared
from flairflow.shards.ledger import Row
from flairflow.shards.run import Outcome


def evaluate_scan(scan: Scan, registered: Row, segmented: Row, config: Config, results: Results) -> Outcome:
    """Score an ensemble's masks of one scan against its known masks."""
    classes = read_labels(results.root / segmented.files["dseg"]).data
    predictions = {label: classes == number + 1 for number, label in enumerate(config.labels)}
    return _scores(scan, registered, predictions, config, results)


def evaluate_thresholds(
    scan: Scan,
    registered: Row,
    prepared: Row,
    thresholds: Mapping[str, tuple[float, float]],
    config: Config,
    results: Results,
) -> Outcome:
    """Score an intensity rule on one scan: applied to the brain's z-scores, as when its thresholds were chosen, and
    the mask brought to the native grid."""
    ready = read_prepared(scan, prepared, results)
    scores, affine = ready.images[0], ready.grid.affine
    predictions = {}
    for label, (low, high) in thresholds.items():
        mask = (scores > low) & (scores <= high) & ready.brain
        predictions[label] = resample(Image(mask, affine), ready.native).data >= 0.5
    return _scores(scan, registered, predictions, config, results)


def choose_thresholds(scans: Iterable[tuple[Scan, Row]], config: Config, results: Results) -> pd.DataFrame:
    """For every intensity rule and label the best thresholds over the training scans where the label is annotated.

    scans : training scans with their rows of the ledger of `preprocess`.
    """
    scans = list(scans)
    rows = []
    for number, label in enumerate(config.labels):

        def known(label: str = label, number: int = number) -> Iterable[tuple[Array, Array]]:
            for scan, row in scans:
                if label in scan.annotated:
                    ready = read_prepared(scan, row, results)
                    classes, ignore, _ = _known(row, config, results)
                    counted = ready.brain & ~decode(ignore, label, config.labels)
                    yield ready.images[0][counted], (classes == number + 1)[counted]

        count = sum(label in scan.annotated for scan, _ in scans)
        rows += [(rule, label, *found, count) for rule, found in zip(RULES, best_thresholds(known()), strict=True)]
    return pd.DataFrame(rows, columns=["rule", "label", "low", "high", "training_dice", "scans"])


def _scores(scan: Scan, registered: Row, predictions: Mapping[str, Array], config: Config, results: Results) -> Outcome:
    classes, ignore, voxel_ml = _known(registered, config, results)
    values: dict[str, float | str | None] = {}
    for number, label in enumerate(config.labels):
        if label in scan.annotated:
            counted = ~decode(ignore, label, config.labels)
            found = score(predictions[label], classes == number + 1, counted, voxel_ml)
            values |= {f"{label} {name}": value for name, value in found.items()}
    return Outcome(values=values)


def _known(row: Row, config: Config, results: Results) -> tuple[Array, Array, float]:
    """Class numbers and ignore bits, both (X, Y, Z) on the grid of the row's stage, and the ml of a voxel there."""
    bits = read_labels(results.root / row.files["bits"])
    ignore = np.zeros(bits.data.shape, np.uint8)
    if "ignore" in row.files:
        ignore = read_labels(results.root / row.files["ignore"]).data.astype(np.uint8)
    return resolve(bits.data, config.labels, config.precedence), ignore, bits.grid.voxel_ml
