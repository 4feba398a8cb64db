"""One scan of the cohort table: a reference image, its further sequences and what is known of its masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal, get_args

from flairflow.tables import Column, column

Annotation = Literal["mask", "none", "missing"]
Split = Literal["train", "validation", "test", "archive"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Mask:
    """What is known of one label in one scan; paths are relative to the dataset's root.

    annotation : "mask" (a file says where), "none" (annotated: there is none), "missing" (unknown).
    drawn_on   : the image the mask was drawn on, empty for the reference image.
    values     : voxel values that mean the label; none given: the one value other than 0.
    """

    annotation: Annotation = "missing"
    path: str = ""
    drawn_on: str = ""
    values: tuple[int, ...] = ()
    ignore_values: tuple[int, ...] = ()
    ignore_path: str = ""


@dataclass(frozen=True)
class Scan:
    """One row of the cohort table. `images` and `masks` are keyed by sequence and by label."""

    scan: str
    dataset: str
    participant: str
    session: str
    person: str
    images: Mapping[str, str]
    masks: Mapping[str, Mask]
    brain_mask: str = ""
    split: str = ""
    shard: str = ""
    reason: str = ""
    shape: str = ""
    voxel_mm: str = ""
    digest: str = ""
    note: str = ""
    annotated: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        annotated = tuple(label for label, mask in self.masks.items() if mask.annotation != "missing")
        object.__setattr__(self, "annotated", annotated)

    @property
    def incomplete(self) -> bool:
        """Whether some masks are known and others are missing."""
        return 0 < len(self.annotated) < len(self.masks)

    @property
    def scored(self) -> bool:
        """Whether its predictions are compared with what is known of it."""
        return self.split == "test" and bool(self.annotated)

    @property
    def voxels(self) -> int:
        """Voxels of its reference image; 0 before that was looked at."""
        return prod(map(int, self.shape.split("x"))) if self.shape else 0

    @property
    def included(self) -> bool:
        return not self.reason

    def excluded(self, reason: str) -> Scan:
        """This scan, excluded for `reason` (the first reason stays)."""
        return self if self.reason else replace(self, reason=reason)

    def noted(self, *notes: str) -> Scan:
        """This scan with what a user should know of how its files were chosen and read; nothing stands twice."""
        return replace(self, note="; ".join(dict.fromkeys(note for note in (self.note, *notes) if note)))


def to_row(scan: Scan) -> dict[str, str]:
    """A scan as a row of text, in the order of the table's columns."""
    row = {
        "scan": scan.scan,
        "dataset": scan.dataset,
        "participant": scan.participant,
        "session": scan.session,
        "person": scan.person,
        "status": "included" if scan.included else "excluded",
        "reason": scan.reason,
        "note": scan.note,
        "split": scan.split,
        "shard": scan.shard,
        "shape": scan.shape,
        "voxel_mm": scan.voxel_mm,
    }
    row |= {f"image_{sequence}": path for sequence, path in scan.images.items()}
    row["brain_mask"] = scan.brain_mask
    for label, mask in scan.masks.items():
        row |= {
            f"annotation_{label}": mask.annotation,
            f"mask_{label}": mask.path,
            f"drawn_on_{label}": mask.drawn_on,
            f"values_{label}": ",".join(map(str, mask.values)),
            f"ignore_values_{label}": ",".join(map(str, mask.ignore_values)),
            f"ignore_mask_{label}": mask.ignore_path,
        }
    row["digest"] = scan.digest
    return row


def from_row(row: Mapping[str, str], labels: Sequence[str], images: Sequence[str]) -> Scan:
    """The scan that `to_row` wrote."""

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(number) for number in text.split(",") if number)

    masks = {
        label: Mask(
            annotation=row[f"annotation_{label}"],  # type: ignore[arg-type]
            path=row[f"mask_{label}"],
            drawn_on=row[f"drawn_on_{label}"],
            values=numbers(row[f"values_{label}"]),
            ignore_values=numbers(row[f"ignore_values_{label}"]),
            ignore_path=row[f"ignore_mask_{label}"],
        )
        for label in labels
    }
    names = ("scan", "dataset", "participant", "session", "person", "reason", "note", "split", "shard", "shape")
    return Scan(
        **{name: row[name] for name in (*names, "voxel_mm", "brain_mask", "digest")},
        images={sequence: row[f"image_{sequence}"] for sequence in images},
        masks=masks,
    )


def columns(labels: Sequence[str], images: Sequence[str]) -> dict[str, Column]:
    """The data dictionary of the cohort table."""
    entries = {
        "scan": column("Scan id: the dataset's name and the BIDS entities of the reference image"),
        "dataset": column("Name of the dataset in the configuration"),
        "participant": column("Participant label (BIDS sub-)"),
        "session": column("Session label (BIDS ses-)"),
        "person": column("Who was scanned: ties one person across datasets; splits are by person"),
        "status": column(
            "Whether the scan is used", levels={"included": "used", "excluded": "not used; the reason says why"}
        ),
        "reason": column("Why the scan is excluded"),
        "note": column("How its files were chosen and read, where that was not plain"),
        "split": column(
            "Which part the scan plays; once given it is kept",
            levels={
                "train": "models learn from it",
                "validation": "models are selected on it",
                "test": "seen by the final evaluation only",
                "archive": "nothing annotated: segmented only",
            },
        ),
        "shard": column("Group of scans that one job processes; once given it is kept"),
        "shape": column("Voxels of the reference image along its three axes"),
        "voxel_mm": column("Voxel edge lengths of the reference image along its three axes", "mm"),
    }
    for sequence in images:
        entries[f"image_{sequence}"] = column(f"{sequence} image, relative to the dataset's root; n/a: there is none")
    entries["brain_mask"] = column("Brain mask that came with the dataset, relative to its root")
    for label in labels:
        entries[f"annotation_{label}"] = column(
            f"What is known of {label} in this scan",
            levels={
                "mask": "annotated: the mask file says where (possibly nowhere)",
                "none": "annotated: there is none, as the configuration says of absent files",
                "missing": "not annotated: unknown",
            },
        )
        entries[f"mask_{label}"] = column(f"{label} mask, relative to the dataset's root")
        entries[f"drawn_on_{label}"] = column(f"Image the {label} mask was drawn on, if not the reference image")
        entries[f"values_{label}"] = column(f"Voxel values of the mask that mean {label}; n/a: the one that is not 0")
        entries[f"ignore_values_{label}"] = column("Voxel values of the mask that count nowhere")
        entries[f"ignore_mask_{label}"] = column("Mask of voxels that count nowhere, relative to the dataset's root")
    entries["digest"] = column("SHA-256 over the contents of all the scan's files and what their values mean")
    return entries
