"""Metrics and the threshold rule, by hand and against plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib import image

from flairflow.evaluation.comparison import compare, draw_comparison
from flairflow.evaluation.metrics import score
from flairflow.evaluation.threshold import CANDIDATES, best_thresholds
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
        "false_lesions": None,
        "false_ml": None,
    }
    counted[3] = False
    assert score(prediction, reference, counted, 0.5)["dice"] == pytest.approx(2 * 2 / 6)


def test_an_empty_reference_is_scored_by_false_lesions_and_volume() -> None:
    empty = np.zeros((4, 4, 4), bool)
    two = empty.copy()
    two[0, 0, 0] = two[1, 1, 1] = two[3, 3, 3] = True  # the first two touch by a corner
    assert score(two, empty, ~empty, 0.001)["false_lesions"] == 2
    assert score(empty, empty, ~empty, 0.001)["false_lesions"] == 0
    assert score(two, two, ~empty, 0.001)["false_lesions"] is None
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
@settings(max_examples=10, deadline=None)
def test_the_best_thresholds_are_what_trying_all_finds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scans = []
    for _ in range(3):
        label = generator.random(200) < 0.2
        scans.append((generator.normal(0, 1, 200) + 2 * label - 4 * (generator.random(200) < 0.1), label))

    def mean_dice(low: float, high: float) -> float:
        chosen = [((values > low) & (values <= high), label) for values, label in scans]
        return float(np.mean([2 * (p & label).sum() / (p.sum() + label.sum()) for p, label in chosen]))

    one, two = best_thresholds(scans)
    candidates: list[float] = CANDIDATES.tolist()
    assert one[2] == pytest.approx(max(mean_dice(low, np.inf) for low in candidates))
    assert one[2] == pytest.approx(mean_dice(*one[:2])) and one[1] == np.inf
    every = [mean_dice(low, high) for low in candidates for high in (*candidates, np.inf)]
    assert two[2] == pytest.approx(max(every)) == pytest.approx(mean_dice(*two[:2]))


def test_without_a_lesion_to_learn_from_nothing_is_called_one() -> None:
    for low, high, dice in best_thresholds([(np.arange(5.0), np.zeros(5, bool))]):
        assert low == high == np.inf and np.isnan(dice)


def test_the_comparison_keeps_lesion_free_scans_out_of_the_dice() -> None:
    nothing = np.nan
    rows = [(0.5, -1.0, nothing, nothing), (0.7, 3.0, nothing, nothing)]
    rows += [(nothing, 0.4, 2.0, 0.4), (nothing, 0.0, 0.0, 0.0)]
    metrics = pd.DataFrame(rows, columns=["dice", "volume_error_ml", "false_lesions", "false_ml"])
    table = compare(metrics.assign(label="A", ensemble="m"), ["A", "B"], ["m"])
    found = table[table["label"] == "A"].iloc[0].to_dict()
    assert (found["lesion_scans"], found["lesion_free_scans"], found["false_scans"]) == (2, 2, 1)
    assert found["dice_mean"] == pytest.approx(0.6) and found["dice_sd"] == pytest.approx(0.1 * 2**0.5)
    assert found["volume_error_ml_mean"] == pytest.approx(1.0)
    assert found["false_lesions_mean"] == pytest.approx(1.0) and found["false_ml_mean"] == pytest.approx(0.2)
    other = table[table["label"] == "B"].iloc[0]
    assert other["lesion_scans"] == other["lesion_free_scans"] == 0 and np.isnan(other["dice_mean"])


def test_the_comparison_is_drawn_with_and_without_scores(tmp_path: Path) -> None:
    metrics = pd.DataFrame([("A", "m", 0.5, np.nan)], columns=["label", "ensemble", "dice", "false_ml"])
    draw_comparison(tmp_path / "some.png", metrics, ["A", "B"], ["m", "one_threshold"])
    some = image.imread(tmp_path / "some.png")
    draw_comparison(tmp_path / "none.png", metrics[:0], ["A", "B"], ["m", "one_threshold"])
    none = image.imread(tmp_path / "none.png")
    assert some.shape == none.shape and some.shape[1] > 1000
    assert (some != none).any(axis=-1).sum() > 20


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
