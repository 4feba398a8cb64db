"""The stage `segment`: an ensemble's masks of every scan of a shard, from prepared scans or from images in one pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

import numpy as np

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.images.grid import Grid
from flairflow.images.nifti import memory_map, read_image, read_labels
from flairflow.inference.ensemble import Ensemble
from flairflow.inference.one_pass import segment_images
from flairflow.inference.outputs import write_segmentation
from flairflow.inference.segment import Segmentation, segment_prepared
from flairflow.paths import Results, derivative
from flairflow.preprocessing.prepare import Prepared
from flairflow.preprocessing.stage import given_brain_mask
from flairflow.shards.ledger import Row
from flairflow.shards.run import Outcome


def segment_scan(scan: Scan, prepared: Row, ensemble: Ensemble, name: str, config: Config, results: Results) -> Outcome:
    """Segment one prepared scan of the cohort with the ensemble `name` and write its masks. Raises ScanError."""
    segmentation = segment_prepared(read_prepared(scan, prepared, results), ensemble)
    return _deliver(scan, segmentation, prepared.values, ensemble, name, config, results)


def segment_archive_scan(scan: Scan, ensemble: Ensemble, name: str, config: Config, results: Results) -> Outcome:
    """Segment one scan of the cohort from its images, with no files in between, and write its masks: the same ones as
    by way of `register` and `preprocess`. Raises ScanError."""
    root = config.datasets[scan.dataset].root
    segmentation, values = segment_images(
        {sequence: read_image(root / path) if path else None for sequence, path in scan.images.items()},
        ensemble,
        registration=config.registration,
        preprocessing=config.preprocessing,
        seed=config.seed,
        brain=given_brain_mask(scan, config),
    )
    return _deliver(scan, segmentation, values, ensemble, name, config, results)


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


def _deliver(
    scan: Scan,
    segmentation: Segmentation,
    values: Mapping[str, float | str | None],
    ensemble: Ensemble,
    name: str,
    config: Config,
    results: Results,
) -> Outcome:
    files, volumes = write_segmentation(
        partial(derivative, results.masks(name), scan.scan),
        segmentation,
        config.labels,
        reference=config.datasets[scan.dataset].root / scan.images[config.reference],
        provenance={"Model": name, "ModelHash": ensemble.hash},
        probabilities=config.segmentation.probabilities,
    )
    return Outcome(files, {f"{label}_ml": round(volume, 6) for label, volume in volumes.items()} | dict(values))
