"""Drawn heads: the template as an anatomy, what is drawn of it, and training on it that survives being killed."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from flairflow.brain_mask.network import load_brain_network
from flairflow.config.models import DefaultModelsSettings
from flairflow.errors import ConfigError
from flairflow.images.grid import Grid, Image
from flairflow.network.architecture import build_network, load_network_weights, network_weights
from flairflow.network.model import load_model
from flairflow.simulation.heads.acquire import Protocol, sample_slices
from flairflow.simulation.heads.anatomies import NAMES, STEP, Anatomy, standard_mask, template_anatomy
from flairflow.simulation.heads.draw import draw_brain, draw_whole_head
from flairflow.simulation.heads.lesions import Shapes
from flairflow.training.default_models import examples, make
from flairflow.training.default_models.brain import distance_loss
from flairflow.training.default_models.examples import Brains, Material, WholeHeads
from flairflow.training.default_models.label_maps import load_anatomies
from flairflow.training.default_models.lesions import NETWORK, WEIGHT, lesion_loss, without_weights
from flairflow.training.default_models.loop import Recipe, learn


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return template_anatomy()


@pytest.fixture(scope="module")
def material(anatomy: Anatomy) -> Material:
    ball = np.zeros((12, 12, 12), np.uint8)
    ball[2:-2, 2:-2, 2:-2] = 255
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (24.0, -20.0, 20.0)
    return Material([anatomy], Shapes([], [Image(ball, affine)]))


def test_the_template_has_a_brain_of_a_persons_size(anatomy: Anatomy) -> None:
    litres = (anatomy.surface > 0).sum() / 1e6
    assert 1.2 < litres < 2.0
    ventricles = (anatomy.tissues == NAMES.index("ventricle")).sum() / 1e3
    assert 5 < ventricles < 80
    # The template's coordinates: the middle of the ventricles lies near the midline, a little above the origin.
    where = anatomy.ventricle == 0
    centre = anatomy.template[:, where].astype(float).mean(axis=1)
    assert np.abs(centre - [0, -15, 12]).max() < 10


def test_distances_are_to_the_surface(anatomy: Anatomy) -> None:
    along = anatomy.surface[anatomy.surface.shape[0] // 2, anatomy.surface.shape[1] // 2].astype(float) * STEP
    inside = np.flatnonzero(along > 0)
    top = inside[-1]
    # Going up through the vertex, a mm further is a mm further from the surface, or less where it curves.
    steps = along[top - 5 : top + 5] - along[top - 4 : top + 6]
    assert ((steps > 0.4) & (steps < 1.3)).all()


def test_a_head_is_the_same_for_the_same_seed_and_another_for_another(material: Material) -> None:
    first, again, other = (
        draw_whole_head(np.random.default_rng(seed), material.anatomies[0], material.shapes, 4.0) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.image, again.image)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_drawn_brains_have_lesions_that_do_not_overlap(material: Material) -> None:
    found = np.zeros(2)
    for seed in range(6):
        head = draw_brain(np.random.default_rng(seed), material.anatomies[0], material.shapes, 3.0)
        assert np.isfinite(head.image).all()
        assert (head.wmh + head.isl).max() < 1.3  # slices blur both alike
        assert not ((head.wmh >= 0.5) & (head.isl > 0.5)).any()
        # What is lesion lies within the brain, but for what thick slices smear over its surface.
        lesion = (head.wmh + head.isl) > 0.5
        assert not lesion.any() or head.surface[lesion].min() > -6
        found += [(head.wmh > 0.5).any(), (head.isl > 0.5).any()]
    assert (found > 0).all()


def test_slices_average_what_they_cover() -> None:
    grid_step = 1.0
    volume = np.zeros((1, 4, 4, 40), np.float32)
    volume[..., 18:22] = 1.0
    grid = Grid((4, 4, 40), np.diag([grid_step, grid_step, grid_step, 1.0]))
    seen = sample_slices(np.random.default_rng(0), volume, grid, Protocol((1.0, 1.0, 6.0), (1.0, 1.0, 6.0), 2))
    assert seen.max() < 0.8
    assert seen.sum() == pytest.approx(volume.sum(), rel=0.25)
    untouched = sample_slices(np.random.default_rng(0), volume, grid, Protocol((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), 2))
    np.testing.assert_array_equal(untouched, volume)


def test_examples_are_what_the_networks_read(material: Material) -> None:
    given, truth = WholeHeads(material, 0, 4.0)[3]
    assert given.shape[2:] == truth.shape[1:] and all(size % 16 == 0 for size in truth.shape[1:])
    inside = truth > 0
    assert 0.3e6 < float(inside.sum()) * 64 < 2.2e6  # mm^3; the field of view may cut it
    assert given.min() >= -0.5 and given.max() <= 1.5
    images, classes = Brains(material, 0, 3.0, 32, 2)[1]
    assert images.shape == (2, 1, 32, 32, 32) and classes.shape == (2, 32, 32, 32)
    assert set(np.unique(classes.numpy())) <= {0, 1, 2}


def test_training_goes_on_where_it_was_killed(material: Material, tmp_path: Path) -> None:
    examples = Brains(material, 0, 4.0, 16, 2)

    def trained(work: Path, *updates: int) -> dict[str, torch.Tensor]:
        for count in updates:
            torch.manual_seed(0)
            network = torch.nn.Conv3d(1, 3, 3, padding=1)
            # A longer run goes on from the checkpoint of a shorter one, whose rate had not begun to fall.
            recipe = Recipe(count, batch=1, falling=0.0, workers=0)
            weights = learn(network, examples, lambda net, batch: lesion_loss(net(batch[0]), batch[1]), recipe, work)
        return weights

    longer = trained(tmp_path / "a", 4, 8)
    assert (tmp_path / "a" / "last.ckpt").exists()
    assert torch.load(tmp_path / "a" / "last.ckpt", weights_only=True)["done"] == 8
    shorter = trained(tmp_path / "b", 4)
    assert not torch.equal(longer["weight"], shorter["weight"])
    again = trained(tmp_path / "c", 4, 8)
    torch.testing.assert_close(longer["weight"], again["weight"])


def test_the_distance_loss_asks_nothing_where_the_image_ends() -> None:
    truth = torch.linspace(-12, 12, 25).reshape(1, 1, 1, 25).repeat(1, 2, 2, 1)
    right = truth.clone()
    assert float(distance_loss(right, truth, 10.0)) < 0.3
    cut = truth.clone()
    cut[:, 0] = torch.nan
    wrong_there = right.clone()
    wrong_there[:, 0] = 100.0
    torch.testing.assert_close(distance_loss(wrong_there, cut, 10.0), distance_loss(right, cut, 10.0))
    assert float(distance_loss(right + 2.0, truth, 10.0)) > float(distance_loss(right, truth, 10.0))


def test_the_lesion_loss_by_hand() -> None:
    classes = torch.zeros(1, 10, 10, 10, dtype=torch.int64)
    logits = torch.zeros(1, 3, 10, 10, 10)
    logits[:, 0] = 20.0
    assert float(lesion_loss(logits, classes)) < 1e-6
    # Ten false voxels of a thousand, 20 short of the truth, and no lesion that could be missed.
    logits[:, 1].view(-1)[:10] = 40.0
    assert float(lesion_loss(logits, classes)) == pytest.approx(20 * 10 / 1000, rel=1e-3)
    # Twenty voxels of WMH of which ten are found: a Dice of (2 * 10 + 1) / (10 + 20 + 1); missed ones weigh WEIGHT.
    classes.view(-1)[:20] = 1
    missed = 20 * WEIGHT * 10 / (980 + 20 * WEIGHT)
    assert float(lesion_loss(logits, classes)) == pytest.approx(missed + 1 - 21 / 31, rel=1e-3)


def test_the_weighting_is_taken_off_again() -> None:
    """Odds of 3 : 1 for a lesion that was counted three times are even ones."""
    network = build_network(NETWORK, 1, 3)
    weights = without_weights(network_weights(network))
    off = network_weights(network)["output_block.conv.conv.bias"] - weights["output_block.conv.conv.bias"]
    torch.testing.assert_close(off.exp(), torch.tensor([1.0, WEIGHT, WEIGHT]))


def test_both_models_are_made_again(anatomy: Anatomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `snakemake default_models` does, in one update each and from the template's head alone, which is at hand."""
    monkeypatch.setattr(make, "HEADS", 1)
    monkeypatch.setattr(examples, "template_anatomy", lambda: anatomy)
    settings = DefaultModelsSettings(brain_updates=1, brain_spacing=4.0, lesion_updates=1)
    make.make_models(settings, tmp_path, tmp_path / "work", threads=2)
    made = load_model(tmp_path / "default")
    assert made.plan.labels == ("WMH", "ISL") and made.record.updates == 1
    assert {tensor.dtype for tensor in made.weights.values()} == {torch.float16}
    assert made.record.history[0]["brains"] == 1.0
    load_network_weights(build_network(made.plan.network, 1, 3), made.weights)
    _, plan = load_brain_network(tmp_path / "brain")
    assert plan.spacing == 4.0
    assert json.loads((tmp_path / "brain" / "record.json").read_text())["updates"] == 1


def test_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no label map"):
        load_anatomies(tmp_path, tmp_path / "cache")
    path = tmp_path / "empty.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), path)
    with pytest.raises(ConfigError, match="empty mask"):
        standard_mask(path)
