"""The stage evaluate, the threshold rule and the comparison, by hand and against plain loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flairflow.cohort.scan import Mask, Scan
from flairflow.comparison.scoring.evaluate import choose_thresholds, evaluate_thresholds
from flairflow.comparison.scoring.intensity_rules import CANDIDATES, TOLERATED_ML, best_thresholds
from flairflow.comparison.tables.ensembles import compare, ensemble_updates
from flairflow.config import load_config
from flairflow.images.grid import Grid, Image
from flairflow.images.nifti import write_image
from flairflow.paths import RULES, Results
from flairflow.preprocessing.prepare import Prepared
from flairflow.preprocessing.preprocess import write_prepared
from flairflow.registration.carried_masks import carry, meaning
from flairflow.shards.ledger import Row
from flairflow.training import selection
from flairflow.training.selection import class_score


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_the_best_thresholds_are_what_trying_all_finds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scans = []
    for _ in range(3):
        label = generator.random(200) < 0.2
        scans.append((generator.normal(0, 1, 200) + 2 * label - 4 * (generator.random(200) < 0.1), label, 0.02))
    scans.append((generator.normal(0, 1, 200), np.zeros(200, bool), 0.02))

    def mean_score(low: float, high: float) -> float:
        chosen = [((values > low) & (values <= high), label) for values, label, _ in scans]
        return float(np.mean([class_score(found, label, 0.02) for found, label in chosen]))

    one, two = best_thresholds(scans)
    candidates: list[float] = CANDIDATES.tolist()
    assert one[2] == pytest.approx(max(mean_score(low, np.inf) for low in candidates))
    assert one[2] == pytest.approx(mean_score(*one[:2])) and one[1] == np.inf
    every = [mean_score(low, high) for low in candidates for high in (*candidates, np.inf)]
    assert two[2] == pytest.approx(max(every)) == pytest.approx(mean_score(*two[:2]))


LABELS = {"labels": ["A"], "datasets": {"ds": {"root": "x", "labels": {"A": {}}}}}
SCAN = Scan("ds_sub-1", "ds", "1", "", "p", {"FLAIR": "f"}, {"A": Mask("mask", "m")}, split="train")


def prepared_row(results: Results, scores: np.ndarray, brain: np.ndarray, bits: np.ndarray, ignore: np.ndarray) -> Row:
    """A prepared scan of 2 mm with these z-scores, on files; its native grid has voxels of 1 mm."""
    native = Grid(tuple(2 * n for n in brain.shape), np.diag([1.0, 1.0, 1.0, 1.0]))  # type: ignore[arg-type]
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = 0.5
    made = Prepared(scores[None].astype(np.float32), (True,), brain, Grid(brain.shape, affine), native)
    files = write_prepared(SCAN, made, Row(SCAN.scan, "ok", ""), load_config(LABELS), results).files
    paths = {role: path.relative_to(results.root).as_posix() for role, path in files.items()}
    for role, data in (("bits", bits), ("ignore", ignore)):
        write_image(results.root / f"{role}.nii", Image(data.astype(np.uint8), affine))
        paths[role] = f"{role}.nii"
    return Row(SCAN.scan, "ok", "", files=paths, values={"brain_ml": made.brain_ml})


def test_ignored_voxels_have_no_say_in_the_thresholds(tmp_path: Path) -> None:
    scores, bits, ignore = np.zeros((3, 10, 10, 10))
    bits[2:5, 2:5, 2:5] = 1
    scores[bits > 0] = 2.0
    ignore[6:9, 2:9, 2:9] = 1
    scores[ignore > 0] = 3.0
    results = Results(tmp_path)
    row = prepared_row(results, scores, np.ones(bits.shape, bool), bits, ignore)
    table = choose_thresholds([(SCAN, row)], load_config(LABELS), results)
    assert list(table["rule"]) == list(RULES)
    assert table["training_score"].tolist() == [1.0, 1.0] and (table["low"] < 2).all()


def test_the_edge_of_the_brain_is_no_band_of_intensities(tmp_path: Path) -> None:
    points = np.stack(np.meshgrid(*[np.arange(20)] * 3, indexing="ij"), -1) - 9.5
    brain = np.linalg.norm(points, axis=-1) < 8
    bits, results = np.zeros(brain.shape), Results(tmp_path)
    native = Image(np.zeros((40, 40, 40), np.uint8), np.eye(4))
    write_image(tmp_path / "native.nii", native)
    registered = Row(SCAN.scan, "ok", "", files={"bits": "native.nii"})
    volumes = []
    for level in (2.5, 1.5):
        row = prepared_row(results, np.where(brain, level, 0.0), brain, bits, bits)
        outcome = evaluate_thresholds(SCAN, registered, row, {"A": (1.0, 2.0)}, load_config(LABELS), results)
        volumes.append(outcome.values["A predicted_ml"])
    assert volumes == [0.0, pytest.approx(brain.sum() * 0.008, rel=0.05)]


def test_lesion_free_scans_raise_the_thresholds() -> None:
    """Where tissue without a lesion is as bright as faint lesions are, a rule that calls it one is no good."""
    bright, faint = np.repeat([0.0, 1.0, 3.0], [900, 30, 70]), np.repeat([0.0, 1.0], [900, 100])
    with_lesion = (bright, bright >= 1, 0.1)
    assert best_thresholds([with_lesion])[0][0] < 1
    (low, _, score), _ = best_thresholds([with_lesion, (faint, np.zeros(1000, bool), 0.1)])
    assert low >= 1 and score == pytest.approx((2 * 70 / 170 + 1) / 2)
    assert TOLERATED_ML == selection.TOLERATED_ML


def test_without_a_lesion_to_learn_from_nothing_is_called_one() -> None:
    for low, high, dice in best_thresholds([(np.arange(5.0), np.zeros(5, bool), 1.0)]):
        assert low == high == np.inf and np.isnan(dice)


def test_the_comparison_keeps_lesion_free_scans_out_of_the_dice() -> None:
    nothing = np.nan
    rows = [(0.5, 0.2, 0.1, 1.0, -1.0, nothing, nothing), (0.7, 0.6, 0.3, 0.0, 3.0, nothing, nothing)]
    rows += [(nothing, nothing, nothing, nothing, 0.4, 2.0, 0.4), (nothing, nothing, nothing, nothing, 0.0, 0.0, 0.0)]
    names = ["dice", "lesion_f1", "lesion_f1_iou", "scan_sensitivity", "volume_error_ml", "false_lesions", "false_ml"]
    metrics = pd.DataFrame(rows, columns=names).assign(label="A", ensemble="m", dataset="ds")
    metrics["scan"] = metrics["participant"] = list("pqrs")
    metrics["absolute_volume_error_ml"] = metrics["volume_error_ml"].abs()
    table = compare(metrics, ["A", "B"], ["m", "one_threshold"], {"m": (400, 800)})
    found = table[table["label"] == "A"].iloc[0].to_dict()
    assert (found["lesion_scans"], found["lesion_free_scans"], found["false_scans"]) == (2, 2, 1)
    assert found["dice_mean"] == pytest.approx(0.6) and found["dice_sd"] == pytest.approx(0.1 * 2**0.5)
    assert found["lesion_f1_mean"] == pytest.approx(0.4) and found["lesion_f1_sd"] == pytest.approx(0.2 * 2**0.5)
    assert found["volume_error_ml_mean"] == pytest.approx(1.0)
    assert found["absolute_volume_error_ml_mean"] == pytest.approx(2.0) and found["missed_scans"] == 1
    assert found["lesion_f1_iou_mean"] == pytest.approx(0.2) and not found["other_scans"]
    assert 0 < found["dice_low"] < 0.5 and 0.7 < found["dice_high"] < 1
    assert found["false_lesions_mean"] == pytest.approx(1.0) and found["false_ml_mean"] == pytest.approx(0.2)
    assert (found["updates"], found["updates_before"]) == (400, 800)
    rule = table[(table["label"] == "A") & (table["ensemble"] == "one_threshold")].iloc[0]
    assert pd.isna(rule["updates"]) and pd.isna(rule["updates_before"])
    other = table[table["label"] == "B"].iloc[0]
    assert other["lesion_scans"] == other["lesion_free_scans"] == 0 and np.isnan(other["dice_mean"])


def test_updates_are_counted_per_seed(tmp_path: Path) -> None:
    def folder(part: str, seed: int, **record: int) -> Path:
        path = tmp_path / part / f"seed-{seed}"
        path.mkdir(parents=True)
        (path / "record.json").write_text(json.dumps({"seed": seed, **record}))
        return path

    # Two networks a seed, of which one went on from another; a record of before there was `updates_before`.
    folders = [folder("one", seed, updates=400, updates_before=100) for seed in (0, 5)]
    folders += [folder("two", seed, updates=200) for seed in (0, 5)]
    assert ensemble_updates(folders) == (600, 100)
    assert ensemble_updates(folders[:1]) == (400, 100)


def test_mask_values_mean_what_the_configuration_says() -> None:
    values = np.array([0, 1, 2, 3])
    label, ignore = meaning(values, (), (2,))
    assert label.tolist() == [False, True, False, True]
    assert ignore.tolist() == [False, False, True, False]
    label, _ = meaning(values, (3,), ())
    assert label.tolist() == [False, False, False, True]


def test_a_carried_mask_lands_where_its_image_does() -> None:
    label = np.zeros((20, 20, 20), bool)
    label[5:10, 5:10, 5:10] = True
    shift = np.eye(4)
    shift[0, 3] = 3.0  # world points of the target lie 3 mm further right in the source
    carried, ignored = carry(label, np.zeros_like(label), np.eye(4), Grid((20, 20, 20), np.eye(4)), shift)
    assert np.array_equal(carried[2:7], label[5:10])
    assert carried.sum() == label.sum()
    assert not ignored.any()
