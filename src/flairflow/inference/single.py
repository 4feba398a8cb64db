"""`flairflow segment`: single images through the same functions as the workflow, in memory, without one."""

from __future__ import annotations

from pathlib import Path

from flairflow.config.models import RegistrationSettings
from flairflow.errors import ConfigError
from flairflow.images.nifti import read_image
from flairflow.inference.ensemble import Ensemble
from flairflow.inference.outputs import write_segmentation
from flairflow.inference.segment import segment_prepared
from flairflow.preprocessing.prepare import prepare
from flairflow.preprocessing.synthstrip import synthstrip_brain_mask
from flairflow.registration.stage import register_images


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
        brain = register_images({reference: image}, RegistrationSettings(), seed=0).brain
    prepared = prepare([image], [None], brain, ensemble.preprocessing)
    stem = path.name.removesuffix(".gz").removesuffix(".nii").removesuffix(f"_{reference}")
    _, volumes = write_segmentation(
        lambda name: folder / f"{stem}_{name}",
        segment_prepared(prepared, ensemble),
        ensemble.labels,
        reference=path,
        affine=image.affine,
        provenance={"ModelHash": ensemble.hash},
        probabilities=probabilities,
    )
    return volumes
