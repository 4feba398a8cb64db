"""Several reference images in one session: one is chosen by an explicit rule, the others are listed as excluded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from flairflow.cohort.image_preference import Rank, order, part_of_a_head, rank, why
from flairflow.cohort.scan import Scan


def choose_per_session(scans: Iterable[Scan], prefer: Sequence[str]) -> list[Scan]:
    """Keep one included scan per dataset, participant and session: the best by `preference.rank`. A chosen one that
    shows a part of a head only gets a note."""
    sessions: dict[tuple[str, str, str], list[Scan]] = defaultdict(list)
    scans = list(scans)
    for scan in scans:
        if scan.included:
            sessions[scan.dataset, scan.participant, scan.session].append(scan)
    chosen: dict[str, Scan] = {}
    for group in sessions.values():
        best = max(group, key=lambda scan: order(_rank(scan, prefer))) if len(group) > 1 else group[0]
        for scan in group:
            other = f"another image of this session was chosen: {best.scan}"
            chosen[scan.scan] = (
                scan.noted(part_of_a_head(_extents(scan)))
                if scan is best
                else scan.excluded(f"{other} ({why(_rank(best, prefer), _rank(scan, prefer))})")
            )
    return [chosen.get(scan.scan, scan) for scan in scans]


def _rank(scan: Scan, prefer: Sequence[str]) -> Rank:
    entities = dict(part.split("-", 1) for part in scan.scan.split("_") if "-" in part)
    return rank(entities, _extents(scan), _edges(scan), prefer)


def _edges(scan: Scan) -> list[float]:
    return [float(edge) for edge in scan.voxel_mm.split("x")] if scan.voxel_mm else []


def _extents(scan: Scan) -> list[float]:
    return [edge * int(size) for edge, size in zip(_edges(scan), scan.shape.split("x"), strict=True)]
