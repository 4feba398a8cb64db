"""The metrics of Phitidis et al. 2026 (arXiv 2601.20503) to the letter, under their names.

What is 0 / 0 follows their per-volume values: 1. `docs/metrics.md` says where their definitions
flatter.
"""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array
from flairflow.metrics.lesions import Lesions
from flairflow.metrics.ratio import ratio
from flairflow.metrics.surface import finite_mean
from flairflow.metrics.voxels import BALL, any_neighbour


def published_metrics(
    prediction: Array, reference: Array, lesions: Lesions, to_reference: Array, voxel_ml: float, brain_ml: float
) -> dict[str, float]:
    """The paper's metrics of masks (`METRICS`), of two boolean masks (X, Y, Z) as `voxels.crop_together` gives them.

    lesions : their 6-connected lesions; to_reference: distances from the border of the prediction (mm, by faces).
    """
    true, predicted = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
    hit = int(np.count_nonzero(prediction & reference))
    true_lesions = int(lesions.true.sum())
    false_lesions, missed_lesions = int((~lesions.true).sum()), int((~lesions.found).sum())
    values = _scores("", hit, predicted - hit, true - hit)
    values |= _scores("2", *_tolerant_counts(prediction, reference))
    by_lesion = _scores("", true_lesions, false_lesions, missed_lesions)
    values |= {f"l{name}": value for name, value in by_lesion.items()}
    return values | {
        "n_gt": float(len(lesions.reference)),
        "n_ltp": float(true_lesions),
        "n_lfp": float(false_lesions),
        "n_lfn": float(missed_lesions),
        "lfp_empty": float(false_lesions),
        "afvd": ratio(abs(predicted - true) * voxel_ml, brain_ml),
        "asd": finite_mean(to_reference),
    }


def _scores(suffix: str, hits: int, false: int, missed: int) -> dict[str, float]:
    return {
        f"dsc{suffix}": ratio(2 * hits, 2 * hits + false + missed, empty=1.0),
        f"pre{suffix}": ratio(hits, hits + false, empty=1.0),
        f"rec{suffix}": ratio(hits, hits + missed, empty=1.0),
    }


def _tolerant_counts(prediction: Array, reference: Array) -> tuple[int, int, int]:
    """True and false positives against the dilated reference, false negatives against the eroded one."""
    outside = np.flatnonzero(prediction & ~reference)
    false = len(outside) - int(any_neighbour(reference, outside, BALL).sum())
    unpredicted = np.flatnonzero(reference & ~prediction)
    missed = len(unpredicted) - int(any_neighbour(~reference, unpredicted, BALL).sum())
    return int(np.count_nonzero(prediction)) - false, false, missed
