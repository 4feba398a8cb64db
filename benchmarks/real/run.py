"""The models in the box on real scans: brains, lesions, and what neither should depend on.

    python benchmarks/real/run.py DATA_FOLDER [--write docs/real.md] [--pictures FOLDER]

DATA_FOLDER holds `real` (ms_mni, ms_long) and `heads` (scans). Nothing of it was trained on, but that the lesion masks
of other patients of ms_mni's database gave shapes to drawn WMH. Prints Markdown tables; `--write` puts them into a file
and their numbers into the model cards in the package. Pictures of all masks go to a folder (default
results-real/pictures): look at them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import numpy as np
from baselines import outliers, see_tissue, threshold_in_white_matter
from cards import renew_cards
from scans import Scan, annotated, dice, other_heads, sessions, without_stroke
from variants import variants

from flairflow import __version__
from flairflow.brain_mask.methods import reference_brain
from flairflow.config.models import RegistrationSettings
from flairflow.config.named_models import default_model
from flairflow.files import write_text
from flairflow.images.grid import Array, Image
from flairflow.images.overlays import write_mosaic
from flairflow.images.resample import resample
from flairflow.inference.prediction import Segmentation, segment_prepared
from flairflow.metrics.lesions import find_lesions
from flairflow.network.ensemble import Ensemble
from flairflow.preprocessing.prepare import prepare, prepared_values
from flairflow.registration.register import Registered, register_images, registration_values
from flairflow.registration.template import load_template

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = RegistrationSettings()
T = TypeVar("T")
# Of the volumes of a head that was only written otherwise.
TOLERATED = 0.1


@dataclass(frozen=True, eq=False)
class Case:
    """What came of one image."""

    image: Image
    registered: Registered
    segmentation: Segmentation
    volumes: dict[str, float]
    flag: str | None
    seconds: float

    @property
    def wmh(self) -> Array:
        return self.segmentation.label(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", nargs="+", type=Path, default=[], help="other lesion models (default: the default)")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--pictures", type=Path, default=REPOSITORY / "results-real" / "pictures")
    options = parser.parse_args()
    ensemble = Ensemble(options.model or [default_model()])
    parts = {
        "Brains": brains(options.data, options.pictures),
        "Lesions where they are known": lesions(options.data, ensemble, options.pictures),
        "Every other FLAIR": volumes(options.data, ensemble, options.pictures),
        "The same head as another file": invariance(options.data, ensemble),
        "One person twice, and two persons": repeats(options.data, ensemble),
    }
    head = f"flairflow {__version__}, lesion model {ensemble.hash}, {date.today()}, {ensemble.device}."
    text = "\n\n".join(f"## {title}\n\n{part}" for title, part in parts.items())
    print(f"{head}\n\n{text}")
    if options.write:
        write_text(options.write, f"# The models in the box on real scans\n\n{INTRODUCTION}\n\n{head}\n\n{text}\n")
        if not options.model:
            renew_cards(options.data, parts)


INTRODUCTION = """Written by `python benchmarks/real/run.py DATA_FOLDER --write docs/real.md`, which says what
the scans are. They are few: two with lesion masks are an anecdote with numbers. Run your own on scans like yours."""


@cache
def segmented(scan: Scan, ensemble: Ensemble) -> Case:
    """What comes of a scan; several tables tell of it."""
    return apply(scan.image(), ensemble)


def apply(image: Image, ensemble: Ensemble) -> Case:
    """Segment an image as `flairflow segment` does, the brain found by the network."""
    start = time.process_time()
    brain = reference_brain(image, Path(), "network")
    assert brain is not None
    (sequence,) = ensemble.images
    registered = register_images({sequence: image}, brain, SETTINGS, seed=0)
    prepared = prepare([image], [None], brain.mask, ensemble.preprocessing)
    segmentation = segment_prepared(prepared, ensemble)
    seconds = time.process_time() - start
    values = prepared_values(prepared, sequence, registration_values(registered, SETTINGS))
    found = {label: ml(segmentation.label(number), image) for number, label in enumerate(ensemble.labels)}
    found["brain"] = ml(segmentation.brain, image)
    flag = values["flag"]
    return Case(image, registered, segmentation, found, str(flag) if flag else None, seconds)


def brains(data: Path, pictures: Path) -> str:
    """Brain masks of the network, and of the template's registration, against the known ones."""
    rows = []
    for scan in [*sessions(data), *annotated(data), *without_stroke(data), *other_heads(data)]:
        image = scan.image()
        known = scan.known_brain(image)
        found, seconds = timed(lambda image=image, scan=scan: reference_brain(image, scan.path, "network"))
        assert found is not None
        picture = pictures / f"brain_{scan.path.name.split('.')[0]}.png"
        write_mosaic(picture, image, found.mask, {}, {} if known is None else {"brain": known})
        row = [scan.name, "" if known is None else f"{ml(known, image):.0f}"]
        row += [*_against(found.mask, known, image), f"{found.doubt:.2f}", f"{seconds:.1f}"]
        if known is None:
            row += [""] * 4
        else:
            registered, seconds = timed(lambda image=image: register_images({"image": image}, None, SETTINGS, seed=0))
            row += _against(registered.brain.mask, known, image)
            row += [f"{registered.template.quality:.2f}", f"{seconds:.1f}"]
        rows.append(row)
    columns = ["scan", "known ml", "network ml", "Dice", "doubt", "CPU s"]
    columns += ["template ml", "Dice", "quality", "CPU s"]
    return table(columns, rows) + (
        "\n\nTemplate: `brain_mask: template`, what a registration alone finds, where it can be judged. Known masks: "
        "of ms_long those published with it, of ms_mni what was left when it was stripped, of Colin27 that of MRIcron."
    )


def lesions(data: Path, ensemble: Ensemble, pictures: Path) -> str:
    """The model against two rules on intensities, which are at their best: chosen on these very scans."""
    scans = annotated(data)
    cases = [segmented(scan, ensemble) for scan in scans]
    known = [_known(scan) for scan in scans]
    tissues = [
        (see_tissue(case.image, case.registered.brain.mask, case.registered.template.matrix), mask)
        for case, mask in zip(cases, known, strict=True)
    ]
    rows = []
    rules: dict[str, tuple[str, list[Array]]] = {
        "default model": ("", [case.wmh for case in cases]),
        "threshold in white matter": threshold_in_white_matter(tissues),
        "outliers, as LST's LGA": outliers(tissues),
    }
    for name, (chosen, masks) in rules.items():
        for scan, case, mask, reference in zip(scans, cases, masks, known, strict=True):
            found = ml(mask, case.image)
            true = ml(reference, case.image)
            f1 = find_lesions(mask, reference, 26).f1
            isl = f"{case.volumes[ensemble.labels[1]]:.2f}" if not chosen else ""
            row = [f"{name} {chosen}".strip(), scan.name, f"{dice(mask, reference):.3f}", f"{f1:.3f}"]
            rows.append([*row, f"{true:.2f}", f"{found:.2f}", f"{100 * (found - true) / true:+.0f}", isl])
    for scan, case, reference in zip(scans, cases, known, strict=True):
        draw(pictures, scan, case, ensemble, {"known": reference})
    columns = ["method", "scan", "Dice", "lesion F1", "known ml", "found ml", "error %", "called a stroke, ml"]
    return table(columns, rows)


def volumes(data: Path, ensemble: Ensemble, pictures: Path) -> str:
    """ml in FLAIRs without lesion masks. Only one of these people had a stroke."""
    rows = []
    stroke = [scan for scan in other_heads(data) if scan.flair]
    for scan in [*without_stroke(data), *sessions(data), *stroke]:
        case = segmented(scan, ensemble)
        draw(pictures, scan, case, ensemble)
        name = f"{scan.name} (had a stroke)" if scan in stroke else scan.name
        found = [f"{case.volumes[label]:.2f}" for label in ensemble.labels]
        rows.append([name, *found, f"{case.volumes['brain']:.0f}", case.flag or "", f"{case.seconds:.0f}"])
    return table(["scan", *(f"{label} ml" for label in ensemble.labels), "brain ml", "flag", "CPU s"], rows)


def invariance(data: Path, ensemble: Ensemble) -> str:
    """Volumes of one head as several files, by those of the file as it is."""
    rows = []
    for scan in (annotated(data)[1], sessions(data)[2]):
        image = scan.image()
        brain = reference_brain(image, scan.path, "network")
        assert brain is not None
        first: dict[str, float] = {}
        for name, changed in variants(image, brain.mask).items():
            case = apply(changed, ensemble) if first else segmented(scan, ensemble)
            first = first or case.volumes
            parts = []
            for key in ("brain", ensemble.labels[0]):
                share = case.volumes[key] / first[key] - 1 if first[key] else float("nan")
                parts += [f"{case.volumes[key]:.1f}", f"{100 * share:+.1f}{'' if abs(share) <= TOLERATED else ' (!)'}"]
            rows.append([scan.name, name, *parts, f"{case.volumes[ensemble.labels[1]]:.2f}"])
    columns = ["scan", "file", "brain ml", "%", f"{ensemble.labels[0]} ml", "%", f"{ensemble.labels[1]} ml"]
    return table(columns, rows) + f"\n\n(!): more than {100 * TOLERATED:.0f} % from the file as it is."


def repeats(data: Path, ensemble: Ensemble) -> str:
    """Two sessions of a person, and two persons: masks brought to the template by the affine registrations."""
    cases = {scan.name: segmented(scan, ensemble) for scan in sessions(data)}
    grid = load_template(1.0).image.grid
    there = {
        name: resample(
            Image(case.wmh.astype(np.float32), case.image.affine), grid, case.registered.template.matrix
        ).data
        > 0.5
        for name, case in cases.items()
    }
    label = ensemble.labels[0]
    rows = []
    for first, second in combinations(cases, 2):
        same = first.partition("-")[0] == second.partition("-")[0]
        one, other = cases[first].volumes[label], cases[second].volumes[label]
        apart = 200 * abs(one - other) / (one + other) if one + other else 0.0
        about = [f"{first}, {second}", "one person" if same else "two persons"]
        rows.append([*about, f"{one:.2f}", f"{other:.2f}", f"{apart:.0f}", f"{dice(there[first], there[second]):.2f}"])
    columns = ["scans", "of", f"{label} ml", f"{label} ml", "apart, % of their mean", "Dice in template space"]
    return table(columns, sorted(rows, key=lambda row: row[1]))


def draw(pictures: Path, scan: Scan, case: Case, ensemble: Ensemble, known: dict[str, Array] | None = None) -> None:
    masks = {label: case.segmentation.label(number) for number, label in enumerate(ensemble.labels)}
    path = pictures / f"lesions_{scan.path.name.split('.')[0]}.png"
    write_mosaic(path, case.image, case.segmentation.brain, masks, known)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [list(columns), ["---" if number == 0 else "--:" for number in range(len(columns))], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ml(mask: Array, image: Image) -> float:
    return float(np.count_nonzero(mask)) * image.grid.voxel_ml


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What a piece of work gives, and the CPU seconds it takes."""
    start = time.process_time()
    return work(), time.process_time() - start


def _known(scan: Scan) -> Array:
    known = scan.known_wmh()
    assert known is not None
    return known


def _against(mask: Array, known: Array | None, image: Image) -> list[str]:
    return [f"{ml(mask, image):.0f}", "" if known is None else f"{dice(mask, known):.3f}"]


if __name__ == "__main__":
    main()
