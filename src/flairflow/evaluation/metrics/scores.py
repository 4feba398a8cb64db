"""Metrics of one scan and one label. An empty reference is a statement ("none"), so it is scored by false volume."""

from __future__ import annotations

import cc3d
import numpy as np

from flairflow.images.grid import Array


def score(prediction: Array, reference: Array, counted: Array, voxel_ml: float) -> dict[str, float | None]:
    """Compare two boolean masks (X, Y, Z) over the voxels `counted`.

    dice            : 2 |P and R| / (|P| + |R|) (Dice 1945); None where the reference is empty.
    lesion_f1       : 2 TP / (2 TP + FP + FN) of lesions: components of voxels that touch, if only by a corner. FN
                      are reference lesions of which no voxel is predicted, TP the others; FP are predicted lesions of
                      which no voxel is reference. None where the reference is empty.
    volume_error_ml : predicted minus reference volume.
    false_lesions   : predicted lesions where the reference is empty; None where it is not.
    false_ml        : their volume.

    A lesion of which no voxel is counted is neither found nor missed, and does not make the reference empty: then all
    four are None.
    """
    free = not reference.any()
    prediction, reference = prediction & counted, reference & counted
    predicted, true = int(prediction.sum()), int(reference.sum())
    common = int(np.count_nonzero(prediction & reference))
    return {
        "reference_ml": true * voxel_ml,
        "predicted_ml": predicted * voxel_ml,
        "dice": 2 * common / (predicted + true) if true else None,
        "lesion_f1": _lesion_f1(prediction, reference) if true else None,
        "volume_error_ml": (predicted - true) * voxel_ml,
        "false_lesions": int(_lesions(prediction).max()) if free else None,
        "false_ml": predicted * voxel_ml if free else None,
    }


def _lesion_f1(prediction: Array, reference: Array) -> float:
    lesions = _lesions(reference)
    found = len(np.unique(lesions[prediction & reference]))
    predicted = _lesions(prediction)
    false = int(predicted.max()) - len(np.unique(predicted[prediction & reference]))
    missed = int(lesions.max()) - found
    return 2 * found / (2 * found + false + missed)


def _lesions(mask: Array) -> Array:
    """Each voxel's lesion number, 1 and up without gaps; 0 outside."""
    numbers: Array = cc3d.connected_components(mask, connectivity=26)
    return numbers
