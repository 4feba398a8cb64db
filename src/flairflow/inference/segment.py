"""The stage `segment`: an ensemble's masks of every scan of a shard, from prepared scans or from images in one pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.images.nifti import read_image
from flairflow.inference.images_to_masks import segment_images
from flairflow.inference.output_files import flag_of, write_prepared_segmentation, write_segmentation
from flairflow.inference.prediction import Segmentation, decide_natively, predict_prepared
from flairflow.network.ensemble import Ensemble
from flairflow.paths import Results, derivative
from flairflow.preprocessing.preprocess import read_prepared
from flairflow.registration.register import scan_brain
from flairflow.shards.ledger import Row
from flairflow.shards.run import Outcome


def segment_scan(scan: Scan, prepared: Row, ensemble: Ensemble, name: str, config: Config, results: Results) -> Outcome:
    """Segment one prepared scan of the cohort with the ensemble `name` and write its masks, and if it is a test scan to
    score the probabilities of its annotated labels on the grid it is scored on. Raises ScanError."""
    ready = read_prepared(scan, prepared, results)
    probabilities = predict_prepared(ready, ensemble)
    segmentation = decide_natively(probabilities, ready)
    native = config.evaluation.grid == "native"
    wanted = scan.annotated if scan.scored and native else ()
    delivered = _deliver(scan, segmentation, prepared.values, ensemble, name, config, results, wanted)
    if not scan.scored or native:
        return delivered
    files = write_prepared_segmentation(
        partial(derivative, results.masks(name), scan.scan),
        probabilities,
        ready.grid.affine,
        config.labels,
        provenance=_provenance(scan, ensemble, name, prepared.values),
        scored=scan.annotated,
    )
    return Outcome({**delivered.files, **files}, delivered.values)


def segment_archive_scan(scan: Scan, ensemble: Ensemble, name: str, config: Config, results: Results) -> Outcome:
    """Segment one scan of the cohort from its images, with no files in between, and write its masks: the same ones as
    by way of `register` and `preprocess`. Raises ScanError."""
    root = config.datasets[scan.dataset].root
    images = {sequence: read_image(root / path) if path else None for sequence, path in scan.images.items()}
    reference = images[config.reference]
    assert reference is not None
    segmentation, values = segment_images(
        images,
        ensemble,
        registration=config.registration,
        preprocessing=config.preprocessing,
        seed=config.seed,
        brain=scan_brain(scan, reference, config),
    )
    return _deliver(scan, segmentation, values, ensemble, name, config, results)


def _deliver(
    scan: Scan,
    segmentation: Segmentation,
    values: Mapping[str, float | str | None],
    ensemble: Ensemble,
    name: str,
    config: Config,
    results: Results,
    probabilities: Collection[str] = (),
) -> Outcome:
    files, volumes = write_segmentation(
        partial(derivative, results.masks(name), scan.scan),
        segmentation,
        config.labels,
        reference=config.datasets[scan.dataset].root / scan.images[config.reference],
        provenance=_provenance(scan, ensemble, name, values),
        probabilities=config.labels if config.segmentation.probabilities else probabilities,
    )
    measured = {f"{label}_ml": round(volume, 6) for label, volume in volumes.items()}
    return Outcome(files, measured | dict(values) | {"precision": ensemble.provenance["Precision"]})


def _provenance(
    scan: Scan, ensemble: Ensemble, name: str, values: Mapping[str, float | str | None]
) -> dict[str, object]:
    """What the sidecars say: model, the files that were read (BIDS URIs), and the flag if there is one."""
    files = [path for path in (*scan.images.values(), scan.brain_mask) if path]
    sources = [f"bids:{scan.dataset}:{path}" for path in files]
    return {"Model": name, **ensemble.provenance, "Sources": sources, **flag_of(values)}
