"""`simulate`: the same settings give the same cohort, and its files say what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bids2table import parse_bids_entities
from pydantic import ValidationError

from flairflow.config.simulation import SimulationSettings
from flairflow.errors import ConfigError
from flairflow.images.grid import same_grid
from flairflow.images.nifti import read_image, read_labels
from flairflow.simulation.anatomy import TISSUES, Traits, make_anatomy
from flairflow.simulation.cohort import draw_traits, simulate, simulate_participant
from flairflow.simulation.contrast import draw_contrast, draw_mask
from flairflow.simulation.pose import draw_pose, scan_grid

DATASETS: dict[str, Any] = {
    "both": {"participants": 3, "labels": ["WMH", "ISL"], "voxel_size": [3, 3, 4]},
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


def settings(root: Path, seed: int = 3, **changes: Any) -> SimulationSettings:
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
    assert table[0] == "participant_id\tage\tsex" and len(table) == 4


def test_masks_that_nobody_drew_are_missing_and_lesion_free_ones_empty(root: Path) -> None:
    drawn = {path.name for path in images(root / "both/derivatives")}
    assert drawn == {f"sub-00{n}_label-{label}_mask.nii.gz" for n in (1, 2, 3) for label in ("WMH", "ISL")}
    assert {path.name for path in images(root / "stroke/derivatives")} == {
        f"sub-001_ses-{n}_space-dwi_label-ISL_mask.nii.gz" for n in (1, 2)
    }
    assert not (root / "nothing/derivatives").exists()
    assert len(images(root / "truth/nothing")) == 2
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


def test_the_second_session_has_new_noise_and_slightly_larger_lesions(root: Path) -> None:
    scans = [read_image(root / f"stroke/sub-001/ses-{n}/anat/sub-001_ses-{n}_FLAIR.nii.gz") for n in (1, 2)]
    assert not same_grid(scans[0].grid, scans[1].grid)
    for label in ("WMH", "ISL"):
        before, after = (
            read_labels(root / f"truth/stroke/sub-001/ses-{n}/anat/sub-001_ses-{n}_label-{label}_mask.nii.gz")
            for n in (1, 2)
        )
        assert before.data.sum() * 0.8 < after.data.sum() < before.data.sum() * 2.2


def test_a_second_run_does_nothing_and_new_participants_change_no_others(root: Path, tmp_path: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    simulate(settings(root))
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}

    more = settings(tmp_path, both={**DATASETS["both"], "participants": 4})
    simulate_participant(more, "both", 2)
    simulated = images(tmp_path)
    assert len(simulated) == 5
    for path in simulated:
        assert np.array_equal(read_labels(path).data, read_labels(root / path.relative_to(tmp_path)).data)
    assert [draw_traits(more, "both", n) for n in (1, 2, 3)] == [
        draw_traits(settings(root), "both", n) for n in (1, 2, 3)
    ]
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


def test_an_anatomy_is_whole_and_its_lesions_have_their_volume_and_brightness() -> None:
    anatomy = make_anatomy(Traits(70, "F", 15.0, 2, chronic=False), [1], spacing=2.0)
    filled = np.sum([anatomy.tissues[name] for name in TISSUES], axis=0)
    assert filled.min() >= 0 and filled.max() < 1.3
    assert anatomy.lesions["WMH"].sum() * 0.008 == pytest.approx(15.0, rel=0.15)
    assert (anatomy.lesions["WMH"] + anatomy.lesions["ISL"]).max() <= 1.001
    assert 800 < (anatomy.tissues["grey"] + anatomy.tissues["white"]).sum() * 0.008 < 1900

    generator = np.random.default_rng(1)
    pose = draw_pose(generator, 4.0, 5.0)
    grid = scan_grid(pose, (2.0, 2.0, 3.0), flipped=True)
    scan = draw_contrast(anatomy, "FLAIR", grid, np.linalg.inv(pose), generator).data
    wmh, isl = (draw_mask(anatomy, label, grid, np.linalg.inv(pose)).data for label in ("WMH", "ISL"))
    healthy = {**anatomy.lesions, "WMH": anatomy.tissues["white"]}
    white = draw_mask(
        type(anatomy)(anatomy.tissues, healthy, anatomy.cavity, anatomy.affine), "WMH", grid, np.linalg.inv(pose)
    )
    normal = scan[white.data & ~wmh & ~isl]
    assert scan[wmh].mean() > 1.25 * normal.mean()
    # One threshold does not do: WMH and ISL overlap.
    assert np.percentile(scan[isl], 25) < np.percentile(scan[wmh], 75)
    assert np.percentile(scan[wmh], 25) < np.percentile(scan[isl], 75)
    # Air all around the head.
    assert (
        max(np.median(face) for face in (scan[0], scan[-1], scan[:, 0], scan[:, -1], scan[..., -1]))
        < 0.2 * normal.mean()
    )


def test_settings_refuse_what_cannot_be_meant(tmp_path: Path) -> None:
    for wrong in ({"drawn_on": {"ISL": "dwi"}}, {"labels": ["tumour"]}, {"voxel_size": [0, 1, 1]}, {"scanner": 3}):
        with pytest.raises(ValidationError):
            settings(tmp_path, bad={"participants": 1, **wrong})
    with pytest.raises(ValidationError, match="truth"):
        settings(tmp_path, truth={"participants": 1})
