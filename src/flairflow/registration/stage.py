"""The stage `register`: every scan's transforms, its template brain mask, and its masks on the reference grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config, RegistrationSettings
from flairflow.images.grid import Array, Image
from flairflow.images.masks import encode
from flairflow.images.nifti import read_image, write_image
from flairflow.paths import Results, derivative
from flairflow.registration.masks import carry, known_voxels
from flairflow.registration.rigid import Alignment, align_rigid
from flairflow.registration.template import TEMPLATE, TemplateAlignment, align_to_template, template_brain_mask
from flairflow.registration.transforms import write_transform
from flairflow.shards.run import Outcome

LOW_QUALITY = "low registration quality"


@dataclass(frozen=True, eq=False)
class Registered:
    """A scan's images in one space. `sequences` and `drawn_on` hold alignments by sequence and by image path."""

    images: Mapping[str, Image]
    template: TemplateAlignment
    sequences: Mapping[str, Alignment]
    brain: Array


def register_images(images: Mapping[str, Image], settings: RegistrationSettings, seed: int) -> Registered:
    """Align the reference (the first of `images`) to the template and every further sequence to the reference.

    The template's brain mask comes back on the reference grid (X, Y, Z), bool. Raises ScanError when ITK fails.
    """
    (_, reference), *further = images.items()
    template = align_to_template(
        reference,
        kind=settings.template_transform,
        resolution=settings.template_resolution,
        seed=seed,
        minimum_quality=settings.minimum_quality,
    )
    aligned = {
        sequence: align_rigid(image, reference, seed=seed, minimum_quality=settings.minimum_quality)
        for sequence, image in further
    }
    return Registered(images, template, aligned, template_brain_mask(template, reference.grid))


def register_scan(scan: Scan, config: Config, results: Results) -> Outcome:
    """Register one scan of the cohort and write its transforms, brain mask and masks. Raises ScanError."""
    root = config.datasets[scan.dataset].root
    images = {sequence: read_image(root / path) for sequence, path in scan.images.items() if path}
    registered = register_images(images, config.registration, config.seed)
    reference_path = root / scan.images[config.reference]
    reference = images[config.reference]

    def output(name: str) -> Path:
        return derivative(results.prepared, scan.scan, name)

    files = registered.template.save(output(""), config.reference)
    for sequence, alignment in registered.sequences.items():
        files[f"to_{sequence}"] = output(f"from-{sequence}_to-{config.reference}_mode-image_xfm.txt")
        write_transform(files[f"to_{sequence}"], alignment.matrix)
    files["brain"] = output("desc-template_mask.nii.gz")
    write_image(files["brain"], Image(registered.brain, reference.affine), like=reference_path)

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


def registration_values(
    registered: Registered, settings: RegistrationSettings, further: Mapping[str, Alignment] | None = None
) -> dict[str, float | str | None]:
    """What is noted of a scan's alignments: quality and starts of each by name, and a flag that names the doubtful."""
    alignments: dict[str, Alignment | TemplateAlignment] = {TEMPLATE: registered.template}
    alignments |= {**registered.sequences, **(further or {})}
    values: dict[str, float | str | None] = {}
    for name, alignment in alignments.items():
        values |= {f"quality_{name}": round(alignment.quality, 4), f"starts_{name}": alignment.starts}
    doubtful = [name for name, alignment in alignments.items() if alignment.quality < settings.minimum_quality]
    return values | {"flag": f"{LOW_QUALITY}: {', '.join(doubtful)}" if doubtful else None}
