"""Which of several images of a session is taken: one rule for the reference, further sequences and what masks are
drawn on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

# Three quarters of the extents (mm) of the brain of MNI152, from the smallest: a field of view below is no whole head.
WHOLE = (106.0, 112.0, 133.0)
NOT_MAGNITUDE = ("phase", "real", "imag")
# What images have that were made from others.
MADE = ("desc", "space", "res", "den")
WHY = {
    "first": "of files with one name .nii.gz before .nii, then the first folder",
    "magnitude": "magnitude before phase",
    "raw": "as scanned before processed",
    "whole": "whole head before a part of it",
    "plain": "without contrast agent before with",
    "same": "named like what it goes with",
    "best_in_plane_resolution": "best in-plane resolution",
    "latest_run": "latest run",
    "first_run": "first run",
    "fewest": "the shortest name",
    "name": "the last name",
}

Rank = dict[str, Any]


def rank(
    entities: Mapping[str, str],
    extents: Sequence[float],
    edges: Sequence[float],
    prefer: Sequence[str],
    alike: int = 0,
) -> Rank:
    """The criteria in the order in which they count, by name; more is better.

    extents, edges : field of view and voxel edges in mm along the three axes; none where they are not known.
    prefer         : best_in_plane_resolution (smaller product of the two smaller edges; equal ones within 1 %),
                     latest_run, first_run.
    alike          : how much its name has in common with that of what it goes with.
    """
    run = entities.get("run", "0")
    number = int(run) if run.isdigit() else 0
    smallest = sorted(edges)
    area = smallest[0] * smallest[1] if edges else float("inf")
    values = {
        "best_in_plane_resolution": -round(area, 2 if area > 0.1 else 4),
        "latest_run": number,
        "first_run": -number,
    }
    return {
        "first": "dup" not in entities,
        "magnitude": entities.get("part") not in NOT_MAGNITUDE,
        "raw": not any(key in entities for key in MADE),
        "whole": round(head_share(extents), 1),
        "plain": "ce" not in entities,
        "same": alike,
        **{criterion: values[criterion] for criterion in prefer},
        "fewest": -len(entities),
        "name": _natural("_".join(f"{key}-{value}" for key, value in entities.items())),
    }


def order(rank: Rank) -> list[Any]:
    """What ranks are compared by."""
    return list(rank.values())


def why(chosen: Rank, other: Rank) -> str:
    """What spoke for the chosen one of two images."""
    return next((WHY[name] for name in chosen if chosen[name] != other[name]), "the first of two with the same name")


def head_share(extents: Sequence[float]) -> float:
    """1 for a field of view that a head's brain fits in, less for a slab or a half; 0 where it is not known. It follows
    from the extents alone: a head may lie in any direction."""
    if not extents:
        return 0.0
    return prod(min(1.0, extent / whole) for extent, whole in zip(sorted(extents), WHOLE, strict=True))


def part_of_a_head(extents: Sequence[float]) -> str:
    """A note on an image with too small a field of view for a head, or ""."""
    if not extents or head_share(extents) == 1:
        return ""
    shown = " x ".join(f"{extent:.0f}" for extent in extents)
    return f"field of view {shown} mm: a part of a head only"


def look(path: Path) -> tuple[list[float], list[float]]:
    """Field of view and voxel edges of an image in mm, by its header; none where that cannot be read."""
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        edges = [float(edge) for edge in image.header.get_zooms()[:3]]
        extents = [edge * size for edge, size in zip(edges, image.shape[:3], strict=True)]
    # Whatever is wrong with it: its own reason comes from the checks, if it is taken.
    except Exception:
        return [], []
    return (extents, edges) if len(edges) == 3 else ([], [])


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
