"""Training reads patches at random places of its scans: copies on a local disk, where a job has one."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from flairflow.files import scratch
from flairflow.training.data.prepared_scan import PreparedScan

log = logging.getLogger(__name__)

# The share of the free space that copies may take.
ROOM = 0.8


def brought_nearby(scans: Sequence[PreparedScan]) -> list[PreparedScan]:
    """The scans with their files copied to this job's scratch folder (`files.on_scratch`); as they are where it has
    none, or where they do not fit."""
    folder = scratch()
    if folder is None:
        return list(scans)
    needed = sum(path.stat().st_size for scan in scans for path in _files(scan))
    free = shutil.disk_usage(folder).free
    copies = Path(mkdtemp(dir=folder))
    try:
        # Checkpoints need some room there too.
        if needed > ROOM * free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        near = [_copied(scan, copies) for scan in scans]
    except OSError as problem:
        # Others may have filled it in the meantime.
        shutil.rmtree(copies, ignore_errors=True)
        log.warning(
            "scans of %.1f GB stay where they are: scratch had %.1f GB free (%s)",
            needed / 1e9,
            free / 1e9,
            problem.strerror,
        )
        return list(scans)
    log.info("%d scans (%.1f GB) copied to scratch", len(scans), needed / 1e9)
    return near


def _copied(scan: PreparedScan, folder: Path) -> PreparedScan:
    copies: dict[Path | None, Path | None] = {None: None}
    for path in _files(scan):
        copies[path] = Path(shutil.copyfile(path, folder / f"{scan.scan}_{path.name}"))
    return replace(
        scan,
        images=tuple(copies[path] for path in scan.images),
        brain=copies[scan.brain] or scan.brain,
        bits=copies[scan.bits],
        ignore=copies[scan.ignore],
        teacher=copies[scan.teacher],
    )


def _files(scan: PreparedScan) -> list[Path]:
    files = (*scan.images, scan.brain, scan.bits, scan.ignore, scan.teacher)
    return [path for path in files if path is not None]
