"""Grids, files, bits and resampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from nibabel.processing import resample_from_to
from scipy.spatial.transform import Rotation

from flairflow.errors import ScanError
from flairflow.images.grid import Grid, Image, same_grid
from flairflow.images.masks import decode, encode, resolve
from flairflow.images.nifti import memory_map, read_image, read_labels, write_image
from flairflow.images.resample import crop, ras_grid, resample, resample_masks

OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [10, -7, 4], degrees=True).as_matrix() @ np.diag([-0.8, 0.9, 4.0])
OBLIQUE[:3, 3] = [40, -30, 12]


def smooth_image(shape: tuple[int, int, int], affine: np.ndarray) -> Image:
    """A function of world position, so that any grid's true values are known."""
    return Image(world_function(Grid(shape, affine)), affine)


def world_function(grid: Grid) -> np.ndarray:
    points = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1) @ grid.affine[:3, :3].T
    x, y, z = np.moveaxis(points + grid.affine[:3, 3], -1, 0)
    values: np.ndarray = (100 + 20 * np.sin(x / 15) + 10 * np.cos(y / 12) + z).astype(np.float32)
    return values


@given(shift=st.floats(0, 2), smallest=st.sampled_from([0.5, 1.0, 3.0]))
def test_same_grid_is_a_tolerance_relative_to_the_voxel(shift: float, smallest: float) -> None:
    affine = np.diag([smallest, smallest, 5.0, 1.0])
    moved = affine.copy()
    moved[0, 3] += shift * smallest
    if abs(shift - 0.1) > 1e-6:
        assert same_grid(Grid((9, 9, 9), affine), Grid((9, 9, 9), moved)) == (shift < 0.1)
    assert not same_grid(Grid((9, 9, 9), affine), Grid((9, 9, 8), affine))


def test_half_a_voxel_of_real_masks_is_another_grid(real_data: Path) -> None:
    folder = real_data / "real" / "masks_only" / "native_3d"
    brain, lesion = (read_labels(folder / f"patient01_{kind}.nii.gz") for kind in ("brain", "lesion"))
    assert brain.data.shape == lesion.data.shape
    assert not same_grid(brain.grid, lesion.grid)


@given(arrays.arrays(np.uint8, (3, 3, 3), elements=st.integers(0, 7)))
def test_bits_keep_overlaps_and_precedence_resolves_them(bits: np.ndarray) -> None:
    labels = ("A", "B", "C")
    masks = {label: decode(bits, label, labels) for label in labels}
    assert np.array_equal(encode(masks, labels), bits)
    classes = resolve(bits, labels, ("C", "A", "B"))
    expected = np.where(masks["C"], 3, np.where(masks["A"], 1, np.where(masks["B"], 2, 0)))
    assert np.array_equal(classes, expected)


def test_resampling_agrees_with_nibabel_where_nothing_gets_coarser() -> None:
    image = smooth_image((30, 32, 20), np.diag([2.0, 2.0, 3.0, 1.0]))
    target = Grid((25, 24, 30), np.array([[1.5, 0.1, 0, 5], [0, 1.6, 0, 6], [0, 0, 1.4, 7], [0, 0, 0, 1]]))
    theirs = resample_from_to(nib.Nifti1Image(image.data, image.affine), (target.shape, target.affine), order=1)
    ours = resample(image, target)
    assert np.abs(ours.data - theirs.get_fdata()).max() < 1e-3


def test_resampling_to_a_coarser_grid_averages_instead_of_picking() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (64, 64, 64)).astype(np.float32)
    coarse = resample(Image(noise, np.eye(4)), Grid((16, 16, 16), np.diag([4.0, 4.0, 4.0, 1.0])))
    assert coarse.data[2:-2, 2:-2, 2:-2].std() < 0.15


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_the_isotropic_grid_covers_the_scan_in_ras_order_and_keeps_its_axes(spacing: float) -> None:
    source = Grid((40, 44, 9), OBLIQUE)
    grid = ras_grid(source, spacing)
    assert nib.aff2axcodes(grid.affine) == ("R", "A", "S")
    assert grid.spacing == pytest.approx([spacing] * 3)
    assert np.array(grid.shape) * spacing == pytest.approx([40 * 0.8, 44 * 0.9, 9 * 4.0], abs=spacing)
    # Along its own axes: no column of the one is a mixture of the other's.
    cosines = np.abs((grid.affine[:3, :3] / grid.spacing).T @ (source.affine[:3, :3] / source.spacing))
    assert np.sort(cosines.ravel())[-3:] == pytest.approx([1, 1, 1])
    there = resample(smooth_image(source.shape, source.affine), grid)
    inner = (slice(3, -3),) * 3
    assert np.abs(there.data - world_function(grid))[inner].max() < 1.0


def test_cropping_keeps_world_positions() -> None:
    grid = ras_grid(Grid((40, 44, 9), OBLIQUE), 1.0)
    part = crop(grid, np.array([3, 4, 5]), np.array([13, 14, 15]))
    assert part.shape == (10, 10, 10)
    assert np.allclose(part.affine @ [0, 0, 0, 1], grid.affine @ [3, 4, 5, 1])


def test_masks_there_and_back_keep_their_volume() -> None:
    points = np.stack(np.meshgrid(*[np.arange(n) for n in (40, 40, 30)], indexing="ij"), -1) - [20, 20, 15]
    ball = (np.linalg.norm(points, axis=-1) < 9).astype(np.uint8)
    image = Image(ball | (ball << 1), np.diag([1.0, 1.0, 1.0, 1.0]))
    fine = resample_masks(image, 2, ras_grid(image.grid, 0.5))
    for bit in (0, 1):
        volume = ((fine.data >> bit) & 1).sum() * 0.125
        assert volume == pytest.approx(ball.sum(), rel=0.02)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_files_round_trip_and_say_nothing_of_the_person(tmp_path: Path, name: str) -> None:
    source = nib.Nifti1Image(np.ones((3, 4, 5), np.int16), OBLIQUE)
    source.header["descrip"], source.header["db_name"] = b"Jane Doe", b"1970-01-01"
    source.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe"))
    source.set_qform(OBLIQUE, 2)
    source.set_sform(OBLIQUE, 1)
    nib.save(source, tmp_path / "source.nii.gz")
    read = read_image(tmp_path / "source.nii.gz")
    write_image(tmp_path / name, Image(read.data > 0, read.affine), like=tmp_path / "source.nii.gz")
    written: Any = nib.load(tmp_path / name)
    assert np.allclose(written.affine, OBLIQUE, atol=1e-5)
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (2, 1)
    assert written.get_data_dtype() == np.uint8
    assert not written.header.extensions
    assert b"Jane" not in written.header.binaryblock
    assert list(tmp_path.glob(".*")) == []


def test_stored_integers_map_to_what_was_written(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(0, 2, (6, 7, 8)).astype(np.float32)
    write_image(tmp_path / "a.nii", Image(data, OBLIQUE), slope=1e-3)
    stored, slope, affine = memory_map(tmp_path / "a.nii")
    assert stored.dtype == np.int16
    assert isinstance(stored, np.memmap)
    assert np.abs(stored * slope - data).max() <= 0.51e-3
    assert np.allclose(affine, OBLIQUE, atol=1e-5)
    assert np.allclose(read_image(tmp_path / "a.nii").data, data, atol=0.51e-3)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("example4d.nii.gz", "not a three-dimensional"),
        ("functional.nii", "not a three-dimensional"),
        ("resampled_anat_moved.nii", "not finite"),
        ("nobody.nii", "file not found"),
    ],
)
def test_odd_real_headers_are_refused_with_a_reason(real_data: Path, name: str, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        read_image(real_data / "real" / "header_cases" / name)


@pytest.mark.parametrize("name", ["anatomical.nii", "someones_anatomy.nii.gz", "standard.nii.gz"])
def test_odd_real_headers_that_are_fine_are_read(real_data: Path, name: str) -> None:
    path = real_data / "real" / "header_cases" / name
    assert np.allclose(read_image(path).affine, nib.load(path).affine)  # type: ignore[attr-defined]
