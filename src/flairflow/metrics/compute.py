"""All metrics of one scan and one label: `METRICS` says what they are, the modules beside this one compute them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flairflow.images.grid import Array, Grid
from flairflow.metrics.challenges import challenge_metrics
from flairflow.metrics.lesions import CONNECTIVITIES, find_lesions, lesion_metrics
from flairflow.metrics.overlap import overlap_metrics
from flairflow.metrics.phitidis import published_metrics
from flairflow.metrics.probabilities import average_precision, calibration_error
from flairflow.metrics.registry import METRICS
from flairflow.metrics.scan import scan_metrics
from flairflow.metrics.surface import border_distances, surface_metrics
from flairflow.metrics.volume import volume_metrics
from flairflow.metrics.voxels import FACES, crop_together

Scores = dict[str, float | None]


def score_masks(prediction: Array, reference: Array, counted: Array, grid: Grid, brain_ml: float) -> Scores:
    """Every metric of hard masks, None where it is not defined.

    prediction, reference, counted : (X, Y, Z) bool on `grid`; voxels that are not counted are in neither mask.
    brain_ml                       : volume of the brain mask; NaN where it is not known (then there is no afvd).

    A lesion of which no voxel is counted is neither found nor missed, and does not make the reference empty: where no
    lesion has one, the scan has no metric at all.
    """
    spacing, voxel_ml = grid.spacing, grid.voxel_ml
    ours, theirs = crop_together(prediction & counted, reference & counted)
    lesions = {connectivity: find_lesions(ours, theirs, connectivity) for connectivity in CONNECTIVITIES}
    to_reference, to_prediction = border_distances(ours, theirs, spacing, FACES)
    values = overlap_metrics(ours, theirs) | volume_metrics(ours, theirs, voxel_ml) | scan_metrics(ours)
    values |= lesion_metrics(lesions, voxel_ml) | surface_metrics(to_reference, to_prediction)
    values |= challenge_metrics(ours, theirs, spacing, lesions[26])
    values |= published_metrics(ours, theirs, lesions[6], to_reference, voxel_ml, brain_ml)
    return _where_defined(values, reference, counted)


def score_probabilities(probabilities: Array, reference: Array, counted: Array, brain: Array) -> Scores:
    """Every metric of the probability map of a label, None where it is not defined.

    probabilities : (X, Y, Z) float, 0 to 1; reference, counted, brain: (X, Y, Z) bool on the same grid.
    """
    precision = average_precision(probabilities[counted], reference[counted])
    inside = brain & counted
    values = {
        "average_precision": precision,
        "ap": precision,
        "calibration_error": calibration_error(probabilities[inside], reference[inside]),
    }
    return _where_defined(values, reference, counted)


def _where_defined(values: Mapping[str, float], reference: Array, counted: Array) -> Scores:
    lesion = bool((reference & counted).any())
    kinds = ("all", "lesion") if lesion else () if reference.any() else ("all", "free")
    return {
        name: float(value) if METRICS[name].where in kinds and np.isfinite(value) else None
        for name, value in values.items()
    }
