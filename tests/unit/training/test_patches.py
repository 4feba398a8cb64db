"""Which patches are drawn, and that they do not depend on who draws them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from flairflow.config.models import AugmentationSettings, NetworkSettings, TrainingSettings
from flairflow.files import on_scratch
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import write_image
from flairflow.training.data.augmentation import Augmentation
from flairflow.training.data.local_copies import brought_nearby
from flairflow.training.data.patches import Patches, read, shape_of
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.strategy import Task

LABELS = ("A", "B")
TASK = Task(LABELS, ("B", "A"), {"A": ("A",), "B": ("B",)})
NO_CHANGE = AugmentationSettings(**dict.fromkeys(AugmentationSettings.model_fields, 0.0))
FULL = AugmentationSettings(**dict.fromkeys(AugmentationSettings.model_fields, 1.0))


def training_settings(augmentation: AugmentationSettings = NO_CHANGE, patch: int = 16) -> TrainingSettings:
    return TrainingSettings(
        network=NetworkSettings(filters=(4, 8, 16), deep_supervision=0),
        patch=patch,
        batch=2,
        accumulate=1,
        updates=4,
        validate_every=2,
        learning_rate=0.01,
        augmentation=augmentation,
    )


def make_scan(
    folder: Path, bits: Array | None, annotated: tuple[str, ...], shape: tuple[int, int, int]
) -> PreparedScan:
    folder.mkdir()
    brain = np.ones(shape, bool)
    brain[0] = False
    signal = np.random.default_rng(len(annotated)).normal(size=shape).astype(np.float32) * brain
    write_image(folder / "image.nii", Image(signal, np.eye(4)), slope=0.001)
    write_image(folder / "brain.nii", Image(brain, np.eye(4)))
    if bits is not None:
        write_image(folder / "bits.nii", Image(bits, np.eye(4)))
    path = None if bits is None else folder / "bits.nii"
    return PreparedScan(folder.name, (folder / "image.nii", None), folder / "brain.nii", path, None, annotated)


@pytest.fixture
def scans(tmp_path: Path) -> list[PreparedScan]:
    """Both labels; only A known while the file has bits of B too; a known but empty A; nothing known; a small one."""
    bits = np.zeros((40, 36, 32), np.uint8)
    bits[30, 30, 5] |= 1
    bits[5, 6, 26] |= 2
    return [
        make_scan(tmp_path / "both", bits, LABELS, bits.shape),
        make_scan(tmp_path / "one", bits, ("A",), bits.shape),
        make_scan(tmp_path / "empty", np.zeros_like(bits), ("A",), bits.shape),
        make_scan(tmp_path / "none", None, (), bits.shape),
        make_scan(tmp_path / "small", np.zeros((12, 40, 9), np.uint8), ("B",), (12, 40, 9)),
    ]


def test_workers_and_windows_change_nothing(scans: list[PreparedScan]) -> None:
    patches = Patches(scans, TASK, training_settings(FULL), seed=3)
    whole = [patches.window(0, 12)[i] for i in range(12)]
    later = [patches.window(6, 6)[i] for i in range(6)]
    worked = list(DataLoader(patches.window(0, 12), batch_size=None, num_workers=1))
    for first, second in [*zip(whole[6:], later, strict=True), *zip(whole, worked, strict=True)]:
        for name in first:
            assert torch.equal(first[name], second[name]), name
    other = Patches(scans, TASK, training_settings(FULL), seed=4).window(0, 12)
    assert any(not torch.equal(other[i]["image"], whole[i]["image"]) for i in range(12))


def test_each_pass_sees_every_scan_once_in_another_order(scans: list[PreparedScan], tmp_path: Path) -> None:
    shape = (16, 16, 16)
    marked = []
    for number in range(6):
        scan = make_scan(tmp_path / f"marked{number}", None, (), shape)
        write_image(
            tmp_path / f"marked{number}" / "image.nii", Image(np.full(shape, number + 1.0), np.eye(4)), slope=1.0
        )
        marked.append(scan)
    patches = Patches(marked, TASK, training_settings(), seed=0).window(0, 24)
    seen = [int(patches[i]["image"].max()) for i in range(24)]
    passes = [seen[i : i + 6] for i in range(0, 24, 6)]
    assert all(sorted(one) == [1, 2, 3, 4, 5, 6] for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_centres_come_from_known_labels_only(scans: list[PreparedScan]) -> None:
    def shares(scan: PreparedScan) -> tuple[float, float]:
        patches = Patches([scan], TASK, training_settings(), seed=0)
        drawn = [patches._draw_centre(0, np.random.default_rng(i))[0] for i in range(1500)]
        return sum(c == (30, 30, 5) for c in drawn) / 1500, sum(c == (5, 6, 26) for c in drawn) / 1500

    first, second = shares(scans[0])
    assert first == pytest.approx(0.35, abs=0.05) and second == pytest.approx(0.35, abs=0.05)
    first, second = shares(scans[1])
    assert first == pytest.approx(0.7, abs=0.05) and second < 0.01
    assert max(shares(scans[2])) < 0.01
    assert max(shares(scans[3])) < 0.01


def with_teacher(scan: PreparedScan, places: dict[tuple[int, int, int], int]) -> PreparedScan:
    """The same scan with a teacher that is sure of background but in some voxels."""
    shape = shape_of(scan)
    probabilities = np.zeros((*shape, 1 + len(LABELS)), np.uint8)
    probabilities[..., 0] = 255
    for voxel, channel in places.items():
        probabilities[voxel] = np.eye(1 + len(LABELS), dtype=np.uint8)[channel] * 255
    path = scan.brain.parent / "teacher.nii"
    write_image(path, Image(probabilities, np.eye(4)), slope=1 / 255)
    return replace(scan, teacher=path)


def test_a_teachers_lesions_are_centres_where_the_mask_is_missing(scans: list[PreparedScan]) -> None:
    # It sees A where the annotator did not, B where there is A, and B elsewhere. Only the last is filled in.
    taught = with_teacher(scans[1], {(9, 9, 9): 1, (30, 30, 5): 2, (20, 20, 20): 2})
    patches = Patches([taught], TASK, training_settings(), seed=0)
    _, _, by_label = patches.centres[0]
    voxels = {label: {np.unravel_index(v, (40, 36, 32)) for v in flat} for label, flat in by_label.items()}
    assert voxels == {"A": {(30, 30, 5)}, "B": {(20, 20, 20)}}
    known = Patches([with_teacher(scans[0], {(20, 20, 20): 2})], TASK, training_settings(), seed=0)
    assert {len(voxels) for voxels in known.centres[0][2].values()} == {1}


def test_a_teachers_lesions_are_no_centres_where_they_are_not_to_be(scans: list[PreparedScan]) -> None:
    taught = with_teacher(scans[1], {(20, 20, 20): 2})
    patches = Patches([taught], TASK, training_settings(), seed=0, centred_on_filled=False)
    _, _, by_label = patches.centres[0]
    assert {label: len(voxels) for label, voxels in by_label.items()} == {"A": 1}
    drawn = [patches._draw_centre(0, np.random.default_rng(i))[0] for i in range(1500)]
    assert sum(c == (30, 30, 5) for c in drawn) / 1500 == pytest.approx(0.7, abs=0.05)
    assert sum(c == (20, 20, 20) for c in drawn) < 15
    # What it says comes with the patch all the same.
    assert patches.window(0, 1)[0]["teacher"].shape[0] == 3


def test_a_binary_network_is_centred_on_its_own_label(tmp_path: Path) -> None:
    bits = np.zeros((20, 20, 20), np.uint8)
    bits[4, 4, 4], bits[12:] = 1, 2
    scan = make_scan(tmp_path / "scan", bits, LABELS, (20, 20, 20))
    only = Patches([scan], Task(LABELS, ("B", "A"), {"A": ("A",)}), training_settings(), seed=0)
    drawn = [only._draw_centre(0, np.random.default_rng(i))[0] for i in range(1500)]
    assert sum(c == (4, 4, 4) for c in drawn) / 1500 == pytest.approx(0.7, abs=0.05)
    # Of 19 slices of brain 8 are the other label, which is background here.
    assert sum(c[0] >= 12 for c in drawn) / 1500 == pytest.approx(0.3 * 8 / 19, abs=0.04)
    both = Patches([scan], TASK, training_settings(), seed=0)
    drawn = [both._draw_centre(0, np.random.default_rng(i))[0] for i in range(1500)]
    assert sum(c[0] >= 12 for c in drawn) / 1500 == pytest.approx(0.35, abs=0.05)


def test_a_class_of_two_labels_is_centred_on_each_that_is_known(scans: list[PreparedScan]) -> None:
    union = Task(LABELS, ("B", "A"), {"lesion": LABELS})
    for scan, expected in ((scans[0], {"A", "B"}), (scans[1], {"A"}), (scans[3], set())):
        assert set(Patches([scan], union, training_settings(), seed=0).centres[0][2]) == expected


def test_a_teachers_probabilities_come_with_the_patch(scans: list[PreparedScan]) -> None:
    taught = with_teacher(scans[1], {(20, 20, 20): 2})
    patches = Patches([taught, scans[0]], TASK, training_settings(), seed=0).window(0, 40)
    for item in range(40):
        one = patches[item]
        assert one["teacher"].shape == (3, 16, 16, 16) and one["teacher"].dtype == torch.uint8
        if one["annotated"].all():
            assert not one["teacher"].any()
        else:
            assert (one["teacher"].sum(0) == 255).all()
    assert any((patches[item]["teacher"][2] > 0).sum() == 1 for item in range(40))
    assert Patches([scans[0]], TASK, training_settings(), seed=0).window(0, 1)[0]["teacher"].shape == (0, 16, 16, 16)


def test_ignored_voxels_are_no_centres(tmp_path: Path) -> None:
    bits = np.zeros((20, 20, 20), np.uint8)
    bits[4, 4, 4] = bits[9, 9, 9] = 1
    scan = make_scan(tmp_path / "scan", bits, ("A",), (20, 20, 20))
    ignore = np.zeros_like(bits)
    ignore[:8] = 1
    write_image(tmp_path / "scan" / "ignore.nii", Image(ignore, np.eye(4)))
    scan = PreparedScan(scan.scan, scan.images, scan.brain, scan.bits, tmp_path / "scan" / "ignore.nii", ("A",))
    patches = Patches([scan], TASK, training_settings(), seed=0)
    assert all(patches._draw_centre(0, np.random.default_rng(i))[0][0] >= 8 for i in range(200))


@given(st.integers(0, 400))
@settings(max_examples=25, deadline=None)
def test_an_item_has_the_promised_shape(item: int) -> None:
    patches = CACHE["patches"].window(0, 401)
    one = patches[item]
    assert one["image"].shape == (2, 16, 16, 16) and one["image"].dtype == torch.float32
    assert one["bits"].shape == one["ignore"].shape == (16, 16, 16) and one["bits"].dtype == torch.uint8
    assert torch.isfinite(one["image"]).all()
    assert not one["image"][1].any(), "a sequence that a scan lacks stays zero"
    assert set(one["bits"].flatten().tolist()) <= {0, 1, 2, 3}


CACHE: dict[str, Patches] = {}


@pytest.fixture(autouse=True)
def _cache(scans: list[PreparedScan]) -> None:
    CACHE["patches"] = Patches(scans, TASK, training_settings(FULL), seed=1)


def test_reading_gives_the_z_scores(scans: list[PreparedScan]) -> None:
    image, masks = read(scans[0], (0, 0, 0), (40, 36, 32))
    expected = np.random.default_rng(2).normal(size=(40, 36, 32)) * masks[0].numpy()
    np.testing.assert_allclose(image[0].numpy(), expected, atol=0.0006)


def test_reading_beyond_the_edge_gives_zeros(scans: list[PreparedScan]) -> None:
    whole, masks = read(scans[0], (0, 0, 0), (40, 36, 32))
    part, part_masks = read(scans[0], (-3, 30, 0), (10, 10, 5))
    assert torch.equal(part[:, 3:, :6], whole[:, :7, 30:, :5]) and torch.equal(
        part_masks[:, 3:, :6], masks[:, :7, 30:, :5]
    )
    assert not part[:, :3].any() and not part[:, :, 6:].any()


def test_small_scans_lie_in_the_middle_of_their_patch(scans: list[PreparedScan]) -> None:
    image = Patches([scans[4]], TASK, training_settings(), seed=0).window(0, 1)[0]["image"][0]
    filled = torch.nonzero(image)
    # 12 voxels, the first of them no brain, and 9 voxels in 16.
    assert filled.min(0).values.tolist() == [3, 0, 4] and filled.max(0).values.tolist() == [13, 15, 12]


def test_masks_move_with_the_image() -> None:
    spatial = AugmentationSettings(**(NO_CHANGE.model_dump() | {"rotation": 1.0, "scaling": 1.0, "flip": 0.5}))
    ball = ((np.indices((24, 24, 24)) - np.array([14, 10, 9])[:, None, None, None]) ** 2).sum(0) < 25
    image, masks = torch.from_numpy(ball[None].astype(np.float32)), torch.from_numpy(ball[None].astype(np.uint8))
    sizes = set()
    for seed in range(10):
        moved, moved_masks = Augmentation(spatial, 24)(image, masks, seed)
        inside = moved_masks[0] > 0
        sizes.add(int(inside.sum()))
        assert moved[0][inside].mean() > 0.85 and moved[0][~inside].mean() < 0.02
    assert len(sizes) > 5


@pytest.mark.parametrize("name", list(AugmentationSettings.model_fields))
def test_each_augmentation_changes_the_image_and_is_seeded(name: str) -> None:
    only = Augmentation(AugmentationSettings(**(NO_CHANGE.model_dump() | {name: 1.0})), 16)
    image = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    masks = torch.cat([torch.ones_like(image), image > 1]).to(torch.uint8)
    state = torch.random.get_rng_state()
    changed, changed_masks = only(image, masks, 7)
    assert torch.equal(torch.random.get_rng_state(), state), "draws of others do not depend on it"
    torch.rand(5)
    assert not torch.equal(changed, image)
    assert torch.equal(changed, only(image, masks, 7)[0])
    assert not torch.equal(changed, only(image, masks, 8)[0]) or name == "flip"
    assert torch.isfinite(changed).all() and changed.std() < 3
    assert torch.equal(changed_masks, masks) == (name not in ("rotation", "scaling", "flip"))


def test_intensities_are_seeded_as_monai_does() -> None:
    spatial = dict.fromkeys(("rotation", "scaling", "flip", "motion", "ghosting"), 0.0)
    intensity = Augmentation(AugmentationSettings(**(FULL.model_dump() | spatial)), 16)
    image = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    masks = torch.ones(1, 16, 16, 16, dtype=torch.uint8)
    for seed in (0, 5, 2**32 - 1):
        changed, _ = intensity(image, masks, seed)
        assert torch.equal(changed, torch.as_tensor(intensity.intensity.set_random_state(seed=seed)(image)))


@pytest.mark.parametrize("name", ["motion", "ghosting"])
def test_artefacts_leave_anatomy_in_its_place(name: str) -> None:
    # A dark brain with a bright spot near its edge, far from the middle that a moving head turns around.
    index = np.indices((48, 48, 48)) - 23.5
    brain = (index**2).sum(0) < 20**2
    spot = ((index - np.array([10, -9, 8])[:, None, None, None]) ** 2).sum(0) < 3.5**2
    texture = np.random.default_rng(0).normal(size=brain.shape)
    image = torch.from_numpy(np.where(brain, texture * 0.2 + 3 * spot, 0)[None].astype(np.float32))
    masks = torch.from_numpy(np.stack([brain, spot]).astype(np.uint8))
    only = Augmentation(AugmentationSettings(**(NO_CHANGE.model_dump() | {name: 1.0})), 48)
    for seed in range(12):
        changed, changed_masks = only(image, masks, seed)
        assert torch.equal(changed_masks, masks)
        assert not changed[0][~torch.from_numpy(brain)].any(), "outside the brain it stays zero"
        inside, before = changed[0][brain].numpy(), image[0][brain].numpy()
        assert 0.7 < inside.std() / before.std() < 1.1
        assert 0.03 < np.abs(inside - before).mean() < 0.4
        # The spot is still what is bright, and where it was.
        assert inside[spot[brain]].mean() - inside[~spot[brain]].mean() > 2
        middle = np.argwhere(changed[0].numpy() > 1.5).mean(axis=0) - 23.5
        assert np.abs(middle - [10, -9, 8]).max() < 1.5


def test_a_head_that_moves_in_one_sequence_may_lie_still_in_the_next() -> None:
    half = Augmentation(AugmentationSettings(**(NO_CHANGE.model_dump() | {"motion": 0.5})), 16)
    image = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1)
    masks = torch.ones(1, 16, 16, 16, dtype=torch.uint8)
    pairs = [half(image, masks, seed)[0] for seed in range(24)]
    moved = [tuple(not torch.allclose(one, image[0], atol=1e-5) for one in pair) for pair in pairs]
    assert set(moved) == {(False, False), (False, True), (True, False), (True, True)}
    assert not any(torch.allclose(*pair) for pair, both in zip(pairs, moved, strict=True) if all(both))


def test_patches_of_copies_on_a_scratch_disk_are_the_same(tmp_path: Path, scans: list[PreparedScan]) -> None:
    here = Patches(scans, TASK, training_settings(), seed=0).window(0, 6)
    with on_scratch(tmp_path / "fast"):
        near = brought_nearby(scans)
        for scan in near:
            files = [path for path in (*scan.images, scan.brain, scan.bits, scan.ignore) if path]
            assert files and all(path.is_relative_to(tmp_path / "fast") for path in files)
        copies = Patches(near, TASK, training_settings(), seed=0).window(0, 6)
        for item in range(6):
            assert all(torch.equal(value, copies[item][name]) for name, value in here[item].items())
    assert not list((tmp_path / "fast").iterdir())
    assert brought_nearby(scans) == scans


def test_scans_that_do_not_fit_on_the_scratch_disk_stay(
    tmp_path: Path, scans: list[PreparedScan], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with on_scratch(tmp_path / "fast"):
        (before,) = brought_nearby(scans[:1])
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
        assert brought_nearby(scans) == scans
        # What was brought before, the validation scans, is still there.
        assert before.brain.exists()
    assert "stay where they are" in caplog.text
