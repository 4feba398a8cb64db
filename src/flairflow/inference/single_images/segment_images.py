"""`flairflow segment`: single images through the same functions as the workflow, in memory, without one."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flairflow.brain_mask.methods import Brain, reference_brain
from flairflow.brain_mask.plausible import usable_brain
from flairflow.config.models import RegistrationSettings
from flairflow.errors import ConfigError, ScanError
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_image, read_labels
from flairflow.inference.images_to_masks import segment_images
from flairflow.inference.output_files import flag_of, write_segmentation
from flairflow.inference.prediction import Segmentation, segment_prepared
from flairflow.inference.single_images.inputs import Input
from flairflow.inference.single_images.table import Row, SingleTable
from flairflow.network.ensemble import Ensemble
from flairflow.preprocessing.prepare import prepare, prepared_values
from flairflow.shards import stages
from flairflow.shards.begun import Begun

log = logging.getLogger(__name__)

# Draws a picture: path, image, brain mask, lesion masks by label.
Draw = Callable[[Path, Image, Array, Mapping[str, Array]], None]


@dataclass(frozen=True)
class Wishes:
    """How images are to be segmented.

    brain         : where brain masks come from, a word as in `preprocessing.brain_mask`.
    masks         : or the brain masks themselves, by image.
    probabilities : whether probability maps are written too.
    skip_existing : whether images are left alone that were segmented in the same way before.
    """

    brain: str
    masks: Mapping[Path, Path]
    probabilities: bool = False
    skip_existing: bool = False


def segment_all(inputs: Sequence[Input], ensemble: Ensemble, folder: Path, wishes: Wishes, draw: Draw) -> Iterator[Row]:
    """Segment images one by one and write their masks, a picture each and one table of volumes to `folder`; a row for
    each as it is finished. What is wrong with one image, a bug that only it meets or a crash included, is its row's
    `reason` (`shards.guard` has to watch for crashes).
    """
    table = SingleTable(folder, ensemble.labels)
    # Of this run alone: its guard stays the same when a crash has the work started again.
    path = folder / f".begun-{os.getppid()}.jsonl"
    if path.exists():
        wishes = replace(wishes, skip_existing=True)
    notes = Begun(path)
    try:
        for image in inputs:
            row = _row(image, ensemble, folder, wishes, draw, table, notes)
            table.add(row)
            yield row
    finally:
        notes.finish()


def _row(
    image: Input, ensemble: Ensemble, folder: Path, wishes: Wishes, draw: Draw, table: SingleTable, notes: Begun
) -> Row:
    start = time.monotonic()
    about: Row = {"name": image.name, "image": str(image.path), "flag": None, "reason": None, "fingerprint": None}
    try:
        if image.reason:
            raise ScanError(image.reason)
        fingerprint = _fingerprint(image.path, ensemble, wishes)
        before = table.done(image.name, fingerprint)
        if wishes.skip_existing and before and _output(folder, image.name, "dseg.nii.gz").is_file():
            return before
        if deaths := notes.deaths(image.name, fingerprint):
            raise ScanError(f"{image.path.name}: ended the process that worked on it ({deaths[-1]})")
        notes.begin(image.name, fingerprint)
        values = segment_image(image, ensemble, folder, wishes, draw)
        notes.end(image.name)
    except ScanError as problem:
        notes.end(image.name)
        return about | {"reason": str(problem)}
    except ConfigError:
        raise
    except Exception as problem:
        notes.end(image.name)
        log.exception("%s: an unexpected error; the other images go on", image.path)
        return about | {"reason": f"unexpected error: {type(problem).__name__}: {problem}"}
    return about | values | {"fingerprint": fingerprint, "seconds": round(time.monotonic() - start, 1)}


def segment_image(image: Input, ensemble: Ensemble, folder: Path, wishes: Wishes, draw: Draw) -> Row:
    """Segment one reference image, write what came of it and return what was measured. Raises ScanError when the image,
    or its given brain mask, is at fault."""
    reference = read_image(image.path)
    brain, origin = _brain(image.path, reference, wishes)
    segmentation, values = _segment(reference, brain, ensemble)
    _, volumes = write_segmentation(
        lambda name: _output(folder, image.name, name),
        segmentation,
        ensemble.labels,
        reference=image.path,
        provenance={**ensemble.provenance, "Sources": [image.path.name], "BrainMask": origin, "Measured": values}
        | flag_of(values),
        probabilities=ensemble.labels if wishes.probabilities else (),
    )
    masks = {label: segmentation.label(number) for number, label in enumerate(ensemble.labels)}
    draw(_output(folder, image.name, "overlay.png"), reference, segmentation.brain, masks)
    return {f"{label}_ml": round(volume, 6) for label, volume in volumes.items()} | values | {"brain_mask": origin}


def _segment(
    reference: Image, brain: Brain | None, ensemble: Ensemble
) -> tuple[Segmentation, dict[str, float | str | None]]:
    sequence, settings = ensemble.images[0], ensemble.preprocessing
    if brain is None or brain.doubt is not None:
        there = {sequence: reference}
        registration = RegistrationSettings()
        return segment_images(there, ensemble, registration=registration, preprocessing=settings, seed=0, brain=brain)
    # Nothing that a registration could tell is needed.
    prepared = prepare([reference], [None], brain.mask, settings)
    return segment_prepared(prepared, ensemble), prepared_values(prepared, sequence, {})


def _brain(path: Path, image: Image, wishes: Wishes) -> tuple[Brain | None, str]:
    """The image's brain, None if it is to be the template's, and where it comes from."""
    if given := wishes.masks.get(path):
        return Brain(usable_brain(read_labels(given), image, given.name)), given.name
    return reference_brain(image, path, wishes.brain), wishes.brain


def _fingerprint(path: Path, ensemble: Ensemble, wishes: Wishes) -> str:
    files = [path, *([wishes.masks[path]] if path in wishes.masks else [])]
    contents = []
    for file in files:
        try:
            contents.append(hashlib.sha256(file.read_bytes()).hexdigest())
        except OSError as problem:
            # A file that is not there is explained in the words of the workflow.
            read_image(file)
            raise ScanError(f"{file.name}: cannot be read ({problem.strerror})") from None
    return stages.fingerprint(contents, ensemble.provenance, wishes.brain, wishes.probabilities)


def _output(folder: Path, name: str, end: str) -> Path:
    return folder / f"{name}_{end}"
