"""Preprocessing on synthetic heads whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flairflow.cohort.scan import Mask, Scan
from flairflow.config import load_config
from flairflow.config.models import PreprocessingSettings
from flairflow.errors import ScanError
from flairflow.images.grid import Image
from flairflow.paths import Results
from flairflow.preprocessing.bias import correct_bias
from flairflow.preprocessing.prepare import prepare, prepare_masks
from flairflow.preprocessing.preprocess import read_prepared, write_prepared
from flairflow.shards.ledger import Row

AFFINE = np.diag([-2.0, 2.0, 4.0, 1.0])
SHAPE = (90, 100, 44)


def head() -> tuple[Image, np.ndarray]:
    """Two tissues in an ellipsoid (the inner one brighter), air around; and the ellipsoid as brain mask."""
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"), -1)
    radius = np.linalg.norm(points * [1.3, 1.2, 1.3], axis=-1)
    brain = radius < 1
    data = np.where(radius < 0.6, 120, np.where(brain, 80, 5)).astype(np.float32)
    data += np.random.default_rng(0).normal(0, 1.5, SHAPE).astype(np.float32)
    return Image(data, AFFINE), brain


def test_a_known_bias_field_is_taken_out() -> None:
    image, brain = head()
    x = np.linspace(-1, 1, SHAPE[0])[:, None, None]
    y = np.linspace(-1, 1, SHAPE[1])[None, :, None]
    biased = Image((image.data * np.exp(0.6 * x + 0.3 * y**2)).astype(np.float32), AFFINE)
    inner = brain & (image.data > 100)

    def variation(data: np.ndarray) -> float:
        return float(data[inner].std() / data[inner].mean())

    assert variation(biased.data) > 0.1
    assert variation(correct_bias(biased, brain, 4.0).data) < 0.035


@pytest.mark.parametrize("spacing", [2.0, 1.5])
def test_prepared_scans_are_isotropic_cropped_and_standardised(spacing: float) -> None:
    image, brain = head()
    settings = PreprocessingSettings(spacing=spacing, bias_correction=False)
    prepared = prepare([image, None], [None, None], brain, settings)
    assert prepared.grid.spacing == pytest.approx([spacing] * 3)
    assert prepared.there == (True, False)
    assert prepared.images.shape == (2, *prepared.grid.shape)
    values = prepared.images[0][prepared.brain]
    assert values.mean() == pytest.approx(0, abs=1e-3)
    assert values.std() == pytest.approx(1, abs=1e-3)
    assert not prepared.images[0][~prepared.brain].any()
    assert not prepared.images[1].any()
    assert prepared.brain.sum() * spacing**3 == pytest.approx(brain.sum() * 16, rel=0.02)
    edges = [np.any(prepared.brain, axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    assert all(edge[1:-1].all() for edge in edges)


def test_files_hold_a_prepared_scan_without_loss(tmp_path: Path) -> None:
    """What makes one pass and the way over files give the same masks, here on an oblique grid of odd voxels."""
    image, brain = head()
    turn = np.eye(4)
    turn[:2, :2] = np.array([[0.96, -0.28], [0.28, 0.96]])
    turn[:3, 3] = 1 / 3
    oblique = Image(image.data, turn @ np.diag([-1.9, 2.1, 4.3, 1]))
    settings = PreprocessingSettings(spacing=2.3, bias_correction=False)
    prepared = prepare([oblique, None], [None, None], brain, settings)
    config = load_config(
        {"labels": ["A"], "images": ["FLAIR", "T1w"], "datasets": {"ds": {"root": "x", "labels": {"A": {}}}}}
    )
    scan = Scan("ds_sub-1", "ds", "1", "", "p", {"FLAIR": "f", "T1w": ""}, {"A": Mask()})
    results = Results(tmp_path)
    outcome = write_prepared(scan, prepared, Row("ds_sub-1", "ok", ""), config, results)
    files = {role: path.relative_to(tmp_path).as_posix() for role, path in outcome.files.items()}
    again = read_prepared(scan, Row("ds_sub-1", "ok", "", files=files), results)
    assert np.array_equal(again.images, prepared.images) and np.array_equal(again.brain, prepared.brain)
    assert np.array_equal(again.grid.affine, prepared.grid.affine) and again.there == prepared.there
    assert np.array_equal(again.native.affine, prepared.native.affine) and again.native.shape == prepared.native.shape


def test_masks_follow_their_image() -> None:
    image, brain = head()
    prepared = prepare([image], [None], brain, PreprocessingSettings(spacing=2.0, bias_correction=False))
    bits = Image((image.data > 100).astype(np.uint8) << 1, AFFINE)
    mask = prepare_masks(bits, 2, prepared) >> 1
    brighter = prepared.images[0] > 0.5
    assert 2 * (mask & brighter).sum() / (mask.sum() + brighter.sum()) > 0.95


def test_what_cannot_be_a_brain_is_refused() -> None:
    image, brain = head()
    settings = PreprocessingSettings(spacing=2.0, bias_correction=False)
    with pytest.raises(ScanError, match="whole brain"):
        prepare([image], [None], np.zeros(SHAPE, bool), settings)
    with pytest.raises(ScanError, match="constant"):
        prepare([Image(np.ones(SHAPE, np.float32), AFFINE)], [None], brain, settings)
