"""Preprocessing on synthetic heads whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from flairflow.config.models import PreprocessingSettings
from flairflow.errors import ScanError
from flairflow.images.grid import Image
from flairflow.preprocessing.bias import correct_bias
from flairflow.preprocessing.prepare import prepare, prepare_masks

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
