"""The stage `segment`: an ensemble's masks of every scan of a shard, on the native grid."""

from __future__ import annotations

import json
from functools import partial

import numpy as np

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.images.grid import Grid
from flairflow.images.nifti import memory_map, read_labels
from flairflow.inference.ensemble import Ensemble
from flairflow.inference.outputs import write_segmentation
from flairflow.inference.segment import segment_prepared
from flairflow.paths import Results, derivative
from flairflow.preprocessing.prepare import Prepared
from flairflow.shards.ledger import Row
from flairflow.shards.run import Outcome


def segment_scan(scan: Scan, prepared: Row, ensemble: Ensemble, name: str, config: Config, results: Results) -> Outcome:
    """Segment one prepared scan of the cohort with the ensemble `name` and write its masks. Raises ScanError."""
    ready = read_prepared(scan, prepared, results)
    segmentation = segment_prepared(ready, ensemble)
    files, volumes = write_segmentation(
        partial(derivative, results.masks(name), scan.scan),
        segmentation,
        config.labels,
        reference=config.datasets[scan.dataset].root / scan.images[config.reference],
        affine=ready.native.affine,
        provenance={"Model": name, "ModelHash": ensemble.hash},
        probabilities=config.segmentation.probabilities,
    )
    values = {f"{label}_ml": round(volume, 6) for label, volume in volumes.items()}
    return Outcome(files, values | {"brain_ml": prepared.values["brain_ml"]})


def read_prepared(scan: Scan, row: Row, results: Results) -> Prepared:
    """A prepared scan as the stage before wrote it."""
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
