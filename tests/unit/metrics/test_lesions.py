"""Metrics of lesions: by hand, and against a plain loop with a mask per lesion on scipy's labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from masks import known, random_masks, scores

STEPS = {6: 1, 18: 2, 26: 3}


def lesions_of(mask: np.ndarray, connectivity: int) -> list[np.ndarray]:
    """A mask per lesion, as the published code has them."""
    labels, count = ndimage.label(mask, ndimage.generate_binary_structure(3, STEPS[connectivity]))
    return [labels == number for number in range(1, count + 1)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("connectivity", STEPS)
def test_f1_is_what_a_mask_per_lesion_gives(seed: int, connectivity: int) -> None:
    prediction, reference = random_masks(seed)
    predicted, true = lesions_of(prediction, connectivity), lesions_of(reference, connectivity)
    assert len(predicted) > 5 < len(true)
    found = sum((lesion & prediction).any() for lesion in true)
    false = sum(not (lesion & reference).any() for lesion in predicted)
    missed = len(true) - found
    suffix = "" if connectivity == 26 else f"_{connectivity}"
    values = scores(prediction, reference)
    assert values[f"lesion_f1{suffix}"] == pytest.approx(2 * found / (2 * found + false + missed))
    iou = np.array([[(one & other).sum() / (one | other).sum() for other in true] for one in predicted])
    rows, columns = linear_sum_assignment(iou > 0.5, maximize=True)
    matched = int((iou[rows, columns] > 0.5).sum())
    assert values[f"lesion_f1_iou{suffix}"] == pytest.approx(2 * matched / (len(predicted) + len(true)))
    if connectivity == 26:
        recall, precision = found / len(true), 1 - false / len(predicted)
        assert values["lesion_recall"] == pytest.approx(recall)
        assert values["lesion_precision"] == pytest.approx(precision)
        assert values["wmh2017_lesion_f1"] == pytest.approx(2 * recall * precision / (recall + precision))
        assert values["isles22_lesion_f1"] == values["lesion_f1"]
        assert values["lesion_count_error"] == abs(len(predicted) - len(true))
        assert scores(prediction, np.zeros_like(reference))["false_lesions"] == len(predicted)
    if connectivity == 6:
        hits = len(predicted) - false
        assert (values["n_gt"], values["n_ltp"], values["n_lfp"], values["n_lfn"]) == (len(true), hits, false, missed)
        assert values["ldsc"] == pytest.approx(2 * hits / (2 * hits + false + missed))
        assert values["lpre"] == pytest.approx(hits / (hits + false))
        assert values["lrec"] == pytest.approx(hits / (hits + missed))
        assert scores(prediction, np.zeros_like(reference))["lfp_empty"] == len(predicted)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (4.0, 3.0, 6.0), (8.0, 9.0, 10.0)])
def test_lesions_are_counted_by_size(seed: int, spacing: tuple[float, float, float]) -> None:
    prediction, reference = random_masks(seed)
    voxel_ml = float(np.prod(spacing)) / 1000
    sizes = [(lesion.sum() * voxel_ml, bool((lesion & prediction).any())) for lesion in lesions_of(reference, 26)]
    values = scores(prediction, reference, spacing)
    classes = {"under_0.1ml": (0, 0.1), "0.1_to_1ml": (0.1, 1), "1_to_10ml": (1, 10), "over_10ml": (10, np.inf)}
    for name, (low, high) in classes.items():
        inside = [found for size, found in sizes if low <= size < high]
        assert values[f"lesions_{name}"] == len(inside)
        assert values[f"found_{name}"] == sum(inside)
    assert sum(known(values[f"lesions_{name}"]) for name in classes) == len(sizes)


def test_a_lesion_of_exactly_a_tenth_of_a_ml_is_one() -> None:
    reference = np.zeros((12, 12, 12), bool)
    reference[1:5, 1:5, 1:5] = True
    # The product of the second ones is a little less.
    for spacing in ((1.25, 1.25, 1.0), (0.3, 0.35, 100 / 64 / 0.3 / 0.35)):
        assert scores(reference, reference, spacing)["found_0.1_to_1ml"] == 1


def test_lesions_are_found_by_any_voxel_and_each_counts_once() -> None:
    reference, prediction = np.zeros((2, 9, 9, 9), bool)
    reference[0, 0, 0] = reference[1, 1, 1] = True  # one lesion: its voxels touch by a corner
    reference[0, 0, 4:8] = True
    reference[8, 8, 8] = True
    prediction[0, 0, 0] = True
    prediction[0, 0, 4] = prediction[0, 0, 7] = True  # two components in one lesion: both true, and it is found once
    prediction[4, 4, 4] = prediction[4, 8, 4] = True
    assert scores(prediction, reference)["lesion_f1"] == 2 * 2 / (2 * 2 + 2 + 1)
    assert scores(prediction, reference)["lesion_f1_6"] == 2 * 2 / (2 * 2 + 2 + 2)
    # The paper counts true positives on predicted lesions: three.
    assert scores(prediction, reference)["ldsc"] == 2 * 3 / (2 * 3 + 2 + 2)
    assert scores(~np.ones_like(reference), reference)["lesion_f1"] == 0
    merged = reference.copy()
    merged[0, 0, :4] = True  # one predicted component over two lesions finds both
    assert scores(merged, reference)["lesion_f1"] == 1
    counted = np.ones_like(reference)
    counted[8] = counted[:, 8] = False
    assert scores(prediction, reference, counted=counted)["lesion_f1"] == 2 * 2 / (2 * 2 + 1)


def test_half_an_overlap_is_no_match_by_iou() -> None:
    reference, prediction = np.zeros((2, 6, 6, 6), bool)
    reference[1, 1, :4] = True
    prediction[1, 1, :2] = True
    assert scores(prediction, reference)["lesion_f1_iou"] == 0
    prediction[1, 1, 2] = True
    assert scores(prediction, reference)["lesion_f1_iou"] == 1
