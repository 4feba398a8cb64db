"""Metrics of voxels and volumes, the paper's too: by hand, and against scikit-learn and scipy on random masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import f1_score, precision_score, recall_score

from masks import BRAIN_ML, known, random_masks, scores

BALL = np.linalg.norm(np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3)), axis=0) <= 2


@pytest.mark.parametrize("seed", range(6))
def test_voxels_are_counted_as_scikit_learn_does(seed: int) -> None:
    prediction, reference = random_masks(seed)
    found = scores(prediction, reference)
    flat = reference.ravel(), prediction.ravel()
    assert found["dice"] == found["dsc"] == found["dice_or_empty"] == pytest.approx(f1_score(*flat))
    assert found["pre"] == pytest.approx(precision_score(*flat))
    assert found["rec"] == pytest.approx(recall_score(*flat))


@pytest.mark.parametrize("seed", range(6))
def test_the_papers_tolerant_scores_are_what_dilating_and_eroding_gives(seed: int) -> None:
    prediction, reference = random_masks(seed)
    # Lesions at the edge of the image too: what lies outside of it is background.
    reference[:5, :6, :5] = reference[-7:, -5:, -6:] = True
    dilated = ndimage.binary_dilation(reference, BALL)
    eroded = ndimage.binary_erosion(reference, BALL)
    assert eroded.any()
    hits, false = (prediction & dilated).sum(), (prediction & ~dilated).sum()
    missed = (eroded & ~prediction).sum()
    found = scores(prediction, reference)
    assert found["dsc2"] == pytest.approx(2 * hits / (2 * hits + false + missed))
    assert found["pre2"] == pytest.approx(hits / (hits + false))
    assert found["rec2"] == pytest.approx(hits / (hits + missed))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.8, 4.0)])
def test_volumes_are_those_of_the_voxels(spacing: tuple[float, float, float]) -> None:
    prediction, reference = random_masks(1)
    voxel_ml = spacing[0] * spacing[1] * spacing[2] / 1000
    predicted, true = prediction.sum() * voxel_ml, reference.sum() * voxel_ml
    assert predicted != pytest.approx(true)
    found = scores(prediction, reference, spacing)
    assert (found["predicted_ml"], found["reference_ml"]) == pytest.approx((predicted, true))
    assert found["volume_error_ml"] == pytest.approx(predicted - true)
    assert found["absolute_volume_error_ml"] == pytest.approx(abs(predicted - true))
    assert found["afvd"] == pytest.approx(abs(predicted - true) / BRAIN_ML)
    assert found["wmh2017_avd_percent"] == pytest.approx(100 * abs(predicted - true) / true)
    empty = np.zeros_like(reference)
    assert scores(prediction, empty, spacing)["false_ml"] == pytest.approx(predicted)


def test_scores_by_hand() -> None:
    reference, prediction = np.zeros((2, 4, 4, 4), bool)
    reference[0, 0, :4] = True
    prediction[0, 0, 2:] = prediction[3, 3, :2] = True
    found = scores(prediction, reference, (10, 10, 5))
    hand = {
        "reference_ml": 2.0,
        "predicted_ml": 2.0,
        "dice": 0.5,
        "dice_or_empty": 0.5,
        "lesion_f1": 2 / 3,
        "lesion_recall": 1.0,
        "lesion_precision": 0.5,
        "volume_error_ml": 0.0,
        "lesion_count_error": 1.0,
        "pre": 0.5,
        "rec": 0.5,
        # The two voxels of the false lesion are further away than two voxels; eroded, the reference is gone.
        "dsc2": 2 / 3,
        "pre2": 0.5,
        "rec2": 1.0,
        "n_gt": 1.0,
        "n_ltp": 1.0,
        "n_lfp": 1.0,
        "n_lfn": 0.0,
        "scan_sensitivity": 1.0,
    }
    assert {name: found[name] for name in hand} == pytest.approx(hand)


def test_what_is_not_counted_is_in_neither_mask() -> None:
    prediction, reference = random_masks(2)
    counted = np.random.default_rng(0).random(reference.shape) < 0.7
    masked = scores(prediction & counted, reference & counted)
    assert scores(prediction, reference, counted=counted) == masked
    assert masked != scores(prediction, reference)
    assert scores(prediction & counted, reference & counted, counted=counted) == masked


def test_a_lesion_of_which_nothing_is_counted_is_neither_found_nor_absent() -> None:
    lesion = np.zeros((4, 4, 4), bool)
    lesion[0] = True
    assert set(scores(~lesion, lesion, counted=~lesion).values()) == {None}
    # Beside one that counts it is neither found nor missed.
    other = lesion.copy()
    other[2, 2, 2] = True
    found = scores(~lesion, other, counted=~lesion)
    assert found["lesion_recall"] == 1 and found["n_gt"] == 1 and found["reference_ml"] == pytest.approx(0.001)


def test_thin_lesions_that_are_missed_cost_nothing_in_the_papers_tolerant_dice() -> None:
    """As in their per-volume values: dsc2 and rec2 are 1 in 26 to 36 scans in which nothing is predicted."""
    reference = np.zeros((9, 9, 9), bool)
    reference[4, 4, 2:6] = True
    found = scores(np.zeros_like(reference), reference)
    assert (found["dsc2"], found["pre2"], found["rec2"], found["dsc"]) == (1, 1, 1, 0)
    reference[1:7, 1:7, 1:7] = True
    assert scores(np.zeros_like(reference), reference)["dsc2"] == 0


def test_without_a_brain_volume_there_is_no_share_of_it() -> None:
    from flairflow.images.grid import Grid
    from flairflow.metrics.compute import score_masks

    prediction, reference = random_masks(0)
    grid = Grid((22, 19, 14), np.eye(4))
    found = score_masks(prediction, reference, np.ones_like(reference), grid, float("nan"))
    assert found["afvd"] is None and known(found["dice"]) > 0
