"""A synthetic cohort on disk: BIDS datasets, each with the masks its annotators drew, and the truth beside them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from flairflow import __version__
from flairflow.config.simulation import SimulationSettings
from flairflow.errors import ConfigError
from flairflow.files import write_text
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image
from flairflow.simulation.anatomy import Traits
from flairflow.simulation.rater import draw_rater
from flairflow.simulation.scanner import draw_scanner
from flairflow.simulation.session import Session, make_session

VERSION = 3  # of what a seed gives; participants simulated with another one are simulated again
SOFTWARE = "flairflow simulate"
GRADIENTS = {"bval": "1000\n", "bvec": "0\n0\n0\n"}
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
        # Ctrl-C ends the processes at once and without their tracebacks; whom they were at is done again.
        quietly = (signal.SIGINT, signal.SIG_DFL)
        with ProcessPoolExecutor(threads, initializer=signal.signal, initargs=quietly) as pool:
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
    sessions = [""] if dataset.second_session == 0 else ["ses-1"]
    if _is_among(settings, name, number, "second session", dataset.second_session):
        sessions.append("ses-2")
    files: list[str] = []
    for index, session in enumerate(sessions):
        files += _write_session(settings, name, number, index, session)
    record = {"settings": _settings_hash(settings, name), "files": files}
    # Written last: it says that the participant is complete.
    write_text(_record(settings.root, name, participant_name(number)), json.dumps(record, indent=2) + "\n")


def participant_name(number: int) -> str:
    """`sub-001` to `sub-999`, then `sub-A1000` and `sub-B10000`: sorted by name is sorted by number, and nobody is
    renamed when more come."""
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
    age, sex = int(np.clip(generator.normal(70.0, 10.0), 45, 90)), str(generator.choice(["F", "M"]))
    load = float(np.clip(generator.lognormal(np.log(8.5) + 0.045 * (age - 70), 1.0), 0.3, 100.0))
    has_wmh = _is_among(settings, name, number, "WMH", 0.9)
    strokes = 1 + int(generator.random() < 0.35) if _is_among(settings, name, number, "ISL", dataset.stroke) else 0
    # What is drawn on DWI is acute; elsewhere half of the strokes are old.
    old = 0.0 if dataset.drawn_on.get("ISL") == "dwi" else 0.5
    chronic = int(generator.binomial(strokes, old))
    return Traits(age, sex, load if has_wmh else 0.0, strokes - chronic, chronic)


def draw_session(settings: SimulationSettings, name: str, number: int, index: int = 0) -> Session:
    """Session `index` (0 or 1) of a participant, in memory."""
    dataset, scanner = settings.datasets[name], scanner_name(settings, name, number)
    return make_session(
        dataset,
        draw_traits(settings, name, number),
        draw_scanner([settings.seed, zlib.crc32(scanner.encode())], dataset.voxel_size),
        draw_rater([settings.seed, zlib.crc32(f"rater of {name}".encode())]),
        _seed(settings, name, number),
        index,
    )


def _write_session(settings: SimulationSettings, name: str, number: int, index: int, label: str) -> list[str]:
    """Write the images and masks of session `index`, called `label`; returns their paths relative to the root."""
    dataset, session = settings.datasets[name], draw_session(settings, name, number, index)
    folder = Path(participant_name(number), label)
    stem = "_".join(folder.parts)
    images: dict[Path, Image] = {}
    texts: dict[Path, str] = {}
    for sequence, scan in session.scans.items():
        path = Path(name, folder, "dwi" if sequence == "dwi" else "anat", f"{stem}_{sequence}.nii.gz")
        images[path] = scan
        if sequence == "dwi":
            # One volume, the mean over directions: it has none of its own.
            texts |= {path.with_name(f"{stem}_dwi.{end}"): text for end, text in GRADIENTS.items()}
    for lesion, mask in session.truth.items():
        images[Path("truth", name, folder, "anat", f"{stem}_label-{lesion}_mask.nii.gz")] = mask
    for drawn in dataset.labels:
        sequence = dataset.drawn_on.get(drawn, "FLAIR")
        space = "" if sequence == "FLAIR" else f"_space-{sequence}"
        file = f"{stem}{space}_label-{drawn}_mask.nii.gz"
        path = Path(name, "derivatives", "manual", folder, "anat", file)
        images[path] = session.manual[drawn]
        if space:
            drawn_on = f"bids:raw:{folder.as_posix()}/{'dwi' if sequence == 'dwi' else 'anat'}/{stem}_{sequence}.nii.gz"
            sidecar = json.dumps({"SpatialReference": drawn_on}, indent=2) + "\n"
            texts[path.with_name(file.replace(".nii.gz", ".json"))] = sidecar
    for path, image in images.items():
        write_image(settings.root / path, image)
    for path, text in texts.items():
        write_text(settings.root / path, text)
    return [path.as_posix() for path in (*images, *texts)]


def _write_dataset_files(settings: SimulationSettings, name: str) -> None:
    dataset, folder = settings.datasets[name], settings.root / name
    _claim_folder(settings, name)
    links = {"DatasetLinks": {"raw": "../.."}}
    manual = {"Name": f"{name} (simulated): manual masks", "DatasetType": "derivative", **MADE_BY, **links}
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
        if int(re.sub(r"\D", "", record.parent.name)) > dataset.participants:
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
