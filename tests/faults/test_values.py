"""Values that real archives hold, in images and in masks: what each becomes, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from flairflow.cohort.index import index, read_scans
from flairflow.config import load_config
from flairflow.config.models import PreprocessingSettings
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_image
from flairflow.images.values import usual_values
from flairflow.paths import Results
from flairflow.preprocessing.prepare import prepare, prepared_values, standardise

SHAPE = (8, 9, 10)
SAY = "say under labels.A.values which mean A"


def saved(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)


# Values that each mask of a dataset holds, what the configuration says, and for each mask what its reason says.
DATASETS: dict[str, tuple[list[set[int]], dict[str, Any], list[str]]] = {
    "one value": ([{1}, {1}, set()], {}, ["", "", ""]),
    "one other value": ([{255}, {255}, set()], {}, ["", "", ""]),
    "the second alone": ([{1}, {1, 2}, {2}], {}, ["", f"several values (1, 2); {SAY}", "holds 2, most masks"]),
    "the second mostly": ([{2}, {2}, {1}, set()], {}, ["", "", f"holds 1, most masks of its dataset 2; {SAY}", ""]),
    "one of each": ([{1}, {2}], {}, ["", SAY]),
    "two scales": ([{1}, {1}, {255}], {}, ["", "", SAY]),
    "told apart": ([{1}, {1, 2}, {2}], {"values": [1]}, ["", "", ""]),
    "both told": ([{1}, {1, 2}, {2}], {"values": [1, 2]}, ["", "", ""]),
    "second ignored": ([{1}, {1, 2}, {2}], {"ignore_values": [2]}, ["", "", ""]),
    "none as told": ([{255}, {255}, set()], {"values": [1]}, ["no mask of its dataset holds"] * 2 + [""]),
    "an image": ([{1}, set(range(1, 400))], {}, ["", "values are no mask (256 or more different ones)"]),
}


@pytest.mark.parametrize("name", list(DATASETS))
def test_what_a_value_means_is_decided_over_the_dataset(tmp_path: Path, name: str) -> None:
    masks, source, says = DATASETS[name]
    for number, values in enumerate(masks, start=1):
        data = np.zeros(SHAPE, np.int16)
        data.flat[: len(values)] = sorted(values)
        saved(tmp_path / f"ds/sub-{number}/anat/sub-{number}_FLAIR.nii", np.arange(720, dtype=np.int16).reshape(SHAPE))
        saved(tmp_path / f"ds/derivatives/manual/sub-{number}/anat/sub-{number}_label-A_mask.nii", data)
    found = {"folder": "derivatives/manual", "entities": {"label": "A"}, **source}
    config = load_config(
        {
            "labels": ["A"],
            "results": str(tmp_path / "results"),
            "datasets": {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": found}}},
        }
    )
    index(config, threads=1)
    scans = read_scans(Results(config.results).cohort, config.labels, config.images)
    for scan, reason in zip(scans, says, strict=True):
        assert scan.included == (not reason) and reason in scan.reason
        assert scan.included or f"sub-{scan.participant}_label-A_mask.nii" in scan.reason


def head(noise: float = 4.0) -> tuple[Array, Array, Array]:
    """A head of 3 mm with air, scalp, skull, fluid, tissue and a lesion, float32 and never negative; its brain and its
    lesion, bool."""
    shape = (56, 68, 50)
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"), -1)
    radius = np.linalg.norm(points * [1.15, 1.1, 1.2], axis=-1)
    brain, lesion = radius < 0.8, np.linalg.norm(points - [0.3, 0.1, 0.1], axis=-1) < 0.12
    data = np.select([lesion, radius < 0.2, brain, radius < 0.88, radius < 0.98], [500.0, 60, 300, 30, 700], 0.0)
    random = np.random.default_rng(0)
    data += np.where(brain, random.normal(0, 25, shape), 0)
    data = np.hypot(data + random.normal(0, noise, shape), random.normal(0, noise, shape)) if noise else data
    return np.maximum(data, 0).astype(np.float32), brain, lesion


DATA, BRAIN, LESION = head()
STRIPPED = np.where(BRAIN, DATA, 0).astype(np.float32)
MEAN, SD = DATA[BRAIN].mean(), DATA[BRAIN].std()
AFFINE = np.diag([3.2, 3.2, 3.2, 1])


def contrast(scores: Array, where: Array, of: Array) -> float:
    return float(scores[where].mean() - scores[of & ~where].mean())


@pytest.mark.parametrize("count", [0, 10, 100, 1000, 20_000])
@pytest.mark.parametrize("limit", [32767.0, -1e30])
def test_extremes_do_not_flatten_a_brain(count: int, limit: float) -> None:
    """Lesion minus tissue in z; with plain mean and deviation 3.17, 1.87, 0.71 and 0.23 for the first four."""
    random = np.random.default_rng(0)
    values = random.normal(300, 60, 1_400_000)
    lesion = np.zeros(values.shape, bool)
    lesion[-14_000:] = True
    values[lesion] += 200
    values[:count] = limit
    scores = standardise(values, np.ones(values.shape, bool))
    tissue = np.ones(values.shape, bool)
    tissue[:count] = False
    assert contrast(scores, lesion, tissue) == pytest.approx(3.17, abs=0.06)
    assert np.abs(scores).max() < 20


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("count", [10, 100])
def test_a_prepared_scan_is_what_it_is_without_its_extremes(bias: bool, count: int) -> None:
    settings = PreprocessingSettings(spacing=3.2, bias_correction=bias)
    spiked = DATA.copy()
    where = np.argwhere(BRAIN & ~LESION)
    spiked[tuple(where[np.random.default_rng(0).choice(len(where), count, replace=False)].T)] = 32767
    plain, odd = (prepare([Image(data, AFFINE, name="a.nii")], [None], BRAIN, settings) for data in (DATA, spiked))
    assert plain.clipped == 0 and not plain.notes
    assert odd.clipped == pytest.approx(count / BRAIN.sum(), rel=0.1)
    values = prepared_values(odd, "FLAIR", {})
    assert values["clipped_percent"] == round(100 * odd.clipped, 4)
    assert str(values["note"]).startswith("a.nii: ") and str(values["note"]).endswith("% of the brain's voxels clipped")
    same = np.abs(odd.images[0] - plain.images[0]) < 0.1
    assert same[plain.brain].mean() > 0.98 if bias else 1 - 2 * odd.clipped


# Name: what becomes of a head's values, and what the note says. Afterwards they are the head's but for a factor.
CHANGED: dict[str, tuple[Array, str]] = {
    "tiny": (DATA * 1e-9, ""),
    "huge": (DATA.astype(float) * 1e12, ""),
    "offset": (DATA.astype(float) + 1e5, "values counted from"),
    "large offset": (DATA.astype(float) + 1e8, "values counted from"),
    "negative offset": (DATA - 1024, "values counted from"),
    "z-scored over the image": ((DATA - DATA.mean()) / DATA.std(), "values counted from"),
    "z-scored over the brain": ((DATA - MEAN) / SD, "values counted from"),
    "stripped": (STRIPPED * 1e-9, ""),
    "stripped, z-scored with its background": ((STRIPPED - MEAN) / SD, "values counted from"),
    "stripped with an offset": (STRIPPED + 5000, "values counted from 5000"),
    "all below 0": (STRIPPED - 10_000, "values counted from -1e+04"),
}


@pytest.mark.parametrize("name", list(CHANGED))
def test_other_scales_and_origins_are_the_same_head(name: str) -> None:
    data, note = CHANGED[name]
    original = STRIPPED if name.startswith(("stripped", "all")) else DATA
    found, notes = usual_values(data)
    factor = np.percentile(found, 99) / np.percentile(original, 99)
    assert np.allclose(found / factor, original, atol=15)  # air that is not 0 counts as the darkest of it
    assert np.corrcoef(found.ravel(), original.ravel())[0, 1] > 0.999
    assert notes == [] if not note else len(notes) == 1 and note in notes[0]
    assert found.dtype == np.float32 and 1e-2 <= np.percentile(found, 99) <= 1e6


OUTSIDE = np.linalg.norm(np.indices(DATA.shape)[:2] - np.array([28, 34]).reshape(2, 1, 1, 1), axis=0) > 26


@pytest.mark.parametrize(
    ("data", "original", "note"),
    [
        (np.where(BRAIN, (DATA - MEAN) / SD, 0), STRIPPED, "background of 0 taken for"),
        (np.where(BRAIN, DATA - 2000, 0), STRIPPED, "background of 0 taken for"),
        (np.where(BRAIN, DATA, 30_000), STRIPPED, "background of 3e+04 taken for"),
        (np.where(BRAIN, DATA, -32768), STRIPPED, "background of -3.277e+04 taken for 0"),
        (
            np.where(OUTSIDE, -2000, DATA),
            np.where(OUTSIDE, 0, DATA),
            "background of -2000 taken for 0",
        ),
    ],
)
def test_what_is_around_the_head_is_dark(data: Array, original: Array, note: str) -> None:
    found, notes = usual_values(data.astype(np.float32))
    assert note in notes[0]
    assert np.corrcoef(found.ravel(), original.ravel())[0, 1] > 0.95
    around = original == 0
    assert found[around].max() <= np.percentile(found[~around], 1)
    assert -0.1 < found[around].min() / np.percentile(found, 99) < 0.1


RINGING = np.where(BRAIN, DATA, np.random.default_rng(1).normal(0, 6, DATA.shape)).astype(np.float32)


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        STRIPPED,
        RINGING,
        DATA[13:43, 14:54, 12:38],  # no air at all
        DATA / 1000,
        np.where(DATA < 20, 0, DATA),
        np.where(DATA > 900, 1800, DATA),  # bright vessels
        DATA.astype(np.int16),
        head(noise=0)[0],
        np.ones((8, 9, 10)),
        np.eye(9)[:, :, np.newaxis].repeat(5, axis=2),
    ],
)
def test_usual_values_stay_what_they_are(data: Array) -> None:
    found, notes = usual_values(data)
    assert np.array_equal(found, data.astype(np.float32)) and not notes


@pytest.mark.parametrize(("count", "limit"), [(100, 32767), (1000, 1e20), (100, -1e9)])
def test_extremes_do_not_hide_a_head_from_what_finds_it(count: int, limit: float) -> None:
    spiked = DATA.astype(float)
    spiked.flat[np.random.default_rng(0).choice(spiked.size, count, replace=False)] = limit
    found, notes = usual_values(spiked)
    assert notes[0].startswith(f"{count} voxels beyond")
    assert np.mean(found == DATA) > 1 - 2 * count / DATA.size and found.max() < 5000


def stored(path: Path, data: Array, **changes: Any) -> Image:
    image = nib.Nifti1Image(data, AFFINE)
    if "slope" in changes:
        image.header.set_slope_inter(changes["slope"], changes.get("inter", 0))
    nib.save(image, path)
    return read_image(path)


@pytest.mark.parametrize(("unsigned", "signed", "top"), [(np.uint16, np.int16, 60_000), (np.uint8, np.int8, 250)])
def test_unsigned_numbers_in_a_signed_type_are_taken_for_what_they_were(
    tmp_path: Path, unsigned: Any, signed: Any, top: int
) -> None:
    smooth = ndimage.gaussian_filter(DATA, 0.7)
    data = np.clip(smooth / smooth.max() * top, 0, top).astype(unsigned)
    read = stored(tmp_path / "a.nii", data.view(signed))
    assert np.array_equal(read.data, data.astype(np.float32))
    assert "a.nii: its numbers beyond" in read.notes[0]


@pytest.mark.parametrize(
    "data",
    [
        np.where(BRAIN, (DATA - MEAN) / SD * 6000, -32768),  # z-scores over the whole range of the type
        np.where(BRAIN, (DATA / 30 % 2 - 1) * 32767, 0),  # a phase
        np.random.default_rng(0).integers(-32768, 32767, DATA.shape),
        np.where(np.arange(DATA.size).reshape(DATA.shape) % 5_003 == 0, -32768, DATA * 40),  # extremes
        RINGING,
    ],
)
def test_signed_numbers_stay_signed(tmp_path: Path, data: Array) -> None:
    read = stored(tmp_path / "a.nii", np.clip(data, -32768, 32767).astype(np.int16))
    assert not any("stored as negative" in note for note in read.notes)
