"""The network that finds brains: what it reads of odd images, and what is made of its answer. Weights are random."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from flairflow.brain_mask.network import (
    LONGEST,
    STEP,
    FoundBrain,
    brain_mask,
    build_brain_network,
    doubt,
    find_brain,
    in_one_piece,
    network_input,
)
from flairflow.errors import ConfigError, ScanError
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import ras_grid, resample
from flairflow.registration.pose import world_points


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network of random weights."""
    import torch
    from safetensors.torch import save_file

    from flairflow.network.architecture import network_weights

    folder = tmp_path_factory.mktemp("brain")
    torch.manual_seed(0)
    save_file(network_weights(build_brain_network([4, 4, 4, 4, 4])), folder / "weights.safetensors")
    (folder / "plan.json").write_text(
        '{"filters": [4, 4, 4, 4, 4], "spacing": 2.0, "limit": 10.0, "made_by": "a test"}'
    )
    return folder


def head(spacing: tuple[float, float, float], size: tuple[int, int, int], centre: Array | None = None) -> Image:
    """A ball of 80 mm brighter towards the front and the top, in air."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(size) - 1) / 2 * spacing
    grid = Grid(size, affine)
    points = world_points(grid, np.ones(size, bool))
    inside = np.linalg.norm(points - (0 if centre is None else centre), axis=1) < 80
    values = np.where(inside, 300 + points[:, 1] + 0.5 * points[:, 2], 0)
    return Image(values.reshape(size).astype(np.float32), affine)


def reoriented(image: Image, codes: str) -> Image:
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    data = nib.orientations.apply_orientation(image.data, turn)
    return Image(data, image.affine @ nib.orientations.inv_ornt_aff(turn, image.data.shape))


@pytest.mark.parametrize("codes", ["LPS", "SAL", "PIR"])
def test_the_same_is_read_of_an_image_in_any_orientation(codes: str) -> None:
    image = head((1.0, 1.0, 4.0), (90, 100, 45))
    expected, found = network_input(image), network_input(reoriented(image, codes))
    np.testing.assert_allclose(found.data, expected.data, atol=1e-4)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-6)


@pytest.mark.parametrize("spacing", [(0.6, 0.6, 1.1), (0.9, 0.9, 8.0), (6.0, 1.5, 1.5)])
def test_what_is_read_lies_where_it_was(spacing: tuple[float, float, float]) -> None:
    size = tuple(int(200 / edge) for edge in spacing)
    found = network_input(head(spacing, (size[0], size[1], size[2])))
    assert all(edge % STEP == 0 and edge <= LONGEST for edge in found.data.shape)
    points = world_points(found.grid, np.ones(found.grid.shape, bool))
    deep = np.linalg.norm(points, axis=1) < 68
    shown = 300 + points[deep, 1] + 0.5 * points[deep, 2]
    values = found.data.ravel()[deep]
    slope, offset = np.polyfit(shown, values, 1)
    np.testing.assert_allclose(slope * shown + offset, values, atol=0.01)
    assert found.data.ravel()[np.linalg.norm(points, axis=1) > 92].std() < 1e-6


def test_scale_offset_and_missing_values_change_nothing() -> None:
    image = head((2.0, 2.0, 2.0), (96, 96, 96))
    expected = network_input(image)
    scored = Image((image.data - 310) / 40, image.affine)
    np.testing.assert_allclose(network_input(scored).data, expected.data, atol=1e-4)
    outside = np.where(image.data == 0, np.nan, image.data)
    outside[:3] = 0
    np.testing.assert_allclose(network_input(Image(outside, image.affine)).data, expected.data, atol=1e-4)
    # A stripped image in z-scores: its background is the mean of the brain.
    stripped = network_input(Image(np.where(image.data > 0, scored.data, 0), image.affine)).data
    assert 0.2 < stripped[0, 0, 0] < 0.8
    assert stripped.min() < 0.05


def test_a_tall_field_of_view_is_cut_at_the_neck() -> None:
    image = head((2.0, 2.0, 2.0), (90, 90, 180), np.array([0.0, 0.0, 90.0]))
    found = network_input(image)
    assert found.data.shape[2] == LONGEST
    top = world_points(found.grid, found.data > 0.5)[:, 2].max()
    assert top == pytest.approx(170, abs=4)


@pytest.mark.parametrize("values", [np.zeros((20, 20, 20)), np.full((20, 20, 20), np.nan)])
def test_an_image_of_nothing_is_refused(values: Array) -> None:
    with pytest.raises(ScanError, match=r"constant|finite"):
        network_input(Image(values, np.eye(4)))


@pytest.mark.parametrize(("codes", "thick"), [("RAS", 5.0), ("LSA", 1.0)])
def test_a_found_ball_is_a_ball_on_the_native_grid(codes: str, thick: float) -> None:
    native = reoriented(head((1.2, 1.2, thick), (130, 140, int(160 / thick))), codes)
    given = network_input(native)
    points = world_points(given.grid, np.ones(given.grid.shape, bool))
    distance = np.clip(60 - np.linalg.norm(points, axis=1), -10, 10).reshape(given.grid.shape).astype(np.float32)
    mask = brain_mask(FoundBrain(Image(distance, given.affine), 0.0), native.grid)
    places = world_points(native.grid, np.ones(native.grid.shape, bool))
    truth = (np.linalg.norm(places, axis=1) < 60).reshape(mask.shape)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.995


def test_the_network_answers_on_the_grid_of_the_image(model: Path) -> None:
    image = reoriented(head((1.0, 1.0, 3.0), (170, 180, 60)), "LPS")
    found = find_brain(image, model)
    again = find_brain(Image(image.data * 7 + 100, image.affine), model)
    np.testing.assert_allclose(again.distance.data, found.distance.data, atol=1e-2)
    assert found.volume_ml > 0
    mask = brain_mask(found, image.grid)
    assert mask.dtype == bool
    assert mask.shape == image.data.shape
    # Random weights give no distance.
    assert found.doubt > 0.3
    expected = resample(found.distance, ras_grid(image.grid, 3.0), cval=-1.0).data > 0
    assert (brain_mask(found, ras_grid(image.grid, 3.0)) == expected).mean() > 0.97


@pytest.mark.parametrize("codes", ["RAS", "LPI", "ASR"])
def test_what_was_padded_is_no_part_of_the_answer(model: Path, codes: str) -> None:
    """The network is asked for nothing beyond the image, and may answer anything there."""
    image = reoriented(head((2.0, 2.0, 5.0), (70, 90, 29)), codes)
    found = find_brain(image, model)
    assert found.distance.data.shape == (70, 90, 73)  # 145 mm of slices, and none of the padding to 80, 96 and 80
    corners = [found.distance.affine @ [*corner, 1.0] for corner in ((0, 0, 0), (69, 89, 72))]
    inside = np.array([np.linalg.inv(image.affine) @ corner for corner in corners])[:, :3]
    assert (inside > -0.5).all() and (inside < np.array(image.data.shape) - 0.5).all()


def test_the_network_in_the_box_finds_the_template_stripped_and_not() -> None:
    """On a head that nobody drew for training: the template's T1w, in two lights and without its skull."""
    from nilearn import datasets

    whole = datasets.load_mni152_template(resolution=2)
    brain = np.asarray(datasets.load_mni152_brain_mask(resolution=2).dataobj) > 0
    data, affine = np.asarray(whole.dataobj, np.float32), np.asarray(whole.affine, float)
    dark = np.where(data > 0, data.max() - data, 0)
    for image in (data, data * brain, dark * brain):
        mask = brain_mask(find_brain(Image(image, affine)), Image(image, affine).grid)
        assert 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.93


def test_doubt_tells_a_distance_from_a_smear() -> None:
    places = np.indices((64, 64, 64)).astype(np.float32) * 2 - 63
    true = np.clip(50 - np.linalg.norm(places, axis=0), -10, 10)
    assert doubt(true, in_one_piece(true), 2.0) < 0.1
    assert doubt(true / 3, in_one_piece(true / 3), 2.0) > 0.5
    two = np.where(places[0] < -20, true - 25, true)
    assert doubt(two, in_one_piece(two), 2.0) > 0.05


def test_a_brain_is_one_piece_without_holes() -> None:
    places = np.indices((40, 40, 40)).astype(np.float32)
    distance = 12 - np.linalg.norm(places - 18, axis=0)
    speck = 2 - np.linalg.norm(places - 36, axis=0)
    hole = np.linalg.norm(places - 18, axis=0) - 3
    one = in_one_piece(np.minimum(np.maximum(distance, speck), hole))
    np.testing.assert_array_equal(one > 0, distance > 0)


def test_a_folder_without_weights_is_named(tmp_path: Path, model: Path) -> None:
    image = head((2.0, 2.0, 2.0), (32, 32, 32))
    with pytest.raises(ConfigError, match=str(tmp_path)):
        find_brain(image, tmp_path)
    (tmp_path / "plan.json").write_text('{"filters": [4, 4, 8, 4, 4]}')
    (tmp_path / "weights.safetensors").write_bytes((model / "weights.safetensors").read_bytes())
    with pytest.raises(ConfigError, match="size mismatch"):
        find_brain(image, tmp_path)
