"""The stage `evaluate`: predictions of the test scans against their references, on the native or the prepared grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import nan

import numpy as np
import pandas as pd

from flairflow.cohort.scan import Scan
from flairflow.comparison.scoring.intensity_rules import best_thresholds
from flairflow.config.models import Config
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.masks import decode, resolve
from flairflow.images.nifti import read_labels, read_map
from flairflow.images.resample import resample
from flairflow.metrics.compute import Scores, score_masks, score_probabilities
from flairflow.paths import RULES, Results
from flairflow.preprocessing.preprocess import read_prepared
from flairflow.shards.ledger import Row
from flairflow.shards.run import Outcome


def evaluate_scan(scan: Scan, known: Row, segmented: Row, config: Config, results: Results) -> Outcome:
    """Score an ensemble's masks and probabilities of one scan against its known masks.

    known : the scan's row of the stage that left these on the grid of the evaluation (`stages.reference_stage`).
    """
    native = config.evaluation.grid == "native"
    prefix = "" if native else "prepared_"
    classes = read_labels(results.root / segmented.files[f"{prefix}dseg"]).data
    brain = read_labels(results.root / (segmented if native else known).files["brain"]).data > 0

    def score(label: str, reference: Array, counted: Array, grid: Grid) -> Scores:
        prediction = classes == config.labels.index(label) + 1
        probabilities = read_map(results.root / segmented.files[f"{prefix}probability_{label}"]).data
        masks = score_masks(prediction, reference, counted, grid, _brain_ml(segmented))
        return masks | score_probabilities(probabilities, reference, counted, brain)

    return _scores(scan, known, score, config, results)


def evaluate_thresholds(
    scan: Scan,
    known: Row,
    prepared: Row,
    thresholds: Mapping[str, tuple[float, float]],
    config: Config,
    results: Results,
) -> Outcome:
    """Score an intensity rule on one scan: applied to the brain's z-scores, as when its thresholds were chosen, and
    the mask brought to the grid of the evaluation. `known` as in `evaluate_scan`. It has no probabilities."""
    ready = read_prepared(scan, prepared, results)

    def score(label: str, reference: Array, counted: Array, grid: Grid) -> Scores:
        low, high = thresholds[label]
        prediction = (ready.images[0] > low) & (ready.images[0] <= high) & ready.brain
        if config.evaluation.grid == "native":
            prediction = resample(Image(prediction, ready.grid.affine), ready.native).data >= 0.5
        return score_masks(prediction, reference, counted, grid, _brain_ml(prepared))

    return _scores(scan, known, score, config, results)


def choose_thresholds(scans: Iterable[tuple[Scan, Row]], config: Config, results: Results) -> pd.DataFrame:
    """For every intensity rule and label the best thresholds over the training scans where the label is annotated.

    scans : training scans with their rows of the ledger of `preprocess`.
    """
    scans = list(scans)
    rows = []
    for number, label in enumerate(config.labels):

        def known(label: str = label, number: int = number) -> Iterable[tuple[Array, Array, float]]:
            for scan, row in scans:
                if label in scan.annotated:
                    ready = read_prepared(scan, row, results)
                    classes, ignore, _ = _known(row, config, results)
                    counted = ready.brain & ~decode(ignore, label, config.labels)
                    lesion = classes == number + 1
                    # A lesion that is ignored as a whole does not mean that there is none.
                    if not lesion.any() or (lesion & counted).any():
                        yield ready.images[0][counted], lesion[counted], ready.grid.voxel_ml

        count = sum(label in scan.annotated for scan, _ in scans)
        rows += [(rule, label, *found, count) for rule, found in zip(RULES, best_thresholds(known()), strict=True)]
    return pd.DataFrame(rows, columns=["rule", "label", "low", "high", "training_score", "scans"])


def _scores(
    scan: Scan, known: Row, score: Callable[[str, Array, Array, Grid], Scores], config: Config, results: Results
) -> Outcome:
    classes, ignore, grid = _known(known, config, results)
    values: dict[str, float | str | None] = {}
    for number, label in enumerate(config.labels):
        if label in scan.annotated:
            found = score(label, classes == number + 1, ~decode(ignore, label, config.labels), grid)
            values |= {f"{label} {name}": value for name, value in found.items()}
    return Outcome(values=values)


def _brain_ml(row: Row) -> float:
    return float(row.values["brain_ml"] or nan)


def _known(row: Row, config: Config, results: Results) -> tuple[Array, Array, Grid]:
    """Class numbers and ignore bits, both (X, Y, Z) on the grid of the row's stage, and that grid."""
    bits = read_labels(results.root / row.files["bits"])
    ignore = np.zeros(bits.data.shape, np.uint8)
    if "ignore" in row.files:
        ignore = read_labels(results.root / row.files["ignore"]).data.astype(np.uint8)
    return resolve(bits.data, config.labels, config.precedence), ignore, bits.grid
