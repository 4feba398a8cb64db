"""The brain of a reference image, from where the configuration says; the template's is found by registration alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flairflow.brain_mask.plausible import usable_brain
from flairflow.brain_mask.synthstrip import synthstrip_brain_mask
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_labels


@dataclass(frozen=True, eq=False)
class Brain:
    """A brain mask, bool (X, Y, Z), on the reference's grid; `doubt` as of `FoundBrain`, None where no network was."""

    mask: Array
    doubt: float | None = None


def reference_brain(image: Image, path: Path, source: str, provided: Path | None = None) -> Brain | None:
    """The brain of a reference image by the word of `preprocessing.brain_mask`; None for the template's.

    path, provided : the image's file, and that of its brain mask where they are provided.
    Raises ScanError when no brain is found or a file is at fault, ConfigError when what finds it is not installed.
    """
    if source == "provided":
        assert provided is not None
        return Brain(usable_brain(read_labels(provided), image, provided.name))
    if source == "synthstrip":
        return Brain(synthstrip_brain_mask(path, image))
    if source == "network":
        from flairflow.brain_mask.network import brain_mask, find_brain

        found = find_brain(image)
        return Brain(brain_mask(found, image.grid), found.doubt)
    return None
