"""The stage `register`: every scan's brain, its transforms, and its masks on the reference grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flairflow.brain_mask.methods import Brain, reference_brain
from flairflow.cohort.scan import Scan
from flairflow.config.models import Config, RegistrationSettings
from flairflow.images.grid import Image
from flairflow.images.masks import encode
from flairflow.images.nifti import read_image, write_image
from flairflow.images.transforms import write_transform
from flairflow.paths import Results, derivative
from flairflow.registration.carried_masks import carry, known_voxels
from flairflow.registration.coverage import brain_shown, partly_shown
from flairflow.registration.from_brain import align_brain
from flairflow.registration.rigid import Alignment, align_rigid
from flairflow.registration.template import (
    TEMPLATE,
    TemplateAlignment,
    align_to_template,
    load_template,
    template_brain_mask,
)
from flairflow.shards.run import Outcome

LOW_QUALITY = "low registration quality"


@dataclass(frozen=True, eq=False)
class Registered:
    """A scan's images in one space, the reference first; `sequences` holds the alignments of the further ones."""

    images: Mapping[str, Image]
    template: TemplateAlignment
    sequences: Mapping[str, Alignment]
    brain: Brain


def register_images(
    images: Mapping[str, Image], brain: Brain | None, settings: RegistrationSettings, seed: int
) -> Registered:
    """Align the reference (the first of `images`) to the template and every further sequence to the reference.

    brain : the reference's; None: the template's is brought to it. Raises ScanError when ITK fails.
    """
    (_, reference), *further = images.items()
    kind, resolution = settings.template_transform, settings.template_resolution
    if brain is None:
        template = align_to_template(
            reference, kind=kind, resolution=resolution, seed=seed, minimum_quality=settings.minimum_quality
        )
        brain = Brain(template_brain_mask(template, reference, resolution))
    else:
        template = align_brain(reference, brain.mask, kind=kind, resolution=resolution, seed=seed)
    aligned = {
        sequence: align_rigid(image, reference, seed=seed, minimum_quality=settings.minimum_quality)
        for sequence, image in further
    }
    return Registered(images, template, aligned, brain)


def register_scan(scan: Scan, config: Config, results: Results) -> Outcome:
    """Register one scan of the cohort and write its transforms, brain mask and masks. Raises ScanError."""
    root = config.datasets[scan.dataset].root
    images = {sequence: read_image(root / path) for sequence, path in scan.images.items() if path}
    reference = images[config.reference]
    reference_path = root / scan.images[config.reference]
    brain = scan_brain(scan, reference, config)
    registered = register_images(images, brain, config.registration, config.seed)

    def output(name: str) -> Path:
        return derivative(results.prepared, scan.scan, name)

    files = registered.template.save(output(""), config.reference)
    for sequence, alignment in registered.sequences.items():
        files[f"to_{sequence}"] = output(f"from-{sequence}_to-{config.reference}_mode-image_xfm.txt")
        write_transform(files[f"to_{sequence}"], alignment.matrix)
    files["brain"] = output("desc-brain_mask.nii.gz")
    write_image(files["brain"], Image(registered.brain.mask, reference.affine), like=reference_path)

    masks, ignored = {}, {}
    further: dict[str, Alignment] = {}
    drawn_on = {path: images[sequence] for sequence, path in scan.images.items() if path}
    alignments: dict[str, Alignment] = {
        path: registered.sequences[sequence]
        for sequence, path in scan.images.items()
        if sequence in registered.sequences
    }
    for label in scan.annotated:
        mask = scan.masks[label]
        if mask.annotation == "none":
            masks[label] = np.zeros(reference.data.shape, bool)
            continue
        if mask.drawn_on and mask.drawn_on not in drawn_on:
            drawn_on[mask.drawn_on] = read_image(root / mask.drawn_on)
        image = drawn_on[mask.drawn_on] if mask.drawn_on else reference
        where, ignore = known_voxels(mask, root, image)
        if mask.drawn_on:
            if mask.drawn_on not in alignments:
                alignments[mask.drawn_on] = align_rigid(
                    image, reference, seed=config.seed, minimum_quality=config.registration.minimum_quality
                )
                further[f"{label}_image"] = alignments[mask.drawn_on]
            matrix = alignments[mask.drawn_on].matrix
            where, ignore = carry(where, ignore, image.affine, reference.grid, matrix)
        masks[label] = where
        if ignore.any():
            ignored[label] = ignore
    for role, parts in (("bits", masks), ("ignore", ignored)):
        if parts:
            files[role] = output(f"desc-{role}_dseg.nii.gz")
            write_image(files[role], Image(encode(parts, config.labels), reference.affine), like=reference_path)
    values = registration_values(registered, config.registration, further)
    known = {label: float(where.sum()) * reference.grid.voxel_ml for label, where in masks.items()}
    return Outcome(files, values | {f"{label}_known_ml": round(volume, 6) for label, volume in known.items()})


def scan_brain(scan: Scan, reference: Image, config: Config) -> Brain | None:
    """The brain of a scan's reference image; None where it is to be the template's. Raises ScanError."""
    root = config.datasets[scan.dataset].root
    path, provided = root / scan.images[config.reference], root / scan.brain_mask
    return reference_brain(reference, path, config.preprocessing.brain_mask, provided)


def registration_values(
    registered: Registered, settings: RegistrationSettings, further: Mapping[str, Alignment] | None = None
) -> dict[str, float | str | None]:
    """What is noted of a scan's brain and alignments (quality and starts of each, how much of the brain is shown),
    and a flag that names the doubtful."""
    alignments: dict[str, Alignment | TemplateAlignment] = {TEMPLATE: registered.template}
    alignments |= {**registered.sequences, **(further or {})}
    brain, reference = registered.brain, next(iter(registered.images.values()))
    values: dict[str, float | str | None] = {
        "brain_ml": round(float(brain.mask.sum()) * reference.grid.voxel_ml, 3),
        "brain_doubt": None if brain.doubt is None else round(brain.doubt, 4),
    }
    for name, alignment in alignments.items():
        values |= {f"quality_{name}": round(alignment.quality, 4), f"starts_{name}": alignment.starts}
    points = load_template(settings.template_resolution).brain.points
    shown = brain_shown(reference.grid, registered.template.matrix, points)
    values["brain_shown"] = round(shown, 3)
    doubtful = [name for name, alignment in alignments.items() if alignment.quality < settings.minimum_quality]
    flags = [f"{LOW_QUALITY}: {', '.join(doubtful)}"] if doubtful else []
    if brain.doubt is not None and brain.doubt > settings.maximum_doubt:
        flags.append(f"doubtful brain mask ({brain.doubt:.2f})")
    flags += filter(None, [partly_shown(shown)])
    return values | {"flag": "; ".join(flags) or None}
