"""From a scan's images to its segmentation in memory: registration, preprocessing and prediction in one go."""

from __future__ import annotations

from collections.abc import Mapping

from flairflow.brain_mask.methods import Brain
from flairflow.config.models import PreprocessingSettings, RegistrationSettings
from flairflow.images.grid import Image
from flairflow.inference.prediction import Segmentation, segment_prepared
from flairflow.network.ensemble import Ensemble
from flairflow.preprocessing.prepare import prepare, prepared_values
from flairflow.registration.register import register_images, registration_values


def segment_images(
    images: Mapping[str, Image | None],
    ensemble: Ensemble,
    *,
    registration: RegistrationSettings,
    preprocessing: PreprocessingSettings,
    seed: int,
    brain: Brain | None,
) -> tuple[Segmentation, dict[str, float | str | None]]:
    """Segment a scan as the stages `register`, `preprocess` and `segment` do, and return what they note of it too.

    images : native images by sequence, the reference first; None for a sequence this scan lacks.
    brain  : the reference's; None: the template's is brought to it.
    Raises ScanError when the images are at fault.
    """
    there = {sequence: image for sequence, image in images.items() if image is not None}
    registered = register_images(there, brain, registration, seed)
    matrices = [
        registered.sequences[sequence].matrix if sequence in registered.sequences else None for sequence in images
    ]
    prepared = prepare(list(images.values()), matrices, registered.brain.mask, preprocessing)
    values = registration_values(registered, registration)
    return segment_prepared(prepared, ensemble), prepared_values(prepared, next(iter(images)), values)
