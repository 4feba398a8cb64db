"""Metrics of lesions: connected components, by label images and counts instead of a mask per lesion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cc3d
import numpy as np

from flairflow.images.grid import Array
from flairflow.metrics.ratio import ratio
from flairflow.metrics.registry import SIZES

CONNECTIVITIES = (26, 18, 6)
MIN_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Lesions:
    """The lesions of two masks and how they meet.

    predicted, reference : voxels of each predicted (P,) and each reference lesion (R,).
    meeting              : pairs that share voxels, as indices of a predicted and a reference lesion (N, 2).
    common               : how many voxels each of these pairs shares (N,).
    """

    predicted: Array
    reference: Array
    meeting: Array
    common: Array

    @property
    def true(self) -> Array:
        """Which predicted lesions (P,) have a reference voxel."""
        return _marked(self.meeting[:, 0], len(self.predicted))

    @property
    def found(self) -> Array:
        """Which reference lesions (R,) have a predicted voxel."""
        return _marked(self.meeting[:, 1], len(self.reference))

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN): TP found and FN missed reference lesions, FP predicted ones without a true voxel;
        NaN where there are no lesions."""
        found = int(self.found.sum())
        return ratio(2 * found, found + len(self.reference) + int((~self.true).sum()))

    @property
    def f1_by_iou(self) -> float:
        """The same with TP the pairs whose intersection over union exceeds one half: no lesion is in two of them."""
        first, second = self.meeting.T
        union = self.predicted[first] + self.reference[second] - self.common
        matched = int((self.common > MIN_IOU * union).sum())
        return ratio(2 * matched, len(self.predicted) + len(self.reference))

    @property
    def recall(self) -> float:
        """Share of reference lesions that are found; NaN where there are none."""
        return ratio(int(self.found.sum()), len(self.reference))

    @property
    def precision(self) -> float:
        """Share of predicted lesions that are true; NaN where there are none."""
        return ratio(int(self.true.sum()), len(self.predicted))


def find_lesions(prediction: Array, reference: Array, connectivity: int) -> Lesions:
    """The lesions of two boolean masks (X, Y, Z): voxels connected by faces (6), also edges (18), also corners (26)."""
    predicted, true = (cc3d.connected_components(mask, connectivity=connectivity) for mask in (prediction, reference))
    sizes = np.bincount(true[reference])[1:]
    both = prediction & reference
    keys, common = np.unique((predicted[both].astype(np.int64) - 1) * len(sizes) + true[both] - 1, return_counts=True)
    meeting = np.stack(np.divmod(keys, max(len(sizes), 1)), axis=-1)
    return Lesions(np.bincount(predicted[prediction])[1:], sizes, meeting, common)


def lesion_metrics(lesions: Mapping[int, Lesions], voxel_ml: float) -> dict[str, float]:
    """The metrics of lesions and of lesions by size (`METRICS`), from the lesions by connectivity."""
    all_ = lesions[26]
    values = {
        "false_lesions": float(len(all_.predicted)),
        "lesion_count_error": float(abs(len(all_.predicted) - len(all_.reference))),
        "lesion_recall": all_.recall,
        "lesion_precision": all_.precision,
    }
    for connectivity in CONNECTIVITIES:
        suffix = "" if connectivity == 26 else f"_{connectivity}"
        values[f"lesion_f1{suffix}"] = lesions[connectivity].f1
        values[f"lesion_f1_iou{suffix}"] = lesions[connectivity].f1_by_iou
    # A lesion of exactly 0.1 ml is one whatever the rounding of the voxel's volume.
    volumes = np.round(all_.reference * voxel_ml, 9)
    for name, low, high in SIZES:
        sized = (volumes >= low) & (volumes < high)
        values |= {f"lesions_{name}": float(sized.sum()), f"found_{name}": float((sized & all_.found).sum())}
    return values


def _marked(indices: Array, count: int) -> Array:
    marked = np.zeros(count, bool)
    marked[indices] = True
    return marked
