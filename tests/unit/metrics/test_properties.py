"""What must hold whatever the masks: range, identity, symmetry, flips, spacing, added false lesions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flairflow.metrics.registry import METRICS
from masks import known, random_masks, scores

MASKS = arrays.arrays(bool, (4, 5, 3))
SPACINGS = st.tuples(*[st.sampled_from([0.5, 1.0, 1.7, 4.0])] * 3)
BOUNDED = [name for name, metric in METRICS.items() if metric.better == "higher"]
SYMMETRIC = [
    "dice",
    "dice_or_empty",
    "dsc",
    "absolute_volume_error_ml",
    "lesion_count_error",
    "lesion_f1_iou",
    "lesion_f1_iou_18",
    "lesion_f1_iou_6",
    "hd95_mm",
    "assd_mm",
    "nsd_1mm",
    "nsd_2mm",
    "wmh2017_hd95_mm",
    "wmh2017_lesion_f1",
    "afvd",
]
EXCHANGED = {"lesion_recall": "lesion_precision", "rec": "pre", "reference_ml": "predicted_ml"}
IN_VOXELS = {"dsc2", "pre2", "rec2"}
DISTANCES = {"hd95_mm", "assd_mm", "nsd_1mm", "nsd_2mm", "wmh2017_hd95_mm", "asd"}


@settings(deadline=None)
@given(MASKS, MASKS, SPACINGS)
def test_range(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]) -> None:
    for name, value in scores(prediction, reference, spacing).items():
        if value is not None:
            assert np.isfinite(value)
            assert value >= 0 or name == "volume_error_ml"
            assert value <= 1 or name not in BOUNDED


@settings(deadline=None)
@given(MASKS, SPACINGS)
def test_identity(mask: np.ndarray, spacing: tuple[float, float, float]) -> None:
    for name, value in scores(mask, mask, spacing).items():
        best = {"higher": 1, "lower": 0, "zero": 0}.get(METRICS[name].better or "")
        assert best is None or value in (None, best), name
    found = scores(mask, mask, spacing)
    for name in METRICS:
        if name.startswith("found_"):
            assert found[name] == found[name.replace("found", "lesions")]


@settings(deadline=None)
@given(MASKS, MASKS, SPACINGS)
def test_symmetry(first: np.ndarray, second: np.ndarray, spacing: tuple[float, float, float]) -> None:
    assume(first.any() and second.any())
    one, other = scores(first, second, spacing), scores(second, first, spacing)
    for name in SYMMETRIC:
        assert one[name] == pytest.approx(other[name]), name
    for name, counterpart in EXCHANGED.items():
        assert one[name] == other[counterpart] and one[counterpart] == other[name]
    assert one["volume_error_ml"] == pytest.approx(-known(other["volume_error_ml"]))


@settings(deadline=None)
@given(MASKS, MASKS, SPACINGS, st.integers(0, 2))
def test_flips(first: np.ndarray, second: np.ndarray, spacing: tuple[float, float, float], axis: int) -> None:
    flipped = scores(np.flip(first, axis), np.flip(second, axis), spacing)
    assert flipped == pytest.approx(scores(first, second, spacing), nan_ok=True)


@settings(deadline=None)
@given(MASKS, MASKS, SPACINGS, st.integers(0, 2))
def test_finer_voxels_of_the_same_masks(
    first: np.ndarray, second: np.ndarray, spacing: tuple[float, float, float], axis: int
) -> None:
    """Each voxel cut in two. The paper's tolerance is in voxels; borders get closer (tested with large lesions)."""
    finer = [edge / 2 if place == axis else edge for place, edge in enumerate(spacing)]
    cut = scores(first.repeat(2, axis), second.repeat(2, axis), finer)
    for name, value in scores(first, second, spacing).items():
        if name not in IN_VOXELS | DISTANCES:
            assert cut[name] == pytest.approx(value), name


@settings(deadline=None)
@given(MASKS, MASKS, st.sampled_from([0.5, 3.0]))
def test_larger_voxels_make_larger_distances_and_volumes(first: np.ndarray, second: np.ndarray, factor: float) -> None:
    near, far = scores(first, second, (1, 1, 2)), scores(first, second, (factor, factor, 2 * factor))
    for name, value in near.items():
        power = {"mm": 1, "ml": 3}.get(METRICS[name].units or "")
        if power and value is not None:
            assert far[name] == pytest.approx(value * factor**power)


@settings(deadline=None)
@given(MASKS, MASKS, st.integers(0, 59))
def test_a_false_voxel_more_never_helps(prediction: np.ndarray, reference: np.ndarray, voxel: int) -> None:
    assume(not reference.flat[voxel])
    more = prediction.copy()
    more.flat[voxel] = True
    before, after = scores(prediction, reference), scores(more, reference)
    for name in ("dice", "dice_or_empty", "dsc", "pre", "rec", "scan_specificity"):
        assert (after[name] is None) == (before[name] is None)
        assert before[name] is None or known(after[name]) <= known(before[name])
    if before["false_ml"] is not None:
        assert known(after["false_ml"]) >= before["false_ml"]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_a_false_lesion_more_never_helps(seed: int) -> None:
    prediction, reference = (np.pad(mask, ((0, 5), (0, 0), (0, 0))) for mask in random_masks(seed))
    more = prediction.copy()
    more[-1, seed % 19, seed % 14] = True  # three voxels and more from all others
    before, after = scores(prediction, reference), scores(more, reference)
    worse = [name for name in METRICS if name.startswith(("lesion_f1", "wmh2017_lesion", "isles22", "nsd_"))]
    for name in (*worse, "lesion_precision", "ldsc", "lpre", "dsc2", "pre2", "dice"):
        assert known(after[name]) <= known(before[name]), name
    assert after["n_lfp"] == known(before["n_lfp"]) + 1
    for name in ("lesion_recall", "lrec", "rec", "rec2", "n_lfn", "n_ltp"):
        assert known(after[name]) == known(before[name])
    empty = np.zeros_like(reference)
    assert scores(more, empty)["false_lesions"] == known(scores(prediction, empty)["false_lesions"]) + 1
    assert scores(more, empty)["lfp_empty"] == known(scores(prediction, empty)["lfp_empty"]) + 1
