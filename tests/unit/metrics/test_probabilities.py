"""Metrics of probability maps: by hand, and against scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torchmetrics.classification import BinaryCalibrationError

from flairflow.metrics.compute import score_probabilities
from flairflow.metrics.probabilities import average_precision, calibration_error
from masks import random_masks


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("steps", [None, 10])
def test_average_precision_is_scikit_learns(seed: int, steps: int | None) -> None:
    generator = np.random.default_rng(seed)
    _, reference = random_masks(seed)
    truth = reference.ravel()
    probabilities = np.clip(generator.normal(0.25, 0.3, truth.size) + 0.3 * truth, 0, 1).astype(np.float32)
    assert (probabilities[truth] == 0).any() and (probabilities == 1).any()  # ties at both ends
    if steps:
        probabilities = (np.round(probabilities * steps) / steps).astype(np.float32)
    assert average_precision(probabilities, truth) == pytest.approx(average_precision_score(truth, probabilities))


@pytest.mark.parametrize("seed", range(6))
def test_calibration_error_is_torchmetrics(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.beta(0.3, 2, 5000).astype(np.float32)
    truth = generator.random(5000) < probabilities**2
    theirs = BinaryCalibrationError(n_bins=15)(torch.from_numpy(probabilities), torch.from_numpy(truth).int())
    assert calibration_error(probabilities, truth) == pytest.approx(float(theirs), abs=1e-5)


def test_probabilities_by_hand() -> None:
    probabilities = np.array([0.9, 0.8, 0.8, 0.1, 0.0], np.float32)
    truth = np.array([True, False, True, False, True])
    # At 0.9: recall 1/3, precision 1; at 0.8: 2/3 and 2/3; at 0.0: 1 and 3/5.
    assert average_precision(probabilities, truth) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # Bins of 1/15: {0.9}, {0.8, 0.8}, {0.1}, {0.0}.
    assert calibration_error(probabilities, truth) == pytest.approx((0.1 + 0.6 + 0.1 + 1.0) / 5)
    # What is certain shares the last bin.
    assert calibration_error(np.array([1.0, 0.95], np.float32), np.array([False, True])) == pytest.approx(0.475)
    assert calibration_error(truth.astype(np.float32), truth) == 0
    assert average_precision(truth.astype(np.float32), truth) == 1


def test_what_is_ignored_has_no_say_and_calibration_is_that_of_the_brain() -> None:
    generator = np.random.default_rng(0)
    shape = (6, 6, 6)
    probabilities, reference = generator.random(shape).astype(np.float32), generator.random(shape) < 0.2
    counted, brain = generator.random(shape) < 0.8, np.zeros(shape, bool)
    brain[1:5] = True
    probabilities[~brain] = 0
    found = score_probabilities(probabilities, reference, counted, brain)
    assert found["average_precision"] == found["ap"] == average_precision(probabilities[counted], reference[counted])
    inside = counted & brain
    assert found["calibration_error"] == calibration_error(probabilities[inside], reference[inside])
    changed = np.where(counted, probabilities, 1 - probabilities)
    assert score_probabilities(changed, reference ^ ~counted, counted, brain) == found
    assert set(score_probabilities(probabilities, ~counted, counted, brain).values()) == {None}


def test_raising_a_voxel_that_is_no_lesion_never_helps() -> None:
    generator = np.random.default_rng(1)
    truth = generator.random(300) < 0.1
    probabilities = generator.random(300).astype(np.float32)
    before = average_precision(probabilities, truth)
    for voxel in np.flatnonzero(~truth):
        probabilities[voxel] = max(probabilities[voxel], 0.7)
        after = average_precision(probabilities, truth)
        assert after <= before + 1e-12
        before = after
