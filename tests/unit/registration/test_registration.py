"""Registration on images made here: conversions, files, and known poses found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from flairflow.brain_mask.methods import Brain, reference_brain
from flairflow.cohort.scan import Mask, Scan
from flairflow.config import load_config
from flairflow.config.models import RegistrationSettings
from flairflow.errors import ScanError
from flairflow.images.ants import from_ants, orthonormal, to_ants
from flairflow.images.grid import Array, Grid, Image, same_grid
from flairflow.images.nifti import read_labels, write_image
from flairflow.images.resample import ras_grid, resample
from flairflow.images.transforms import read_transform, write_transform
from flairflow.paths import Results
from flairflow.preprocessing.preprocess import preprocess_scan
from flairflow.registration.from_brain import align_brain
from flairflow.registration.pose import information, world_points
from flairflow.registration.register import Registered, register_scan, registration_values
from flairflow.registration.rigid import align_rigid
from flairflow.registration.template import TemplateAlignment, align_to_template, load_template, template_brain_mask
from flairflow.shards.ledger import Row

POINTS = np.random.default_rng(0).uniform(-80, 80, (200, 3))


def moved(degrees: tuple[float, float, float], shift: tuple[float, float, float], scale: float = 1.0) -> Array:
    """A 4x4 matrix: rotation vector in degrees, scale, shift in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees)).as_matrix() * scale
    matrix[:3, 3] = shift
    return matrix


def apply(matrix: Array, points: Array) -> Array:
    result: Array = points @ matrix[:3, :3].T + matrix[:3, 3]
    return result


def error(first: Array, second: Array, points: Array) -> float:
    """Mean distance in mm between where two matrices bring points."""
    return float(np.linalg.norm(apply(first, points) - apply(second, points), axis=1).mean())


@pytest.fixture(scope="module")
def flair() -> Image:
    """A FLAIR-like head on a 2.5 mm grid: the template inside a dim scalp."""
    template = load_template(2.0)
    grid = ras_grid(Grid(template.image.data.shape, template.image.affine), 2.5)
    data = resample(template.image, grid).data
    brain = resample(template.mask, grid).data
    places = world_points(grid, np.ones(grid.shape, bool)).reshape(*grid.shape, 3)
    radius = np.linalg.norm((places - [0, -18, 8]) / [84, 102, 88], axis=-1)
    data[(radius > 0.94) & (radius < 1.0) & (brain < 0.1)] = 0.4
    noise = np.random.default_rng(1).normal(0, 0.02, grid.shape)
    return Image(np.abs(data + noise).astype(np.float32) * 300, grid.affine)


def test_transform_file_means_the_same_to_ants(tmp_path: Path) -> None:
    import ants

    matrix = moved((10, -20, 5), (12, -7, 30), 1.1)
    write_transform(tmp_path / "xfm.txt", matrix)
    np.testing.assert_allclose(read_transform(tmp_path / "xfm.txt"), matrix, atol=1e-9)
    theirs = ants.read_transform(str(tmp_path / "xfm.txt"))
    flip = np.array([-1, -1, 1])
    for point in POINTS[:20]:
        found = np.array(theirs.apply_to_point(list(point * flip))) * flip
        np.testing.assert_allclose(found, apply(matrix, point[np.newaxis])[0], atol=1e-4)


def test_transform_with_a_centre_is_read(tmp_path: Path) -> None:
    path = tmp_path / "xfm.txt"
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: MatrixOffsetTransformBase_double_3_3\n"
        "Parameters: 0 -1 0 1 0 0 0 0 1 1 2 3\nFixedParameters: 10 20 30\n"
    )
    # LPS: the centre goes to itself and the translation.
    np.testing.assert_allclose(apply(read_transform(path), np.array([[-10.0, -20.0, 30.0]])), [[-11, -22, 33]])


@pytest.mark.parametrize("text", ["", "hello", "#Insight Transform File V1.0\nTransform: BSpline\nParameters: 1\n"])
def test_other_files_are_no_transform(tmp_path: Path, text: str) -> None:
    (tmp_path / "xfm.txt").write_text(text)
    with pytest.raises(ScanError, match=r"xfm\.txt"):
        read_transform(tmp_path / "xfm.txt")
    with pytest.raises(ScanError, match=r"absent\.txt"):
        read_transform(tmp_path / "absent.txt")


def test_images_go_to_ants_and_back() -> None:
    affine = moved((20, 5, -10), (-50, 60, 10)) @ np.diag([-0.7, 0.8, 3.0, 1.0])
    image = Image(np.random.default_rng(2).random((5, 6, 7)).astype(np.float32), affine)
    there = to_ants(image)
    back = from_ants(there)
    np.testing.assert_array_equal(back.data, image.data)
    np.testing.assert_allclose(back.affine, affine, atol=1e-6)
    place = np.array(there.origin) + np.asarray(there.direction) @ (np.array(there.spacing) * [1, 2, 3])
    np.testing.assert_allclose(place * [-1, -1, 1], apply(affine, np.array([[1.0, 2.0, 3.0]]))[0], atol=1e-5)


def test_sheared_grids_become_orthonormal_about_their_centre() -> None:
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[0, 2] = 0.02
    grid = orthonormal(Grid((11, 11, 11), affine))
    directions = grid.affine[:3, :3] / grid.spacing
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(apply(grid.affine, np.full((1, 3), 5.0)), apply(affine, np.full((1, 3), 5.0)))
    assert same_grid(grid, Grid((11, 11, 11), affine), 0.3)


def test_information_is_near_the_correlation_of_normal_values() -> None:
    generator = np.random.default_rng(3)
    first, second = generator.normal(size=(2, 50_000))
    assert information(first, second) < 0.05
    assert information(first, 0.6 * first + 0.8 * second) == pytest.approx(0.6, abs=0.03)


def test_rigid_pose_is_found_again_in_another_contrast(flair: Image) -> None:
    pose = moved((12, -8, 15), (20, -35, 25))
    # Inverted within the head, as T1w is to FLAIR; on a grid of its own.
    other = Image(np.where(flair.data > 60, 400 - flair.data, flair.data), flair.affine)
    grid = ras_grid(flair.grid, 2.2)
    moving = Image(resample(other, grid).data, pose @ grid.affine)
    found = align_rigid(moving, flair, seed=0, minimum_quality=0.3)
    assert error(found.matrix, pose, brain_points()) < 0.5
    assert found.quality > 0.3


def test_template_pose_is_found_again(flair: Image, tmp_path: Path) -> None:
    pose = moved((20, 0, -10), (50, 20, -30), 1.06)
    scan = Image(flair.data, pose @ flair.affine)
    found = align_to_template(scan, kind="syn", seed=0, minimum_quality=0.3)
    assert error(found.matrix, pose, brain_points()) < 1.0
    assert found.quality > 0.5
    mask = template_brain_mask(found, scan)
    truth = resample(load_template(2.0).mask, scan.grid, np.linalg.inv(pose)).data > 0.5
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.95
    files = found.save(tmp_path / "sub-01_", "FLAIR")
    assert all(path.exists() for path in files.values())
    np.testing.assert_allclose(read_transform(files["to_template"]), found.matrix, atol=1e-9)
    assert found.warp is not None and "template_inverse_warp" in files


@pytest.mark.parametrize("degrees", [(10, 0, -5), (180, 0, 0), (90, 20, 10)])
def test_a_known_brain_is_aligned_however_its_header_calls_the_axes(
    flair: Image, degrees: tuple[float, float, float]
) -> None:
    pose = moved(degrees, (50, 20, -30), 1.06)
    scan = Image(flair.data, pose @ flair.affine)
    found = align_brain(scan, brain_of(flair), kind="affine", seed=0)
    assert error(found.matrix, pose, brain_points()) < 1.0
    assert found.quality > 0.6


@pytest.mark.parametrize("part", [slice(0, 33), slice(20, 52)])
def test_a_part_of_a_brain_is_aligned_to_its_place(flair: Image, part: slice) -> None:
    affine = flair.affine.copy()
    affine[:3, 3] += affine[:3, 2] * part.start
    slab, brain = Image(flair.data[:, :, part], affine), brain_of(flair)[:, :, part]
    found = align_brain(slab, brain, kind="affine", seed=0)
    shown = world_points(slab.grid, brain)
    assert error(np.linalg.inv(found.matrix), np.eye(4), shown) < 4.0
    assert found.quality > 0.4
    again = align_brain(slab, brain, kind="affine", seed=0).matrix
    np.testing.assert_allclose(again, found.matrix, atol=1e-6)  # in one process ANTs repeats itself to some 1e-10


def test_a_wrong_brain_lowers_the_quality(flair: Image) -> None:
    brain = brain_of(flair)
    upper = brain.copy()
    upper[:, :, : np.argwhere(brain)[:, 2].mean().astype(int)] = False
    assert align_brain(flair, upper, kind="affine", seed=0).quality < 0.3
    head = ndimage.binary_dilation(brain, iterations=10)
    assert align_brain(flair, head, kind="affine", seed=0).quality < 0.3
    noise = np.random.default_rng(5).random(brain.shape)
    assert align_brain(Image(noise, flair.affine), brain, kind="affine", seed=0).quality < 0.3
    with pytest.raises(ScanError, match="empty"):
        align_brain(flair, np.zeros_like(brain), kind="affine", seed=0)


def test_a_doubtful_brain_is_flagged(flair: Image) -> None:
    alignment = TemplateAlignment(np.eye(4), 0.8, 432)
    noted = [
        registration_values(
            Registered({"FLAIR": flair}, alignment, {}, Brain(brain_of(flair), doubt)), RegistrationSettings()
        )
        for doubt in (None, 0.1, 0.9)
    ]
    assert [values["brain_doubt"] for values in noted] == [None, 0.1, 0.9]
    assert [values["flag"] for values in noted] == [None, None, "doubtful brain mask (0.90)"]
    assert all(1500 < float(str(values["brain_ml"])) < 2200 for values in noted)
    assert reference_brain(flair, Path("flair.nii"), "template") is None


def test_the_stage_starts_from_a_provided_brain_and_delivers_it(flair: Image, tmp_path: Path) -> None:
    write_image(tmp_path / "flair.nii.gz", flair)
    write_image(tmp_path / "mask.nii.gz", Image(brain_of(flair), flair.affine))
    dataset = {"root": str(tmp_path), "labels": {"A": {}}, "brain_mask": {"suffix": "mask"}}
    values = {"labels": ["A"], "datasets": {"ds": dataset}, "preprocessing": {"brain_mask": "provided"}}
    config, results = load_config(values), Results(tmp_path / "results")
    masks = {"A": Mask("missing")}
    scan = Scan("ds_sub-1", "ds", "1", "", "1", {"FLAIR": "flair.nii.gz"}, masks, brain_mask="mask.nii.gz")
    done = register_scan(scan, config, results)
    np.testing.assert_array_equal(read_labels(done.files["brain"]).data > 0, brain_of(flair))
    assert error(read_transform(done.files["to_template"]), np.eye(4), brain_points()) < 1.0
    volume = float(brain_of(flair).sum()) * flair.grid.voxel_ml
    expected = {"brain_ml": pytest.approx(volume, rel=1e-4), "brain_doubt": None, "flag": None}
    assert {name: done.values[name] for name in expected} == expected
    row = Row("ds_sub-1", "ok", "", files={"brain": str(done.files["brain"])}, values=done.values)
    prepared = preprocess_scan(scan, row, config, results)
    assert prepared.values["brain_ml"] == pytest.approx(volume, rel=0.02)
    assert prepared.values["quality_MNI152"] == done.values["quality_MNI152"]


def test_an_image_without_a_head_has_low_quality(flair: Image) -> None:
    noise = Image(np.random.default_rng(4).random((40, 40, 40)).astype(np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    assert align_to_template(noise, kind="affine", seed=0, minimum_quality=0.3).quality < 0.3
    tried = align_rigid(noise, flair, seed=0, minimum_quality=0.3)
    assert tried.quality < 0.3
    assert tried.starts > 60


def brain_of(flair: Image) -> Array:
    """The brain mask (X, Y, Z) of the fixture's head."""
    mask: Array = resample(load_template(2.0).mask, flair.grid).data > 0.5
    return mask


def brain_points() -> Array:
    """World points (N, 3) of the template's brain, RAS mm."""
    return load_template(2.0).brain.points


def test_a_brain_far_from_its_scalp_is_not_stretched_to_it(tmp_path: Path) -> None:
    """An old brain in a wide subarachnoid space below a bright scalp: at the template's size the scalp fits better."""
    from flairflow.config.simulation import SimulationSettings
    from flairflow.images.nifti import read_image
    from flairflow.simulation.cohort import simulate_participant

    datasets = {"both": {"participants": 7, "labels": ["WMH", "ISL"], "voxel_size": [3, 3, 3]}}
    simulate_participant(SimulationSettings.model_validate({"root": tmp_path, "datasets": datasets}), "both", 4)
    flair = read_image(tmp_path / "both" / "sub-004" / "anat" / "sub-004_FLAIR.nii.gz")
    alignment = align_to_template(flair, kind="affine", seed=0, minimum_quality=0.3)
    assert alignment.quality > 0.6 and alignment.warp is None
    brain = template_brain_mask(alignment, flair)
    assert brain.sum() * flair.grid.voxel_ml < 1700
