"""What a mask file, or its absence, says of a label in a scan."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from flairflow.cohort.scan import Mask
from flairflow.config.models import Dataset, LabelSource
from flairflow.tables import same_value, whole

log = logging.getLogger(__name__)


def drawn_elsewhere(source: LabelSource, reference: str) -> bool:
    """Whether the masks were drawn on another sequence than the reference image."""
    return source.drawn_on is not None and source.drawn_on != reference


def mask_of_file(source: LabelSource, path: str, drawn_on: str, ignore_path: str, reference: str) -> Mask:
    """A mask that is there. drawn_on: the image it was drawn on, where that is another than the reference."""
    return Mask(
        annotation="mask",
        path=path,
        drawn_on=drawn_on if drawn_elsewhere(source, reference) else "",
        values=source.values,
        ignore_values=source.ignore_values,
        ignore_path=ignore_path,
    )


def no_image_below(source: LabelSource, path: str, drawn_on: str, reference: str) -> str:
    """The problem of a mask whose image is not there, if it has that problem."""
    if not drawn_elsewhere(source, reference) or drawn_on:
        return ""
    return f"{PurePosixPath(path).name}: drawn on another image, but there is no {source.drawn_on} image in its session"


def mask_without_file(source: LabelSource, about: Mapping[str, str]) -> Mask:
    """What the absence of a file says; `about` is the participant's row of participants.tsv or of the manifest."""
    none = source.absent == "none" or any(
        column in about and any(same_value(about[column], value) for value in values)
        for column, values in source.none_where.items()
    )
    return Mask(annotation="none" if none else "missing")


def warn_of_unused(name: str, dataset: Dataset, rows: Iterable[Mapping[str, str]], where: str) -> None:
    """Warn of columns and values that the configuration names and no row of the table `where` has."""
    rows = list(rows)
    used: list[tuple[str, str, tuple[str, ...]]] = []
    if dataset.person_column:
        used.append((f"datasets.{name}.person_column", dataset.person_column, ()))
    for label, source in dataset.labels.items():
        used += [
            (f"datasets.{name}.labels.{label}.none_where.{column}", column, values)
            for column, values in source.none_where.items()
        ]
    for key, column, values in used:
        held = Counter(row.get(column, "") for row in rows)
        if not set(held) - {""}:
            log.warning("%s: %s has no value in the column %r", key, where, column)
        elif lost := [value for value in values if not any(same_value(value, other) for other in held)]:
            there = ", ".join(f"{other or 'none'} ({count})" for other, count in held.most_common(8))
            log.warning("%s: no row of %s has %s; there are %s", key, where, ", ".join(map(repr, lost)), there)


def person_of(name: str, participant: str, about: Mapping[str, str], dataset: Dataset) -> str:
    """Who was scanned: by the dataset's person column, else the participant within the dataset."""
    return whole(about.get(dataset.person_column or "", "")) or f"{name}_sub-{participant}"
