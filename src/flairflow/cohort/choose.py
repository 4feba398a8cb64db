"""Several reference images in one session: one is chosen by an explicit rule, the others are listed as excluded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from flairflow.cohort.scan import Scan


def choose_per_session(scans: Iterable[Scan], prefer: Sequence[str]) -> list[Scan]:
    """Keep one included scan per dataset, participant and session: the best by the criteria of `prefer`, in order.

    best_in_plane_resolution : smaller product of the two smaller voxel edges; equal ones within 1 %.
    latest_run, first_run    : by the run entity, then by name.
    """
    sessions: dict[tuple[str, str, str], list[Scan]] = defaultdict(list)
    scans = list(scans)
    for scan in scans:
        if scan.included:
            sessions[scan.dataset, scan.participant, scan.session].append(scan)
    chosen = {scan.scan: max(group, key=lambda s: _rank(s, prefer)) for group in sessions.values() for scan in group}
    return [
        scan
        if not scan.included or chosen[scan.scan] is scan
        else scan.excluded(
            f"another image of this session was chosen: {chosen[scan.scan].scan} ({', then '.join(prefer)})"
        )
        for scan in scans
    ]


def _rank(scan: Scan, prefer: Sequence[str]) -> list[Any]:
    entities = dict(part.split("-", 1) for part in scan.scan.split("_") if "-" in part)
    run = entities.get("run", "0")
    number = int(run) if run.isdigit() else 0
    edges = sorted(float(edge) for edge in scan.voxel_mm.split("x"))
    in_plane = round(edges[0] * edges[1], 2 if edges[0] * edges[1] > 0.1 else 4)
    values = {"best_in_plane_resolution": -in_plane, "latest_run": number, "first_run": -number}
    return [*(values[criterion] for criterion in prefer), scan.scan]
