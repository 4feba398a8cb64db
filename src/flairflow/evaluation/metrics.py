"""Metrics of one scan and one label. An empty reference is a statement ("none"), so it is scored by false volume."""

from __future__ import annotations

import cc3d
import numpy as np

from flairflow.images.grid import Array
from flairflow.tables import Column, column


def score(prediction: Array, reference: Array, counted: Array, voxel_ml: float) -> dict[str, float | None]:
    """Compare two boolean masks (X, Y, Z) over the voxels `counted`.

    dice            : 2 |P and R| / (|P| + |R|) (Dice 1945); None where the reference is empty.
    volume_error_ml : predicted minus reference volume.
    false_lesions   : predicted lesions (components of voxels that touch, if only by a corner) where the reference is
                      empty; None where it is not.
    false_ml        : their volume.

    A lesion of which no voxel is counted is neither found nor missed, and does not make the reference empty: then all
    three are None.
    """
    free = not reference.any()
    prediction, reference = prediction & counted, reference & counted
    predicted, true = int(prediction.sum()), int(reference.sum())
    common = int(np.count_nonzero(prediction & reference))
    return {
        "reference_ml": true * voxel_ml,
        "predicted_ml": predicted * voxel_ml,
        "dice": 2 * common / (predicted + true) if true else None,
        "volume_error_ml": (predicted - true) * voxel_ml,
        "false_lesions": int(cc3d.connected_components(prediction, connectivity=26).max()) if free else None,
        "false_ml": predicted * voxel_ml if free else None,
    }


COLUMNS: dict[str, Column] = {
    "scan": column("Scan id, as in cohort.tsv"),
    "dataset": column("Name of the dataset in the configuration"),
    "ensemble": column("What segmented: an ensemble of models, or an intensity rule (tables/thresholds.tsv)"),
    "label": column("Lesion label; only scans with a known mask of it are scored"),
    "reference_ml": column("Volume of the reference mask", "ml"),
    "predicted_ml": column("Volume of the predicted mask", "ml"),
    "dice": column("Dice coefficient 2 |P and R| / (|P| + |R|); n/a where the reference is empty"),
    "volume_error_ml": column("Predicted minus reference volume", "ml"),
    "false_lesions": column("Predicted lesions (26-connected components) where the reference is empty; n/a elsewhere"),
    "false_ml": column("Predicted volume where the reference is empty; n/a elsewhere", "ml"),
}
