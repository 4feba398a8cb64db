"""Metrics and the threshold rule, by hand and against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flairflow.evaluation.metrics import score
from flairflow.evaluation.threshold import CANDIDATES, best_threshold
from flairflow.registration.masks import carry, meaning

MASKS = arrays.arrays(bool, (4, 4, 4))


def test_scores_by_hand() -> None:
    reference = np.zeros((4, 4, 4), bool)
    prediction = reference.copy()
    reference[0, 0, :4] = True
    prediction[0, 0, 2:] = prediction[3, 3, :2] = True
    counted = np.ones_like(reference)
    found = score(prediction, reference, counted, voxel_ml=0.5)
    assert found == {
        "reference_ml": 2.0,
        "predicted_ml": 2.0,
        "dice": 0.5,
        "volume_error_ml": 0.0,
        "false_ml": None,
    }
    counted[3] = False
    assert score(prediction, reference, counted, 0.5)["dice"] == pytest.approx(2 * 2 / 6)


def test_an_empty_reference_is_scored_by_false_volume() -> None:
    empty = np.zeros((4, 4, 4), bool)
    full = np.ones_like(empty)
    assert score(full, empty, full, 0.001)["false_ml"] == pytest.approx(0.064)
    assert score(full, empty, full, 0.001)["dice"] is None
    assert score(empty, empty, full, 0.001)["false_ml"] == 0
    assert score(empty, full, full, 0.001)["dice"] == 0


@given(MASKS, MASKS)
def test_dice_is_symmetric_bounded_and_one_for_itself(first: np.ndarray, second: np.ndarray) -> None:
    counted = np.ones_like(first)
    one, other = score(first, second, counted, 1)["dice"], score(second, first, counted, 1)["dice"]
    if first.any() and second.any():
        assert one == other
        assert one is not None and 0 <= one <= 1
        assert score(first, first, counted, 1)["dice"] == 1


@given(st.integers(0, 1000))
def test_the_best_threshold_is_what_trying_all_finds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scans = []
    for _ in range(3):
        label = generator.random(200) < 0.2
        scans.append((generator.normal(0, 1, 200) + 2 * label, label))

    def dice(values: np.ndarray, label: np.ndarray, threshold: Any) -> float:
        predicted = values > threshold
        return float(2 * (predicted & label).sum() / (predicted.sum() + label.sum()))

    means = [np.mean([dice(*scan, threshold) for scan in scans]) for threshold in CANDIDATES]
    threshold, found = best_threshold(scans)
    assert found == pytest.approx(max(means))
    assert threshold == CANDIDATES[int(np.argmax(means))]


def test_mask_values_mean_what_the_configuration_says() -> None:
    values = np.array([0, 1, 2, 3])
    label, ignore = meaning(values, (), (2,))
    assert label.tolist() == [False, True, False, True]
    assert ignore.tolist() == [False, False, True, False]
    label, _ = meaning(values, (3,), ())
    assert label.tolist() == [False, False, False, True]


def test_a_carried_mask_lands_where_its_image_does() -> None:
    from flairflow.images.grid import Grid

    label = np.zeros((20, 20, 20), bool)
    label[5:10, 5:10, 5:10] = True
    shift = np.eye(4)
    shift[0, 3] = 3.0  # world points of the target lie 3 mm further right in the source
    carried, ignored = carry(label, np.zeros_like(label), np.eye(4), Grid((20, 20, 20), np.eye(4)), shift)
    assert np.array_equal(carried[2:7], label[5:10])
    assert carried.sum() == label.sum()
    assert not ignored.any()
