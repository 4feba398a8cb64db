"""What benchmarks/real does to scans and measures on them, on a head made here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from flairflow.images.grid import Array, Grid, Image
from flairflow.preprocessing.prepare import Prepared


@pytest.fixture(scope="module")
def benchmark(repository: Path) -> tuple[ModuleType, ModuleType, ModuleType]:
    sys.path.insert(0, str(repository / "benchmarks" / "real"))
    import baselines  # type: ignore[import-not-found]
    import cards  # type: ignore[import-not-found]
    import variants  # type: ignore[import-not-found]

    return variants, baselines, cards


def centre(image: Image) -> Array:
    """Where the bright part of an image lies in the world."""
    voxels = np.argwhere(image.data > image.data.min() + 0.5 * np.ptp(image.data))
    place: Array = image.affine[:3, :3] @ voxels.mean(axis=0) + image.affine[:3, 3]
    return place


def test_variants_are_the_same_head(benchmark: tuple[ModuleType, ModuleType, ModuleType]) -> None:
    data = np.zeros((40, 50, 30), np.float32)
    data[12:28, 20:40, 8:20] = 100.0
    affine = np.array([[-1.0, 0.1, 0, 50], [0.1, 1.0, 0, -60], [0, 0, 2.0, 10], [0, 0, 0, 1]])
    made = benchmark[0].variants(Image(data, affine), data > 0)
    assert set(made) == {"as it is", "reoriented", "resampled", "rescaled", "stripped", "sheared"}
    volume = float((data > 50).sum()) * Image(data, affine).grid.voxel_ml
    for name, image in made.items():
        bright = image.data > image.data.min() + 0.5 * np.ptp(image.data)
        assert float(bright.sum()) * image.grid.voxel_ml == pytest.approx(volume, rel=0.1), name
        assert np.allclose(centre(image), centre(made["as it is"]), atol=0.7), name
    directions = made["sheared"].affine[:3, :3] / made["sheared"].grid.spacing
    assert abs(directions[:, 1] @ directions[:, 2]) > 0.1, "the header says that it is sheared"


def test_rules_find_bright_spots_in_white_matter(benchmark: tuple[ModuleType, ModuleType, ModuleType]) -> None:
    rules = benchmark[1]
    rng = np.random.default_rng(0)
    shape = (40, 40, 40)
    edge = np.abs(np.indices(shape) - 19.5).max(axis=0)
    brain, white = edge < 18, edge < 12
    scores = np.where(white, -0.3, 0.3) + rng.normal(0, 0.2, shape)
    known = np.zeros(shape, bool)
    known[15:20, 15:20, 15:20] = True
    scores[known] = 3.0
    scores[2:5, 2:5, 2:5] = 3.0  # as bright, in the cortex
    grid = Grid(shape, np.eye(4))
    prepared = Prepared((scores * brain)[None].astype(np.float32), (True,), brain, grid, grid)
    tissue = rules.Tissue(prepared, (brain & ~white).astype(np.float32), white.astype(np.float32))
    for rule in (rules.threshold_in_white_matter, rules.outliers):
        said, (mask,) = rule([(tissue, known)])
        assert rules.dice(mask, known) > 0.95 and not mask[:6, :6, :6].any(), said


def test_a_card_says_what_was_measured_and_learnt_from(
    benchmark: tuple[ModuleType, ModuleType, ModuleType],
    real_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = benchmark[2]
    folder = tmp_path / "default"
    folder.mkdir()
    (folder / "plan.json").write_text('{"network": {"filters": [4, 8]}, "patch": 32}')
    (folder / "record.json").write_text('{"seed": 3, "updates": 50, "history": [{"update": 1}], "best_score": null}')
    monkeypatch.setattr(cards, "MODELS", tmp_path)
    cards.renew_cards(real_data, {"Every other FLAIR": "| measured |"})
    first = (folder / "MODEL_CARD.md").read_text()
    assert "| measured |" in first and "| updates | 50 |" in first and "| network filters | 4 8 |" in first
    assert "BBillot/SynthSeg@" in first and "Apache-2.0" in first and "CC-BY" in first and "no medical device" in first
    cards.renew_cards(real_data, {})
    assert (folder / "MODEL_CARD.md").read_text() == first, "figures stay until they are measured again"
