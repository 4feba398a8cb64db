"""The stage `preprocess`: every scan as uncompressed NIfTI, from which training reads patches by memory map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.files import write_text
from flairflow.images.grid import Grid, Image
from flairflow.images.nifti import memory_map, read_image, read_labels, write_image
from flairflow.images.transforms import read_transform
from flairflow.paths import Results, derivative
from flairflow.preprocessing.prepare import INTENSITY_STEP, Prepared, prepare, prepare_masks, prepared_values
from flairflow.shards.ledger import Row
from flairflow.shards.run import Outcome


def preprocess_scan(scan: Scan, registered: Row, config: Config, results: Results) -> Outcome:
    """Prepare one scan of the cohort and write what training and segmentation read. Raises ScanError."""
    root = config.datasets[scan.dataset].root
    images = [read_image(root / path) if path else None for path in scan.images.values()]
    matrices = [
        read_transform(results.root / registered.files[f"to_{sequence}"])
        if f"to_{sequence}" in registered.files
        else None
        for sequence in scan.images
    ]
    brain = read_labels(results.root / registered.files["brain"]).data > 0
    prepared = prepare(images, matrices, brain, config.preprocessing)
    return write_prepared(scan, prepared, registered, config, results)


def write_prepared(scan: Scan, prepared: Prepared, registered: Row, config: Config, results: Results) -> Outcome:
    """Write a prepared scan: an image per sequence, the brain mask, label bits, and a sidecar with the way back."""
    affine = prepared.grid.affine
    files: dict[str, Path] = {}

    def output(name: str) -> Path:
        return derivative(results.prepared, scan.scan, name)

    for sequence, channel, there in zip(scan.images, prepared.images, prepared.there, strict=True):
        if there:
            files[sequence] = output(f"desc-prepared_{sequence}.nii")
            write_image(files[sequence], Image(channel, affine), slope=INTENSITY_STEP)
    files["brain"] = output("desc-prepared_mask.nii")
    write_image(files["brain"], Image(prepared.brain, affine))
    for role in ("bits", "ignore"):
        if role in registered.files:
            native = read_labels(results.root / registered.files[role])
            files[role] = output(f"desc-prepared{role}_dseg.nii")
            write_image(files[role], Image(prepare_masks(native, len(config.labels), prepared), affine))
    files["sidecar"] = output("desc-prepared.json")
    sidecar = {
        "Description": "Intensities are z-scores over the brain; world coordinates are those of the native scan",
        "NativeShape": list(prepared.native.shape),
        "NativeAffine": prepared.native.affine.tolist(),
        "Annotated": list(scan.annotated),
    }
    write_text(files["sidecar"], json.dumps(sidecar, indent=2) + "\n")
    return Outcome(files, prepared_values(prepared, config.reference, registered.values))


def read_prepared(scan: Scan, row: Row, results: Results) -> Prepared:
    """A prepared scan as `write_prepared` left it."""
    brain = read_labels(results.root / row.files["brain"])
    sidecar = json.loads((results.root / row.files["sidecar"]).read_text(encoding="utf-8"))
    channels = np.zeros((len(scan.images), *brain.data.shape), np.float32)
    there = tuple(sequence in row.files for sequence in scan.images)
    for channel, sequence in zip(channels, scan.images, strict=True):
        if sequence in row.files:
            stored, slope, _ = memory_map(results.root / row.files[sequence])
            channel[:] = stored * np.float32(slope)
    x, y, z = sidecar["NativeShape"]
    native = Grid((x, y, z), np.array(sidecar["NativeAffine"]))
    return Prepared(channels, there, brain.data > 0, brain.grid, native)
