"""What a mask file, or its absence, says of a label in a scan."""

from __future__ import annotations

from collections.abc import Mapping

from flairflow.cohort.scan import Mask
from flairflow.config.models import Dataset, LabelSource


def drawn_elsewhere(source: LabelSource, reference: str) -> bool:
    """Whether the masks were drawn on another sequence than the reference image."""
    return source.drawn_on is not None and source.drawn_on != reference


def mask_of_file(source: LabelSource, path: str, drawn_on: str, ignore_path: str, reference: str) -> Mask:
    """A mask that is there. drawn_on: the image it was drawn on, "" where it is not found."""
    elsewhere = drawn_elsewhere(source, reference)
    return Mask(
        annotation="mask",
        path=path,
        drawn_on=(drawn_on or f"(no {source.drawn_on} image)") if elsewhere else "",
        values=source.values,
        ignore_values=source.ignore_values,
        ignore_path=ignore_path,
    )


def mask_without_file(source: LabelSource, about: Mapping[str, str]) -> Mask:
    """What the absence of a file says; `about` is the participant's row of participants.tsv or of the manifest."""
    none = source.absent == "none" or any(about.get(column) in values for column, values in source.none_where.items())
    return Mask(annotation="none" if none else "missing")


def person_of(name: str, participant: str, about: Mapping[str, str], dataset: Dataset) -> str:
    """Who was scanned: by the dataset's person column, else the participant within the dataset."""
    return about.get(dataset.person_column or "") or f"{name}_sub-{participant}"
