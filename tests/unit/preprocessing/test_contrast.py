"""Whether an image looks like a FLAIR: real scans with known brains, in any units, as slabs, with many lesions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flairflow.images.nifti import read_image, read_labels
from flairflow.preprocessing.contrast import contrast_flag, unlike_flair

MNI = "real/ms_mni/sub-patient{0}/anat/sub-patient{0}_{1}.nii.gz"


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        (MNI.format("07", "FLAIR"), None),
        (MNI.format("26", "FLAIR"), None),
        (MNI.format("07", "T1w"), "T1w"),
        (MNI.format("26", "T1w"), "T1w"),
        ("heads/scans/stroke3-stripped-flair.nii.gz", None),
        ("heads/scans/stroke3-stripped-t1.nii.gz", "T1w"),
        ("heads/scans/stroke3-stripped-t2.nii.gz", "T2w"),
        ("heads/scans/colin27-t1.nii.gz", "T1w"),
    ],
)
def test_real_scans_look_like_what_they_are(real_data: Path, name: str, looks: str | None) -> None:
    image = read_image(real_data / name)
    given = real_data / name.replace(".nii.gz", "_brain.nii.gz")
    brain = read_labels(given).data > 0 if given.exists() else image.data != 0
    assert unlike_flair(image.data, brain, 1.0) == looks
    assert unlike_flair(image.data * np.float32(-0.02) * -1 - 5, brain, 1.0) == looks, "any scale and offset"
    half = brain.copy()
    half[:, :, : brain.shape[2] // 2] = False
    assert unlike_flair(image.data[:, :, brain.shape[2] // 2 :], half[:, :, brain.shape[2] // 2 :], 1.0) == looks
    assert unlike_flair(image.data[::4, ::4, ::4], brain[::4, ::4, ::4], 4.0) is None, "too coarse to tell"
    if looks is None:
        lesions = brain & (np.indices(brain.shape)[0] % 12 == 0)
        assert unlike_flair(np.where(lesions, np.percentile(image.data[brain], 99), image.data), brain, 1.0) is None


def test_little_of_a_brain_says_nothing() -> None:
    brain = np.zeros((30, 30, 30), bool)
    brain[5:12, 5:12, 5:12] = True
    assert unlike_flair(np.ones(brain.shape), brain, 1.0) is None


def test_nothing_is_said_where_voxels_are_too_coarse_or_no_flair_is_meant(real_data: Path) -> None:
    image = read_image(real_data / MNI.format("26", "T1w"))
    fine, coarse = np.array([1.0, 1.0, 6.0]), np.array([4.0, 4.0, 4.0])
    brain = image.data != 0
    assert contrast_flag("FLAIR", image.data, brain, 1.0, fine) == "looks like a T1w, not a FLAIR"
    assert contrast_flag("FLAIR", image.data, brain, 1.0, coarse) is None
    assert contrast_flag("T1w", image.data, brain, 1.0, fine) is None
