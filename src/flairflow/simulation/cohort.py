"""A synthetic cohort on disk: BIDS datasets, each with the masks its annotators drew, and the truth beside them."""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from flairflow import __version__
from flairflow.config.simulation import SimulatedDataset, SimulationSettings
from flairflow.errors import ConfigError
from flairflow.files import write_text
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.nifti import write_image
from flairflow.simulation.anatomy import Anatomy, Traits, make_anatomy
from flairflow.simulation.contrast import draw_contrast, draw_mask, share_on
from flairflow.simulation.pose import draw_pose, scan_grid
from flairflow.simulation.rater import Rater, annotate, draw_rater
from flairflow.simulation.scanner import Scanner, draw_scanner

VERSION = 2  # of what a seed gives; participants simulated with another one are simulated again
LABELS = ("WMH", "ISL", "cavity")
SOFTWARE = "flairflow simulate"
MADE_BY = {
    "BIDSVersion": "1.10.0",
    "License": "CC0",
    "GeneratedBy": [{"Name": SOFTWARE, "Version": __version__}],
}


def simulate(settings: SimulationSettings, threads: int = 1) -> None:
    """Write every dataset of the settings under `settings.root`, `threads` participants at a time.

    A participant who is there already with the same settings stays; adding participants changes no other. An
    interrupted run goes on where it stopped. `simulated.json` at the root is written last.
    """
    for name in settings.datasets:
        _write_dataset_files(settings, name)
    missing = [
        (settings, name, number)
        for name, dataset in settings.datasets.items()
        for number in range(1, dataset.participants + 1)
        if not _is_done(settings, name, number)
    ]
    if threads > 1 and len(missing) > 1:
        with ProcessPoolExecutor(threads) as pool:
            list(pool.map(simulate_participant, *zip(*missing, strict=True)))
    else:
        for participant in missing:
            simulate_participant(*participant)
    _write_json(settings.root / "simulated.json", settings.model_dump(mode="json", exclude={"root"}))


def simulate_participant(settings: SimulationSettings, name: str, number: int) -> None:
    """Write all sessions of one participant (numbered from 1) of one dataset, masks and truth included."""
    dataset = settings.datasets[name]
    _claim_folder(settings, name)
    _remove_participant(settings, name, participant_name(number))
    traits = draw_traits(settings, name, number)
    sessions = [""] if dataset.second_session == 0 else ["ses-1"]
    if _is_among(settings, name, number, "second session", dataset.second_session):
        sessions.append("ses-2")
    files: list[str] = []
    for index, session in enumerate(sessions):
        files += _write_session(settings, name, number, traits, index, session)
    record = {"settings": _settings_hash(settings, name), "files": files}
    # Written last: it says that the participant is complete.
    write_text(_record(settings.root, name, participant_name(number)), json.dumps(record, indent=2) + "\n")


def participant_name(number: int) -> str:
    """`sub-001` to `sub-999`, then `sub-A1000`, `sub-B10000`: sorted by name is sorted by number, however many come later."""
    letter = "" if number < 1000 else chr(ord("A") + len(str(number)) - 4)
    return f"sub-{letter}{number:03d}"


def scanner_name(settings: SimulationSettings, name: str, number: int) -> str:
    """On which scanner of a dataset a participant was: `both-1`, `both-2`, ..."""
    generator = np.random.default_rng([*_seed(settings, name, number), zlib.crc32(b"scanner")])
    return f"{name}-{1 + int(generator.integers(settings.datasets[name].scanners))}"


def draw_traits(settings: SimulationSettings, name: str, number: int) -> Traits:
    """Age, sex and lesions of a participant. Nine in ten have WMH, more of it the older they are."""
    dataset = settings.datasets[name]
    generator = np.random.default_rng([*_seed(settings, name, number), 0])
    age, sex = int(generator.integers(45, 91)), str(generator.choice(["F", "M"]))
    load = float(np.clip(generator.lognormal(np.log(6.5) + 0.045 * (age - 70), 1.0), 0.3, 100.0))
    has_wmh = _is_among(settings, name, number, "WMH", 0.9)
    strokes = 1 + int(generator.random() < 0.35) if _is_among(settings, name, number, "ISL", dataset.stroke) else 0
    # What is drawn on DWI is acute; elsewhere half of the strokes are old.
    old = 0.0 if dataset.drawn_on.get("ISL") == "dwi" else 0.5
    chronic = int(generator.binomial(strokes, old))
    return Traits(age, sex, load if has_wmh else 0.0, strokes - chronic, chronic)


def _write_session(
    settings: SimulationSettings, name: str, number: int, traits: Traits, index: int, session: str
) -> list[str]:
    """Write the images and masks of session `index` (0 or 1); returns their paths relative to the root."""
    dataset = settings.datasets[name]
    seed = _seed(settings, name, number)
    generator = np.random.default_rng([*seed, 2 + index])
    growth = 1.0 if index == 0 else generator.uniform(1.1, 1.4)
    # Finer than this a scan shows no more, and the time grows with the cube.
    anatomy = make_anatomy(traits, [*seed, 1], max(1.25, 0.8 * min(dataset.voxel_size)), growth)
    scanner = _scanner(settings, name, number)
    rater = draw_rater([settings.seed, zlib.crc32(name.encode()), zlib.crc32(b"rater")])

    folder = Path(participant_name(number), session)
    stem = "_".join(folder.parts)
    head = draw_pose(generator, degrees=4.0, millimetres=5.0)
    grids: dict[str, Grid] = {}
    to_anatomy: dict[str, Array] = {}
    files = []
    for sequence in _sequences(dataset):
        # Heads move between sequences, and each sequence's grid is put around the head anew.
        moved = head if sequence == "FLAIR" else draw_pose(generator, degrees=1.0, millimetres=1.5) @ head
        placed = draw_pose(generator, degrees=3.0, millimetres=2.0) @ head
        grids[sequence] = scan_grid(placed, _voxel_size(dataset, sequence), flipped=sequence != "T1w")
        to_anatomy[sequence] = np.linalg.inv(moved)
        gap = dataset.slice_gap if sequence == "FLAIR" else 0.0
        scan = draw_contrast(anatomy, scanner, sequence, grids[sequence], to_anatomy[sequence], generator, gap)
        kind = "dwi" if sequence == "dwi" else "anat"
        files.append(Path(name, folder, kind, f"{stem}_{sequence}.nii.gz"))
        write_image(settings.root / files[-1], scan)

    for label in LABELS:
        truth = draw_mask(anatomy, label, grids["FLAIR"], to_anatomy["FLAIR"])
        files.append(Path("truth", name, folder, "anat", f"{stem}_label-{label}_mask.nii.gz"))
        write_image(settings.root / files[-1], truth)
        if label not in dataset.labels:
            continue
        sequence = dataset.drawn_on.get(label, "FLAIR")
        space = "" if sequence == "FLAIR" else f"_space-{sequence}"
        drawn = _annotate(rater, anatomy, label, grids[sequence], to_anatomy[sequence])
        files.append(Path(name, "derivatives", "manual", folder, "anat", f"{stem}{space}_label-{label}_mask.nii.gz"))
        write_image(settings.root / files[-1], drawn)
    return [file.as_posix() for file in files]


def _scanner(settings: SimulationSettings, name: str, number: int) -> Scanner:
    x, y, z = settings.datasets[name].voxel_size
    scanner = scanner_name(settings, name, number)
    return draw_scanner([settings.seed, zlib.crc32(scanner.encode()), zlib.crc32(b"protocol")], z >= 2 * max(x, y))


def _annotate(rater: Rater, anatomy: Anatomy, label: str, grid: Grid, to_anatomy: Array) -> Image:
    """The mask that a rater draws of a label on the image of a grid, bool (X, Y, Z)."""
    lesion, cavity, halo = (
        share_on(share, anatomy, grid, to_anatomy)
        for share in (anatomy.lesions[label], anatomy.lesions["cavity"], anatomy.halos.get(label, anatomy.lesions[label]))
    )
    # A cavity's outline is crisp: there is nothing around it to argue about.
    if label == "cavity":
        return Image(lesion >= 0.5, grid.affine)
    return Image(annotate(rater, lesion, halo, cavity, grid.spacing), grid.affine)


def _sequences(dataset: SimulatedDataset) -> list[str]:
    """The sequences a dataset has, FLAIR first."""
    return ["FLAIR", *(s for s in ("T1w", "dwi") if s in dataset.drawn_on.values() or (s == "T1w" and dataset.t1w))]


def _voxel_size(dataset: SimulatedDataset, sequence: str) -> tuple[float, float, float]:
    """Voxel edges, mm: T1w isotropic at the FLAIR's smallest edge; dwi 2 x 2 x 4, or more where the FLAIR has more."""
    if sequence == "FLAIR":
        return dataset.voxel_size
    x, y, z = dataset.voxel_size
    smallest = min(x, y, z)
    return (smallest,) * 3 if sequence == "T1w" else (max(x, 2.0), max(y, 2.0), max(z, 4.0))


def _write_dataset_files(settings: SimulationSettings, name: str) -> None:
    dataset, folder = settings.datasets[name], settings.root / name
    _claim_folder(settings, name)
    manual = {"Name": f"{name} (simulated): manual masks", "DatasetType": "derivative", **MADE_BY}
    truth = {"Name": f"{name} (simulated): truth of all labels", "DatasetType": "derivative", **MADE_BY}
    if dataset.labels:
        _write_json(folder / "derivatives" / "manual" / "dataset_description.json", manual)
    _write_json(settings.root / "truth" / name / "dataset_description.json", truth)
    _write_if_changed(folder / "README", README.format(name=name, labels=" and ".join(dataset.labels) or "nothing"))
    _write_json(folder / "participants.json", PARTICIPANTS)
    rows = ["participant_id\tage\tsex\tscanner"]
    for number in range(1, dataset.participants + 1):
        traits = draw_traits(settings, name, number)
        rows.append(f"{participant_name(number)}\t{traits.age}\t{traits.sex}\t{scanner_name(settings, name, number)}")
    _write_if_changed(folder / "participants.tsv", "\n".join(rows) + "\n")
    for record in (settings.root / "truth" / name).glob("sub-*/simulated.json"):
        if int(record.parent.name.lstrip("sub-AB")) > dataset.participants:
            _remove_participant(settings, name, record.parent.name)


def _claim_folder(settings: SimulationSettings, name: str) -> None:
    """Write the description by which a dataset is known as ours; ConfigError when the folder holds something else."""
    folder = settings.root / name
    description = folder / "dataset_description.json"
    ours = description.exists() and SOFTWARE in description.read_text(encoding="utf-8")
    if not ours and folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ConfigError(f"simulation.root: {folder} holds something that simulate did not write; choose another")
    _write_json(description, {"Name": f"{name} (simulated)", "DatasetType": "raw", **MADE_BY})


def _is_done(settings: SimulationSettings, name: str, number: int) -> bool:
    record = _record(settings.root, name, participant_name(number))
    if not record.exists():
        return False
    content = json.loads(record.read_text(encoding="utf-8"))
    return content["settings"] == _settings_hash(settings, name) and all(
        (settings.root / file).exists() for file in content["files"]
    )


def _record(root: Path, name: str, participant: str) -> Path:
    return root / "truth" / name / participant / "simulated.json"


def _remove_participant(settings: SimulationSettings, name: str, participant: str) -> None:
    _record(settings.root, name, participant).unlink(missing_ok=True)
    for tree in (Path(name), Path(name, "derivatives", "manual"), Path("truth", name)):
        shutil.rmtree(settings.root / tree / participant, ignore_errors=True)


def _settings_hash(settings: SimulationSettings, name: str) -> str:
    """What a participant depends on: everything but how many others there are."""
    dataset = settings.datasets[name].model_dump(mode="json", exclude={"participants"})
    text = json.dumps([VERSION, settings.seed, name, dataset], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _seed(settings: SimulationSettings, name: str, number: int) -> list[int]:
    return [settings.seed, zlib.crc32(name.encode()), number]


def _is_among(settings: SimulationSettings, name: str, number: int, trait: str, share: float) -> bool:
    """Whether a participant is one of the `share` that has a trait. These are spread evenly over the numbers, from a
    random start: a small dataset gets its share too, and nobody changes when participants are added."""
    start = np.random.default_rng([*_seed(settings, name, 0), zlib.crc32(trait.encode())]).random()
    return bool(np.floor(number * share + start) > np.floor((number - 1) * share + start))


def _write_json(path: Path, content: object) -> None:
    _write_if_changed(path, json.dumps(content, indent=2) + "\n")


def _write_if_changed(path: Path, text: str) -> None:
    # A file that is newer than it need be makes a workflow run again.
    if not (path.exists() and path.read_text(encoding="utf-8") == text):
        write_text(path, text)


README = """{name}: simulated FLAIR MRI with known lesions, written by `flairflow simulate`.

No person was scanned. The anatomy is the MNI152 template, deformed.
Masks in derivatives/manual: {labels}. An empty mask means that there is no lesion; a missing one that nobody looked.
"""

PARTICIPANTS = {
    "age": {"Description": "Age at the first session", "Units": "years"},
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "scanner": {"Description": "Simulated scanner; those of one name share contrast, noise and bias"},
}
