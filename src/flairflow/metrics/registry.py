"""The metrics of one scan and one label: what each is, in one place. `compute.py` computes them.

Imports nothing heavy: tables, figures and documentation are made from METRICS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flairflow.tables import Column, column

Better = Literal["higher", "lower", "zero"]
Where = Literal["lesion", "free", "all"]
# What a metric is where a mask is empty: a fixed value, what its formula gives, or None (not defined: n/a).
Value = float | Literal["formula"] | None


@dataclass(frozen=True)
class Metric:
    """What a metric is.

    better : which values are; "zero": those near 0, from above or below; None: a count or volume that is neither.
    where  : on which scans it is defined: with a lesion in the reference, with an empty reference, or all.
    missed : its value where nothing is predicted and the reference is not empty.
    false  : where something is predicted and the reference is empty.
    nothing: where both are empty.
    """

    name: str
    description: str
    better: Better | None
    units: str | None
    source: str
    where: Where
    missed: Value = "formula"
    false: Value = "formula"
    nothing: Value = "formula"

    @property
    def counts(self) -> bool:
        """Whether its values are whole numbers of lesions."""
        return self.name.startswith(("n_", "lesions_", "found_", "lfp_", "false_lesions", "lesion_count"))

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest value it can have; infinite: there is no such."""
        share = self.name == "calibration_error" or (self.better == "higher" and not self.counts)
        return -math.inf if self.better == "zero" else 0.0, 1.0 if share else math.inf


_PAPER = "Phitidis et al. 2026, arXiv 2601.20503"
_FLAIRFLOW = "flairflow"
_KUIJF = "Kuijf et al. 2019, IEEE Trans Med Imaging 38:2556 (the challenge's evaluation.py)"
_ISLES = "Hernandez Petzsche et al. 2022, Sci Data 9:762 (the challenge's eval_utils.py)"
_RELOADED = "Maier-Hein et al. 2024, Nat Methods 21:195"

# Lesions by volume in ml, from (included) and to; the first and the last class are open.
SIZES: tuple[tuple[str, float, float], ...] = (
    ("under_0.1ml", 0.0, 0.1),
    ("0.1_to_1ml", 0.1, 1.0),
    ("1_to_10ml", 1.0, 10.0),
    ("over_10ml", 10.0, float("inf")),
)


def _lesion(
    name: str,
    description: str,
    source: str,
    better: Better | None = "higher",
    units: str | None = None,
    missed: Value = 0.0,
) -> Metric:
    return Metric(name, description, better, units, source, "lesion", missed, None, None)


def _free(name: str, description: str, better: Better, units: str | None, false: Value, nothing: Value) -> Metric:
    return Metric(name, description, better, units, _FLAIRFLOW, "free", None, false, nothing)


def _all(
    name: str,
    description: str,
    source: str,
    better: Better | None = "lower",
    units: str | None = None,
    missed: Value = "formula",
    false: Value = "formula",
    nothing: Value = 0.0,
) -> Metric:
    return Metric(name, description, better, units, source, "all", missed, false, nothing)


def _by_size(name: str, low: float, high: float) -> tuple[Metric, Metric]:
    size = f"of {low:g} to {high:g} ml" if low and high < float("inf") else f"under {high:g} ml"
    size = size if high < float("inf") else f"of {low:g} ml and more"
    text = f"reference lesions (26-connected) {size}"
    return (
        _lesion(f"lesions_{name}", f"Number of {text}", _FLAIRFLOW, None, missed="formula"),
        _lesion(f"found_{name}", f"How many {text} have a predicted voxel", _FLAIRFLOW, None),
    )


def _f1(connectivity: int, iou: bool) -> Metric:
    name = "lesion_f1" + ("_iou" if iou else "") + ("" if connectivity == 26 else f"_{connectivity}")
    touch = {6: "by a face", 18: "by a face or an edge", 26: "if only by a corner"}[connectivity]
    by = "matched one to one where intersection over union exceeds 0.5" if iou else "found where any voxel overlaps"
    counts = "TP: matched pairs" if iou else "TP: found reference lesions"
    return _lesion(
        name,
        f"2 TP / (2 TP + FP + FN) of lesions (voxels that touch {touch}: {connectivity}-connected), {by}; {counts}, "
        f"FN: other reference lesions, FP: predicted lesions {'without a match' if iou else 'without a true voxel'}",
        "Kirillov et al. 2019, CVPR (recognition quality)" if iou else _ISLES,
    )


_ALL_METRICS = (
    # Volumes
    _all("reference_ml", "Volume of the reference mask", _FLAIRFLOW, None, "ml"),
    _all("predicted_ml", "Volume of the predicted mask", _FLAIRFLOW, None, "ml", missed=0.0),
    _all("volume_error_ml", "Predicted minus reference volume", _FLAIRFLOW, "zero", "ml"),
    _all("absolute_volume_error_ml", "Absolute difference of predicted and reference volume", _ISLES, "lower", "ml"),
    _free("false_ml", "Predicted volume where there is no lesion", "lower", "ml", "formula", 0.0),
    # Voxels
    _lesion(
        "dice",
        "Dice coefficient 2 n(P and R) / (n(P) + n(R)) of voxels",
        "Dice 1945, Ecology 26:297",
    ),
    _all(
        "dice_or_empty",
        "Dice coefficient; where the reference is empty 1 if nothing is predicted, 0 otherwise",
        _ISLES,
        "higher",
        missed=0.0,
        false=0.0,
        nothing=1.0,
    ),
    # Lesions
    _lesion("lesion_recall", "Share of the reference lesions (26-connected) that have a predicted voxel", _KUIJF),
    _lesion(
        "lesion_precision",
        "Share of the predicted lesions (26-connected) that have a reference voxel",
        _KUIJF,
        missed=None,
    ),
    *(_f1(connectivity, iou) for iou in (False, True) for connectivity in (26, 18, 6)),
    _all(
        "lesion_count_error",
        "Absolute difference of the numbers of predicted and reference lesions (26-connected)",
        _ISLES,
    ),
    _free("false_lesions", "Predicted lesions (26-connected) where there are none", "lower", None, "formula", 0.0),
    *(metric for name, low, high in SIZES for metric in _by_size(name, low, high)),
    # Borders
    _lesion(
        "hd95_mm",
        "95% Hausdorff distance: the larger of the 95th percentiles of distances from the border voxels of one mask "
        "to the nearest of the other (border: a face neighbour is outside)",
        "Huttenlocher et al. 1993, IEEE Trans Pattern Anal 15:850; percentile as in MONAI",
        "lower",
        "mm",
        missed=None,
    ),
    _lesion(
        "assd_mm",
        "Average symmetric surface distance: mean of the distances of hd95_mm, both directions pooled",
        "Heimann et al. 2009, IEEE Trans Med Imaging 28:1251",
        "lower",
        "mm",
        missed=None,
    ),
    *(
        _lesion(
            f"nsd_{tolerance}mm",
            f"Normalised surface Dice: share of the border voxels of both masks within {tolerance} mm of the other's",
            "Nikolov et al. 2021, J Med Internet Res 23:e26151; border voxels as in MONAI",
        )
        for tolerance in (1, 2)
    ),
    # Probabilities
    _lesion(
        "average_precision",
        "Average precision of the probability map over all counted voxels: sum of (R_k - R_k-1) P_k over its values as "
        "thresholds",
        "scikit-learn, average_precision_score",
        missed="formula",
    ),
    _all(
        "calibration_error",
        "Expected calibration error of the probability map over the voxels of the brain mask: mean over 15 equal bins, "
        "by their voxels, of the distance between mean probability and share of the label",
        "Guo et al. 2017, ICML; bins as in Naeini et al. 2015, AAAI",
        nothing="formula",
    ),
    # Scans
    _lesion("scan_sensitivity", "1 if anything is predicted in a scan with a lesion, 0 otherwise", _RELOADED),
    _free(
        "scan_specificity", "1 if nothing is predicted in a scan without a lesion, 0 otherwise", "higher", None, 0, 1
    ),
    # Challenges, where they differ from the above (docs/metrics.md says which of the above they also use)
    _lesion(
        "wmh2017_hd95_mm",
        "95% Hausdorff distance between borders taken slice by slice: an in-plane neighbour (of 8) is outside; slices "
        "lie across the axis with the largest voxel edge, the last of equal ones",
        _KUIJF,
        "lower",
        "mm",
        missed=None,
    ),
    _lesion(
        "wmh2017_avd_percent",
        "100 times the absolute volume error over the reference volume",
        _KUIJF,
        "lower",
        "percent",
        missed=100.0,
    ),
    _lesion(
        "wmh2017_lesion_f1",
        "Harmonic mean of lesion recall and lesion precision (26-connected, any overlap), precision 1 where nothing is "
        "predicted",
        _KUIJF,
    ),
    _all(
        "isles22_lesion_f1",
        "lesion_f1; where the reference is empty 1 if nothing is predicted, 0 otherwise",
        _ISLES,
        "higher",
        missed=0.0,
        false=0.0,
        nothing=1.0,
    ),
    # The paper's, under its names
    _lesion("dsc", "2 TP / (2 TP + FP + FN) of voxels", _PAPER),
    _lesion("pre", "TP / (TP + FP) of voxels; 1 where nothing is predicted", _PAPER, missed=1.0),
    _lesion("rec", "TP / (TP + FN) of voxels", _PAPER),
    _lesion(
        "dsc2",
        "2 TP / (2 TP + FP + FN): TP and FP are predicted voxels inside and outside of the reference dilated by a ball "
        "of 2 voxels, FN unpredicted voxels of the reference eroded by it; 1 if there are none of the three",
        _PAPER,
        missed="formula",
    ),
    _lesion("pre2", "TP / (TP + FP) as counted for dsc2; 1 where nothing is predicted", _PAPER, missed=1.0),
    _lesion("rec2", "TP / (TP + FN) as counted for dsc2; 1 if there are neither", _PAPER, missed="formula"),
    _lesion("ldsc", "2 n_ltp / (2 n_ltp + n_lfp + n_lfn)", _PAPER),
    _lesion("lpre", "n_ltp / (n_ltp + n_lfp); 1 where nothing is predicted", _PAPER, missed=1.0),
    _lesion("lrec", "n_ltp / (n_ltp + n_lfn)", _PAPER),
    _all("n_gt", "Number of reference lesions (6-connected)", _PAPER, None),
    _all("n_ltp", "Predicted lesions (6-connected) with a reference voxel", _PAPER, None, missed=0.0, false=0.0),
    _all("n_lfp", "Predicted lesions (6-connected) without a reference voxel", _PAPER, missed=0.0),
    _all("n_lfn", "Reference lesions (6-connected) without a predicted voxel", _PAPER, false=0.0),
    _all("afvd", "Absolute volume error over the volume of the brain mask", _PAPER),
    _lesion(
        "asd",
        "Mean distance from the border voxels of the predicted mask to the nearest of the reference's (the published "
        "files say inf where one is empty and leave it out of the means)",
        _PAPER,
        "lower",
        "mm",
        missed=None,
    ),
    _lesion("ap", "Average precision of the probability map, as average_precision", _PAPER, missed="formula"),
    Metric("lfp_empty", "n_lfp where the reference is empty", "lower", None, _PAPER, "free", None, "formula", 0.0),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL_METRICS}

_NOT_DEFINED = {"lesion": "the reference is empty", "free": "the reference is not empty", "all": ""}


def _column(metric: Metric) -> Column:
    nowhere = _NOT_DEFINED[metric.where]
    return column(f"{metric.description}{f'; n/a where {nowhere}' if nowhere else ''}", metric.units)


COLUMNS: dict[str, Column] = {
    "scan": column("Scan id, as in cohort.tsv"),
    "dataset": column("Name of the dataset in the configuration"),
    "participant": column("Who was scanned, as person in cohort.tsv: scans of one participant are not independent"),
    "ensemble": column("What segmented: an ensemble of models, or an intensity rule (tables/thresholds.tsv)"),
    "label": column("Lesion label; only scans with a known mask of it are scored"),
    **{metric.name: _column(metric) for metric in METRICS.values()},
}
