"""What lies in a dataset and became no scan: counted by reason in the log and in a table, so that nothing vanishes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from flairflow.cohort.bids_names import FileName
from flairflow.cohort.withdrawn import WITHDREW
from flairflow.config.models import Config, Dataset
from flairflow.tables import column

log = logging.getLogger(__name__)

Kind = Literal["folder", "file", "participant"]
# Names that a message or a row of the table has.
EXAMPLES = 10
COLUMNS = {
    "dataset": column("Name of the dataset in the configuration"),
    "what": column(
        "What it is",
        levels={
            "scan": "a row of cohort.tsv",
            "participant": "a participant, by folder or by participants.tsv",
            "folder": "a folder that was not looked into, or whose name is not understood",
            "file": "an image that belongs to no scan",
        },
    ),
    "count": column("How many there are"),
    "expected": column(
        "Whether an archive usually has such; n/a for scans",
        levels={"yes": "for example images of other sequences", "no": "look at it: a name or a table may be wrong"},
    ),
    "reason": column("Why they are no scans, or for scans, why they are excluded; n/a: they are included"),
    "examples": column(f"The first {EXAMPLES} of them"),
}


@dataclass(frozen=True)
class LeftOut:
    """One thing that is no scan. `expected`: as it should be, for example an image of a sequence nobody asked for."""

    kind: Kind
    reason: str
    name: str
    participant: str = ""
    expected: bool = False


def left_out_files(others: Iterable[tuple[FileName | str, str]], dataset: Dataset, config: Config) -> Iterator[LeftOut]:
    """Images below participants' folders that no scan uses, and paths (text) with what is wrong with them."""
    masks = {
        pattern.suffix for source in dataset.labels.values() for pattern in (source, source.ignore_mask) if pattern
    }
    masks |= {dataset.brain_mask.suffix} if dataset.brain_mask else set()
    images = {*config.images, *(source.drawn_on for source in dataset.labels.values() if source.drawn_on)}
    for file, fault in others:
        if isinstance(file, str):
            yield LeftOut("folder", fault, file, _participant(file))
            continue
        reason, expected = file.problem, False
        if not reason:
            reason, expected = _reason(file, images, masks, config.reference, dataset)
        yield LeftOut("file", reason, file.path, file.owner[0], expected)


def tell(dataset: str, left_out: Sequence[LeftOut]) -> None:
    """Say in the log what was left out, by reason, most of it first."""
    for (kind, reason, expected), names in _grouped(left_out).items():
        level = logging.INFO if expected else logging.WARNING
        shown = ", ".join(_shown(dataset, name) for name in names[:EXAMPLES])
        more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
        log.log(level, "%s: %d x %s: %s: %s%s", dataset, len(names), kind, reason, shown, more)


def summary(left_out: Mapping[str, Sequence[LeftOut]], scans: Mapping[str, Sequence[tuple[str, str]]]) -> pd.DataFrame:
    """The table of what was found, by dataset. scans: ids with the reason of those that are excluded."""
    rows = []
    for dataset, found in left_out.items():
        counted: dict[tuple[str, str | None, str], list[str]] = {}
        for scan, reason in scans[dataset]:
            # Of those who withdrew the number is told, not who they are.
            counted.setdefault(("scan", None, without_name(reason)), []).append("" if reason == WITHDREW else scan)
        for (kind, reason, expected), names in _grouped(found).items():
            counted[kind, "yes" if expected else "no", reason] = [_shown(dataset, name) for name in names]
        rows += [
            (dataset, what, len(names), expected, reason or None, ", ".join(filter(None, names[:EXAMPLES])) or None)
            for (what, expected, reason), names in counted.items()
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def without_name(reason: str) -> str:
    """A scan's reason without the file it begins with, which differs from scan to scan."""
    return re.sub(r"^\S+: ", "", reason)


def _reason(file: FileName, images: set[str], masks: set[str], reference: str, dataset: Dataset) -> tuple[str, bool]:
    if file.has_suffix(reference):
        return "the dataset's 'select' leaves it out", True
    if any(file.has_suffix(suffix) for suffix in images):
        return f"no {reference} image in its session", True
    if any(file.has_suffix(suffix) for suffix in masks):
        return "mask of no label of this dataset, or of no reference image", True
    for suffix in sorted(images | masks):
        if suffix.casefold() in file.suffix.casefold():
            return f"its name ends in {file.suffix}, not in {suffix}", suffix in masks
    return f"{file.suffix}: nothing in the configuration asks for it", True


def _grouped(left_out: Iterable[LeftOut]) -> dict[tuple[Kind, str, bool], list[str]]:
    groups: dict[tuple[Kind, str, bool], list[str]] = {}
    for one in left_out:
        groups.setdefault((one.kind, one.reason, one.expected), []).append(one.name)
    return dict(sorted(groups.items(), key=lambda item: (item[0][2], -len(item[1]))))


def _shown(dataset: str, name: str) -> str:
    """A path behind the dataset's name, from the participant's folder on: so `purge` knows whose it is."""
    place = name.find("sub-")
    return f"{dataset}/{name[max(place, 0) :]}"


def _participant(path: str) -> str:
    return next((part[4:] for part in path.split("/") if part.startswith("sub-")), "")
