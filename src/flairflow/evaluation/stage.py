"""The stage `evaluate`: predictions of the test scans against their references, on the native grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.evaluation.metrics import score
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
    """Score an intensity rule on one scan: z-scores brought to the native grid, between the label's low and high."""
    ready = read_prepared(scan, prepared, results)
    # Outside the brain nothing is a lesion: a z-score no threshold is below.
    scores = np.where(ready.brain, ready.images[0], -10.0)
    native = resample(Image(scores, ready.grid.affine), ready.native, cval=-10.0).data
    predictions = {label: (native > low) & (native <= high) for label, (low, high) in thresholds.items()}
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
                    bits = read_labels(results.root / row.files["bits"]).data
                    classes = resolve(bits, config.labels, config.precedence)
                    yield ready.images[0][ready.brain], (classes == number + 1)[ready.brain]

        count = sum(label in scan.annotated for scan, _ in scans)
        rows += [(rule, label, *found, count) for rule, found in zip(RULES, best_thresholds(known()), strict=True)]
    return pd.DataFrame(rows, columns=["rule", "label", "low", "high", "training_dice", "scans"])


def _scores(scan: Scan, registered: Row, predictions: Mapping[str, Array], config: Config, results: Results) -> Outcome:
    bits = read_labels(results.root / registered.files["bits"])
    classes = resolve(bits.data, config.labels, config.precedence)
    ignore = np.zeros(bits.data.shape, np.uint8)
    if "ignore" in registered.files:
        ignore = read_labels(results.root / registered.files["ignore"]).data.astype(np.uint8)
    values: dict[str, float | str | None] = {}
    for number, label in enumerate(config.labels):
        if label in scan.annotated:
            counted = ~decode(ignore, label, config.labels)
            found = score(predictions[label], classes == number + 1, counted, bits.grid.voxel_ml)
            values |= {f"{label} {name}": value for name, value in found.items()}
    return Outcome(values=values)
