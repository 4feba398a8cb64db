"""`simulate`: the same settings give the same cohort, and its files say what they should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bids2table import parse_bids_entities
from pydantic import ValidationError

from flairflow.config.simulation import SimulationSettings
from flairflow.errors import ConfigError
from flairflow.images.grid import Array, Grid, same_grid
from flairflow.images.nifti import read_image, read_labels
from flairflow.simulation.anatomy import TISSUES, Anatomy, Traits, make_anatomy
from flairflow.simulation.cohort import (
    draw_session,
    draw_traits,
    participant_name,
    scanner_name,
    simulate,
    simulate_participant,
)
from flairflow.simulation.contrast import draw_contrast, share_on
from flairflow.simulation.pose import draw_pose, scan_grid
from flairflow.simulation.rater import Rater, annotate, draw_rater
from flairflow.simulation.scanner import Scanner, draw_scanner

DATASETS: dict[str, Any] = {
    "both": {"participants": 3, "labels": ["WMH", "ISL"], "voxel_size": [3, 3, 4], "scanners": 2},
    "stroke": {
        "participants": 1,
        "second_session": 1,
        "labels": ["ISL"],
        "drawn_on": {"ISL": "dwi"},
        "t1w": True,
        "stroke": 1,
        "voxel_size": [4, 4, 6],
    },
    "nothing": {"participants": 1, "voxel_size": [5, 5, 5]},
}


def settings(root: Path, seed: int = 2, **changes: Any) -> SimulationSettings:
    return SimulationSettings.model_validate({"root": root, "seed": seed, "datasets": DATASETS | changes})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    simulate(settings(folder))
    return folder


def images(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.nii.gz"))


def test_every_file_name_is_bids_and_every_dataset_describes_itself(root: Path) -> None:
    for path in images(root):
        entities = parse_bids_entities(path)
        assert entities["sub"] in path.parts[-3] + path.parts[-4]
        assert entities["suffix"] in ("FLAIR", "T1w", "dwi", "mask")
        assert (entities["suffix"] == "mask") == ("label" in entities)
        assert entities["datatype"] == path.parent.name
    for folder in (root / "both", root / "both/derivatives/manual", root / "truth/both"):
        assert '"BIDSVersion": "1.10.0"' in (folder / "dataset_description.json").read_text()
    table = (root / "both/participants.tsv").read_text().splitlines()
    assert table[0] == "participant_id\tage\tsex\tscanner" and len(table) == 4
    assert {row.split("\t")[3] for row in table[1:]} <= {"both-1", "both-2"}
    assert '"scanner"' in (root / "both/participants.json").read_text()


def test_masks_that_nobody_drew_are_missing_and_lesion_free_ones_empty(root: Path) -> None:
    drawn = {path.name for path in images(root / "both/derivatives")}
    assert drawn == {f"sub-00{n}_label-{label}_mask.nii.gz" for n in (1, 2, 3) for label in ("WMH", "ISL")}
    assert {path.name for path in images(root / "stroke/derivatives")} == {
        f"sub-001_ses-{n}_space-dwi_label-ISL_mask.nii.gz" for n in (1, 2)
    }
    assert not (root / "nothing/derivatives").exists()
    assert len(images(root / "truth/nothing")) == 3
    # Two in three of three participants have a stroke; the third's mask is there and empty.
    volumes = [read_labels(path).data.sum() for path in images(root / "both/derivatives") if "ISL" in path.name]
    assert sorted(volume > 0 for volume in volumes) == [False, True, True]


def test_a_mask_is_on_the_grid_of_the_image_it_was_drawn_on(root: Path) -> None:
    session, manual = root / "stroke/sub-001/ses-1", root / "stroke/derivatives/manual/sub-001/ses-1/anat"
    flair, t1w = (read_image(session / f"anat/sub-001_ses-1_{name}.nii.gz") for name in ("FLAIR", "T1w"))
    dwi = read_image(session / "dwi/sub-001_ses-1_dwi.nii.gz")
    mask = read_labels(manual / "sub-001_ses-1_space-dwi_label-ISL_mask.nii.gz")
    truth = read_labels(root / "truth/stroke/sub-001/ses-1/anat/sub-001_ses-1_label-ISL_mask.nii.gz")
    assert same_grid(mask.grid, dwi.grid) and same_grid(truth.grid, flair.grid)
    assert not same_grid(flair.grid, dwi.grid) and not same_grid(flair.grid, t1w.grid)
    assert np.allclose(flair.grid.spacing, [4, 4, 6], atol=1e-3) and np.allclose(t1w.grid.spacing, 4, atol=1e-3)
    # The two were drawn of one head that moved by a millimetre or so: they agree in the scanner's space.
    middle = [image.affine @ np.append(np.argwhere(image.data).mean(axis=0), 1) for image in (mask, truth)]
    assert np.linalg.norm(middle[0] - middle[1]) < 10
    assert dwi.data[mask.data > 0].mean() > 1.3 * np.median(dwi.data[dwi.data > dwi.data.mean()])


def test_what_bids_asks_of_dwi_and_of_masks_in_its_space_is_there(root: Path) -> None:
    dwi = root / "stroke/sub-001/ses-1/dwi/sub-001_ses-1_dwi"
    assert dwi.with_suffix(".bval").read_text().split() == ["1000"]
    assert [len(row.split()) for row in dwi.with_suffix(".bvec").read_text().splitlines()] == [1, 1, 1]
    manual = root / "stroke/derivatives/manual"
    sidecar = json.loads((manual / "sub-001/ses-1/anat/sub-001_ses-1_space-dwi_label-ISL_mask.json").read_text())
    link, path = sidecar["SpatialReference"].removeprefix("bids:").split(":")
    linked = json.loads((manual / "dataset_description.json").read_text())["DatasetLinks"][link]
    assert (manual / linked / path).resolve() == dwi.with_name(f"{dwi.name}.nii.gz").resolve()


def test_the_second_session_has_new_noise_and_slightly_larger_lesions(root: Path) -> None:
    scans = [read_image(root / f"stroke/sub-001/ses-{n}/anat/sub-001_ses-{n}_FLAIR.nii.gz") for n in (1, 2)]
    assert not same_grid(scans[0].grid, scans[1].grid)
    first, second = (draw_session(settings(root), "stroke", 1, index) for index in (0, 1))
    for label in ("WMH", "ISL"):
        before, after = (volume(session.anatomy, session.anatomy.lesions[label]) for session in (first, second))
        assert 1.05 * before < after < 1.45 * before
        # What was lesion stays lesion.
        lost = np.maximum(first.anatomy.lesions[label] - second.anatomy.lesions[label], 0.0)
        assert volume(first.anatomy, lost) < 0.1 * before


def test_a_second_run_does_nothing_and_new_participants_change_no_others(root: Path, tmp_path: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    simulate(settings(root))
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}

    more = settings(tmp_path, both={**DATASETS["both"], "participants": 4})
    simulate_participant(more, "both", 2)
    simulated = images(tmp_path)
    assert len(simulated) == 6
    for path in simulated:
        assert np.array_equal(read_labels(path).data, read_labels(root / path.relative_to(tmp_path)).data)
    assert [draw_traits(more, "both", n) for n in (1, 2, 3)] == [
        draw_traits(settings(root), "both", n) for n in (1, 2, 3)
    ]
    assert scanner_name(more, "both", 2) == scanner_name(settings(root), "both", 2)
    assert draw_traits(more, "both", 1) != draw_traits(settings(root, seed=4), "both", 1)


def test_an_interrupted_run_goes_on_and_changed_settings_start_again(tmp_path: Path) -> None:
    few = {"few": {"participants": 2, "labels": ["WMH"], "voxel_size": [6, 6, 6]}}
    simulate(SimulationSettings.model_validate({"root": tmp_path, "datasets": few}))
    first, second = images(tmp_path / "few")[-2:]
    time = first.stat().st_mtime_ns
    second.unlink()
    simulate(SimulationSettings.model_validate({"root": tmp_path, "datasets": few}))
    assert second.exists() and first.stat().st_mtime_ns == time

    few["few"] |= {"participants": 1, "labels": ["ISL"]}
    simulate(SimulationSettings.model_validate({"root": tmp_path, "datasets": few}))
    assert [path.name for path in images(tmp_path / "few")] == [
        "sub-001_label-ISL_mask.nii.gz",
        "sub-001_FLAIR.nii.gz",
    ]


def test_a_dataset_that_simulate_did_not_write_is_left_alone(tmp_path: Path) -> None:
    participant = tmp_path / "both" / "sub-001"
    participant.mkdir(parents=True)
    with pytest.raises(ConfigError, match="did not write"):
        simulate(settings(tmp_path))
    with pytest.raises(ConfigError, match="did not write"):
        simulate_participant(settings(tmp_path), "both", 1)
    assert participant.exists() and not any(participant.iterdir())


def volume(anatomy: Anatomy, share: Array) -> float:
    """ml."""
    return float(share.sum()) * float(np.prod(np.diag(anatomy.affine))) / 1000


def scan(
    anatomy: Anatomy, scanner: Scanner, edges: tuple[float, float, float], seed: int = 1
) -> tuple[Array, Grid, Array]:
    """A FLAIR, its grid and the matrix to the anatomy."""
    generator = np.random.default_rng(seed)
    pose = draw_pose(generator, 4.0, 5.0)
    grid, to_anatomy = scan_grid(pose, edges, flipped=True), np.linalg.inv(pose)
    return draw_contrast(anatomy, scanner, "FLAIR", grid, to_anatomy, generator).data, grid, to_anatomy


def test_an_anatomy_is_whole_and_its_lesions_have_their_volume_and_brightness() -> None:
    anatomy = make_anatomy(Traits(70, "F", 15.0, 2, 0), [1], spacing=2.0)
    filled = np.sum([anatomy.tissues[name] for name in TISSUES], axis=0)
    assert filled.min() >= 0 and filled.max() < 1.3
    assert volume(anatomy, anatomy.lesions["WMH"]) == pytest.approx(15.0, rel=0.15)
    assert (anatomy.lesions["WMH"] + anatomy.lesions["ISL"]).max() <= 1.001
    brain = anatomy.tissues["grey"] + anatomy.tissues["deep"] + anatomy.tissues["white"]
    assert 700 < volume(anatomy, brain) < 1800

    image, grid, to_anatomy = scan(anatomy, draw_scanner([1], (2.0, 2.0, 3.0)), (2.0, 2.0, 3.0))
    wmh, isl, white = (
        share_on(share, anatomy, grid, to_anatomy) >= level
        for share, level in (
            (anatomy.lesions["WMH"], 0.5),
            (anatomy.lesions["ISL"], 0.5),
            (anatomy.tissues["white"], 0.9),
        )
    )
    normal = image[white & ~wmh & ~isl]
    assert image[wmh].mean() > 1.15 * normal.mean()
    # One threshold does not do: WMH and ISL overlap.
    assert np.percentile(image[isl], 25) < np.percentile(image[wmh], 75)
    assert np.percentile(image[wmh], 25) < np.percentile(image[isl], 75)
    # Air all around the head.
    faces = (image[0], image[-1], image[:, 0], image[:, -1], image[..., -1])
    assert max(np.median(face) for face in faces) < 0.2 * normal.mean()


def test_age_widens_ventricles_and_sulci_and_brings_lesions() -> None:
    fluid = {
        age: [
            volume(a, a.tissues["csf"]) for a in (make_anatomy(Traits(age, "F", 0, 0, 0), [n], 4.0) for n in range(4))
        ]
        for age in (45, 90)
    }
    assert np.mean(fluid[90]) > 1.2 * np.mean(fluid[45])
    # Within the brain too, not only below the skull.
    brains = [make_anatomy(Traits(age, "F", 0, 0, 0), [1], 3.0) for age in (45, 90)]
    middle = tuple(slice(n // 3, -n // 3) for n in brains[0].flow.shape)
    young, old = (volume(brain, brain.tissues["csf"][middle]) for brain in brains)
    assert old > 1.3 * young

    many = SimulationSettings.model_validate({"root": "x", "datasets": {"d": {"participants": 900}}})
    traits = [draw_traits(many, "d", number) for number in range(1, 901)]
    young_ml, old_ml = (
        np.median([t.wmh_ml for t in traits if t.wmh_ml and (t.age > 70) == aged]) for aged in (False, True)
    )
    assert old_ml > 1.5 * young_ml
    assert np.mean([t.acute + t.chronic == 0 for t in traits]) == pytest.approx(1 / 3, abs=0.01)
    assert np.mean([t.wmh_ml == 0 for t in traits]) == pytest.approx(0.1, abs=0.01)
    assert any(t.wmh_ml == 0 and t.acute + t.chronic == 0 for t in traits)


def test_old_strokes_have_a_cavity_within_them_and_recent_ones_have_none() -> None:
    old, recent = (make_anatomy(Traits(70, "F", 5.0, *strokes), [3], 2.5) for strokes in ((0, 2), (2, 0)))
    assert not recent.lesions["cavity"].any() and recent.lesions["ISL"].any()
    assert 0 < old.lesions["cavity"].sum() < old.lesions["ISL"].sum()
    assert (old.lesions["cavity"] <= old.lesions["ISL"] + 1e-6).all()
    image, grid, to_anatomy = scan(old, draw_scanner([1], (2.0, 2.0, 2.0)), (2.0, 2.0, 2.0))
    stroke, cavity, white = (
        share_on(share, old, grid, to_anatomy)
        for share in (old.lesions["ISL"], old.lesions["cavity"], old.tissues["white"])
    )
    assert image[cavity > 0.7].mean() < 0.7 * np.median(image[white > 0.9])
    assert image[(stroke > 0.8) & (cavity < 0.05)].mean() > 1.15 * np.median(image[white > 0.9])


def test_a_cavity_is_a_label_like_the_others(tmp_path: Path) -> None:
    three = {"three": {"participants": 1, "labels": ["WMH", "ISL", "cavity"], "stroke": 1, "voxel_size": [3, 3, 3]}}
    for seed in range(20):
        config = SimulationSettings.model_validate({"root": tmp_path, "seed": seed, "datasets": three})
        if draw_traits(config, "three", 1).chronic:
            break
    simulate(config)
    masks = {
        kind: read_labels(tmp_path / f"three/derivatives/manual/sub-001/anat/sub-001_label-{kind}_mask.nii.gz").data > 0
        for kind in ("WMH", "ISL", "cavity")
    }
    truth = read_labels(tmp_path / "truth/three/sub-001/anat/sub-001_label-cavity_mask.nii.gz").data > 0
    assert truth.any() and np.array_equal(masks["cavity"], truth)


def test_what_is_bright_but_no_lesion_is_not_in_the_truth() -> None:
    """Flow, choroid plexus, septum and bright cortex of somebody without lesions: bright, but no truth."""
    anatomy = make_anatomy(Traits(60, "M", 0.0, 0, 0), [4], 2.0)
    assert not any(share.any() for share in anatomy.lesions.values())
    scanner = draw_scanner([2], (1.0, 1.0, 5.0))
    assert scanner.slices and scanner.flow > draw_scanner([2], (1.0, 1.0, 1.0)).flow
    image, grid, to_anatomy = scan(anatomy, scanner, (2.0, 2.0, 4.0), seed=3)
    csf, white, flow, choroid, bright, grey = (
        share_on(share, anatomy, grid, to_anatomy)
        for share in (
            *(anatomy.tissues[name] for name in ("csf", "white")),
            *(anatomy.flow, anatomy.tissues["choroid"], anatomy.bright, anatomy.tissues["grey"]),
        )
    )
    healthy = np.median(image[white > 0.9])
    still, moving = image[(csf > 0.8) & (flow < 0.02)], image[(csf > 0.8) & (flow > 0.5)]
    assert np.percentile(moving, 90) > 1.5 * np.median(still)
    assert choroid.max() > 0.5 and image[choroid > 0.5].mean() > healthy
    assert image[(grey > 0.8) & (bright > 0.6)].mean() > image[(grey > 0.8) & (bright < 0.05)].mean()


def test_a_t1w_has_a_grid_of_its_own_and_the_head_has_moved() -> None:
    config = SimulationSettings.model_validate(
        {"root": "x", "datasets": {"d": {"participants": 1, "t1w": True, "voxel_size": [3, 3, 6]}}}
    )
    session = draw_session(config, "d", 1)
    assert not same_grid(session.scans["FLAIR"].grid, session.scans["T1w"].grid)
    moved = session.to_anatomy["T1w"] @ np.linalg.inv(session.to_anatomy["FLAIR"])
    assert 0.1 < np.linalg.norm(moved[:3, 3]) < 20


def test_scanners_differ_and_their_participants_share_them() -> None:
    first, second = (draw_scanner([n], (1.0, 1.0, 1.0)) for n in (1, 2))
    assert first == draw_scanner([1], (1.0, 1.0, 1.0)) and first != second
    assert first.brightness["FLAIR"]["grey"] != second.brightness["FLAIR"]["grey"]
    several = SimulationSettings.model_validate({"root": "x", "datasets": {"d": {"participants": 60, "scanners": 3}}})
    assert {scanner_name(several, "d", number) for number in range(1, 61)} == {"d-1", "d-2", "d-3"}

    # The gamma changes contrast, the field changes levels across the head.
    anatomy = make_anatomy(Traits(60, "M", 0.0, 0, 0), [4], 4.0)
    flat = replace(first, noise=0.0, gamma=1.0, bias=0.0, slices=False)
    image, *_ = scan(anatomy, flat, (4.0, 4.0, 4.0))
    curved, *_ = scan(anatomy, replace(flat, gamma=1.5), (4.0, 4.0, 4.0))
    uneven, *_ = scan(anatomy, replace(flat, bias=0.3), (4.0, 4.0, 4.0))
    head = image > 0.5 * np.percentile(image, 90)
    assert np.corrcoef(image[head], curved[head])[0, 1] > 0.95 and not np.array_equal(image, curved)
    assert np.std(uneven[head] / image[head]) > 0.05


LESION = np.zeros((20, 20, 6), np.float32)
LESION[4:10, 4:10, 1:5], LESION[4:10, 10, 1:5], LESION[15, 15, 3] = 1.0, 0.4, 1.0
HALO = np.zeros_like(LESION)
HALO[2:13, 2:13, 1:5] = 0.9
CAVITY = np.zeros_like(LESION)
CAVITY[6:8, 6:8, 2:4] = 1.0
PLAIN = Rater(threshold=0.5, smooth=0.0, minimum=0.0, penumbra=0.0, hollow=False)
EDGES = np.array([1.0, 1.0, 1.0])


def drawn(**habits: Any) -> Array:
    return annotate(replace(PLAIN, **habits), LESION, HALO, CAVITY, EDGES)


def test_raters_differ_as_their_habits_say() -> None:
    truth = LESION >= 0.5
    assert np.array_equal(drawn(), truth)
    generous = drawn(threshold=0.3)
    assert (generous >= truth).all() and generous.sum() == truth.sum() + 6 * 4
    assert drawn(minimum=0.01).sum() == truth.sum() - 1
    assert drawn(penumbra=0.8).sum() > 1.5 * truth.sum()
    assert np.array_equal(drawn(hollow=True), truth & (CAVITY < 0.5))
    # Corners go when outlines are smoothed, the lone voxel altogether.
    smooth = drawn(smooth=1.5)
    assert not smooth[4, 4, 2] and smooth[7, 7, 2] and not smooth[15, 15, 3]
    assert len({draw_rater([n]) for n in range(5)}) == 5


def test_a_mask_is_empty_only_where_there_is_no_lesion() -> None:
    small, nothing = np.zeros_like(LESION), np.zeros_like(LESION)
    small[5, 5, 3] = 0.6
    strict = Rater(threshold=0.65, smooth=1.2, minimum=0.03, penumbra=0.0, hollow=True)
    assert annotate(strict, small, small, nothing, EDGES).any()
    assert not annotate(strict, nothing, HALO, nothing, EDGES).any()


def test_names_sort_as_numbers_however_many_there_are() -> None:
    names = [participant_name(number) for number in (1, 42, 999, 1000, 1001, 9999, 10_000, 10_001)]
    assert names[0] == "sub-001" and names[3] == "sub-A1000" and names[6] == "sub-B10000"
    assert names == sorted(names) and all(name.removeprefix("sub-").isalnum() for name in names)


def test_settings_refuse_what_cannot_be_meant(tmp_path: Path) -> None:
    for wrong in (
        {"drawn_on": {"ISL": "dwi"}},
        {"labels": ["tumour"]},
        {"voxel_size": [0, 1, 1]},
        {"scanner": 3},
        {"slice_gap": 1},
    ):
        with pytest.raises(ValidationError):
            settings(tmp_path, bad={"participants": 1, **wrong})
    with pytest.raises(ValidationError, match="truth"):
        settings(tmp_path, truth={"participants": 1})
