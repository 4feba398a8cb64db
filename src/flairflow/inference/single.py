"""`flairflow segment`: single images through the same functions as the workflow, in memory, without one."""

from __future__ import annotations

import logging
from pathlib import Path

from flairflow.config.models import RegistrationSettings
from flairflow.errors import ConfigError
from flairflow.images.nifti import read_image
from flairflow.inference.ensemble import Ensemble
from flairflow.inference.one_pass import segment_images
from flairflow.inference.outputs import write_segmentation
from flairflow.preprocessing.synthstrip import synthstrip_brain_mask

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
    segmentation, values = segment_images(
        {ensemble.images[0]: read_image(path)},
        ensemble,
        registration=RegistrationSettings(),
        preprocessing=ensemble.preprocessing,
        seed=0,
        brain=synthstrip_brain_mask(path) if brain_mask == "synthstrip" else None,
    )
    if values["flag"]:
        log.warning("%s: %s: look at the result", path, values["flag"])
    _, volumes = write_segmentation(
        lambda name: folder / f"{output_stem(path)}_{name}",
        segmentation,
        ensemble.labels,
        reference=path,
        provenance={"ModelHash": ensemble.hash},
        probabilities=ensemble.labels if probabilities else (),
    )
    return volumes


def output_stem(path: Path) -> str:
    """What the outputs of an image are named after: `sub-01_FLAIR.nii.gz` gives `sub-01`."""
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    return stem.rsplit("_", 1)[0] if stem.startswith("sub-") else stem
