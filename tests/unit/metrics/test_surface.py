"""Distances between borders: by hand, and against MONAI and the steps of the WMH 2017 evaluation in SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from scipy.spatial.distance import cdist

from flairflow.metrics.challenges import slice_axis
from masks import known, random_masks, scores

SPACINGS = [(1.0, 1.0, 1.0), (0.9, 1.1, 3.3), (3.0, 0.5, 0.5)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", SPACINGS)
def test_distances_are_monais(seed: int, spacing: tuple[float, float, float]) -> None:
    prediction, reference = random_masks(seed)
    ours = scores(prediction, reference, spacing)
    masks = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
    options = {"include_background": True, "spacing": list(spacing)}
    hausdorff = compute_hausdorff_distance(*masks, percentile=95, **options)
    assert ours["hd95_mm"] == pytest.approx(float(hausdorff), rel=1e-5)
    symmetric = compute_average_surface_distance(*masks, symmetric=True, **options)
    assert ours["assd_mm"] == pytest.approx(float(symmetric), rel=1e-5)
    assert ours["asd"] == pytest.approx(float(compute_average_surface_distance(*masks, **options)), rel=1e-5)
    for tolerance in (1, 2):
        # A hair more, as here: rounding must not decide whether 1 mm is within 1 mm.
        share = compute_surface_dice(*masks, class_thresholds=[tolerance + 1e-5], **options)
        assert ours[f"nsd_{tolerance}mm"] == pytest.approx(float(share), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [(0.9, 1.1, 3.0), (1.0, 1.0, 1.0)])
def test_the_challenges_distance_takes_borders_slice_by_slice(seed: int, spacing: tuple[float, float, float]) -> None:
    """By the same steps: SimpleITK's erosion with radius (1, 1, 0), physical points, every distance, percentiles."""
    prediction, reference = (np.pad(mask, 2) for mask in random_masks(seed))
    points = []
    for mask in (prediction, reference):
        image = sitk.GetImageFromArray(mask.transpose(2, 1, 0).astype(np.uint8))  # its arrays are (Z, Y, X)
        image.SetSpacing(spacing)
        edge = sitk.GetArrayFromImage(sitk.Subtract(image, sitk.BinaryErode(image, (1, 1, 0))))
        voxels = np.argwhere(edge.transpose(2, 1, 0))
        points.append(np.array([image.TransformIndexToPhysicalPoint(voxel.tolist()) for voxel in voxels]))
    distances = cdist(*points)
    expected = max(np.percentile(distances.min(axis=axis), 95) for axis in (0, 1))
    assert scores(prediction, reference, spacing)["wmh2017_hd95_mm"] == pytest.approx(expected)


def test_slices_lie_across_the_longest_edge() -> None:
    assert [slice_axis(np.array(edges)) for edges in ((5, 1, 1), (1, 1, 3), (1, 1, 1), (1, 1.0000001, 1))] == [
        0,
        2,
        2,
        2,
    ]


def test_distances_by_hand() -> None:
    """Two single voxels, three voxels of 2 mm apart, and one of the reference beside."""
    reference, prediction = np.zeros((2, 8, 8, 8), bool)
    reference[1, 1, 1] = prediction[1, 1, 1] = prediction[1, 1, 4] = True
    found = scores(prediction, reference, (1, 1, 2))
    assert found["hd95_mm"] == pytest.approx(0.95 * 6)
    assert found["assd_mm"] == pytest.approx(6 / 3)
    assert found["asd"] == pytest.approx(6 / 2)
    assert found["nsd_1mm"] == found["nsd_2mm"] == pytest.approx(2 / 3)
    back = scores(reference, prediction, (1, 1, 2))
    assert (back["asd"], back["assd_mm"]) == pytest.approx((0, 2))


def test_a_millimetre_is_within_a_millimetre_whatever_the_header_rounds() -> None:
    reference, prediction = np.zeros((2, 6, 6, 6), bool)
    reference[2, 2, 2] = prediction[3, 2, 2] = True
    for edge in (1.0, 1.0000005):
        assert scores(prediction, reference, (edge, 1, 1))["nsd_1mm"] == 1
    assert scores(prediction, reference, (1.01, 1, 1))["nsd_1mm"] == 0


def test_resampling_a_large_lesion_moves_its_border_by_less_than_a_voxel() -> None:
    points = np.stack(np.meshgrid(*[np.arange(30)] * 3, indexing="ij"), -1)
    reference, prediction = (np.linalg.norm(points - centre, axis=-1) < 9 for centre in ((14, 14, 14), (17, 14, 15)))
    coarse = scores(prediction, reference, (1, 1, 2))
    fine = scores(prediction.repeat(2, axis=2), reference.repeat(2, axis=2), (1, 1, 1))
    for name in ("hd95_mm", "assd_mm", "asd", "wmh2017_hd95_mm"):
        assert known(fine[name]) == pytest.approx(known(coarse[name]), abs=1)
