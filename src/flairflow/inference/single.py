"""`flairflow segment`: single images through the same functions as the workflow, in memory, without one."""

from __future__ import annotations

import logging
from pathlib import Path

from flairflow.config.models import RegistrationSettings
from flairflow.errors import ConfigError
from flairflow.images.nifti import read_image
from flairflow.inference.ensemble import Ensemble
from flairflow.inference.outputs import write_segmentation
from flairflow.inference.segment import segment_prepared
from flairflow.preprocessing.prepare import prepare
from flairflow.preprocessing.synthstrip import synthstrip_brain_mask
from flairflow.registration.stage import LOW_QUALITY, register_images

log = logging.getLogger(__name__)


def segment_image(
    path: Path, ensemble: Ensemble, folder: Path, brain_mask: str, probabilities: bool
) -> dict[str, float]:
    """Segment one reference image and write its masks to `folder`, named after it; returns ml by label.

    brain_mask : "template" or "synthstrip". Raises ScanError when the image is at fault, ConfigError when the models
    read more than one sequence.
    """
    if len(ensemble.images) > 1:
        raise ConfigError(f"these models read {', '.join(ensemble.images)}: use the workflow, which registers them")
    reference = ensemble.images[0]
    image = read_image(path)
    if brain_mask == "synthstrip":
        brain = synthstrip_brain_mask(path)
    else:
        settings = RegistrationSettings()
        registered = register_images({reference: image}, settings, seed=0)
        if registered.template.quality < settings.minimum_quality:
            log.warning("%s: %s (%.2f): look at the result", path, LOW_QUALITY, registered.template.quality)
        brain = registered.brain
    prepared = prepare([image], [None], brain, ensemble.preprocessing)
    _, volumes = write_segmentation(
        lambda name: folder / f"{output_stem(path)}_{name}",
        segment_prepared(prepared, ensemble),
        ensemble.labels,
        reference=path,
        affine=image.affine,
        provenance={"ModelHash": ensemble.hash},
        probabilities=probabilities,
    )
    return volumes


def output_stem(path: Path) -> str:
    """What the outputs of an image are named after: `sub-01_FLAIR.nii.gz` gives `sub-01`."""
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    return stem.rsplit("_", 1)[0] if stem.startswith("sub-") else stem
