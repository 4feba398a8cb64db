"""The stage `pseudolabel`: what a teacher's ensemble sees in the training scans that lack a mask."""

from __future__ import annotations

import json

import cc3d
import numpy as np
import torch

from flairflow import __version__
from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.files import write_text
from flairflow.images.grid import Array, Image
from flairflow.images.masks import decode
from flairflow.images.nifti import read_labels, write_image
from flairflow.inference.prediction import predict_prepared
from flairflow.inference.teachers import Teaching
from flairflow.paths import SOFTWARE, Results, derivative
from flairflow.preprocessing.preprocess import read_prepared
from flairflow.shards.ledger import Row
from flairflow.shards.run import Outcome
from flairflow.training.data.targets import fill_missing

STEP = 1 / 255


def pseudolabel_scan(scan: Scan, prepared: Row, teaching: Teaching, config: Config, results: Results) -> Outcome:
    """Write the probabilities of background and every label of one prepared scan, uint8 (X, Y, Z, 1 + L) on its grid.

    Where a lesion that fills in a missing mask is smaller than the teacher passes on, all of them are 0: nothing is
    said. What fills in each missing mask (`training.data.targets.fill_missing`) is measured in ml. Raises ScanError.
    """
    ready = read_prepared(scan, prepared, results)
    ensemble = teaching.ensemble(scan)
    stored = np.rint(predict_prepared(ready, ensemble) / STEP).astype(np.uint8)
    bits = read_labels(results.root / prepared.files["bits"]).data.astype(np.uint8)
    missing = [label for label in config.labels if label not in scan.annotated]
    filled = _filled(bits, stored, scan, config)
    for label in missing:
        small = too_small(decode(filled, label, config.labels), teaching.smallest_ml / ready.grid.voxel_ml)
        stored[:, small] = 0
    filled = _filled(bits, stored, scan, config)
    folder = results.pseudolabels(teaching.name)
    files = {"teacher": derivative(folder, scan.scan, "probseg.nii")}
    write_image(files["teacher"], Image(np.moveaxis(stored, 0, -1), ready.grid.affine), slope=STEP)
    sidecar = {
        "Description": "Probabilities by a model, one volume a class, on the grid of the prepared scan",
        "LabelMap": ["background", *config.labels],
        "Model": teaching.name,
        **ensemble.provenance,
        "SoftwareName": SOFTWARE,
        "SoftwareVersion": __version__,
    }
    write_text(derivative(folder, scan.scan, "probseg.json"), json.dumps(sidecar, indent=2) + "\n")
    volumes = {label: float(decode(filled, label, config.labels).sum()) * ready.grid.voxel_ml for label in missing}
    return Outcome(files, {f"{label}_ml": round(volume, 6) for label, volume in volumes.items()})


def too_small(mask: Array, voxels: float) -> Array:
    """The lesions of a boolean mask (X, Y, Z) with fewer voxels; a lesion is what touches, if only by a corner."""
    if voxels <= 1:
        return np.zeros(mask.shape, bool)
    lesions = cc3d.connected_components(mask, connectivity=26)
    sizes = np.bincount(lesions.ravel())
    small: Array = mask & (sizes < voxels)[lesions]
    return small


def _filled(bits: Array, probabilities: Array, scan: Scan, config: Config) -> Array:
    annotated = torch.tensor([[label in scan.annotated for label in config.labels]])
    filled: Array = fill_missing(torch.from_numpy(bits)[None], annotated, torch.from_numpy(probabilities)[None])[
        0
    ].numpy()
    return filled
