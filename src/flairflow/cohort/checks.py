"""Is every file of a scan what it says it is? Each file is opened once; the findings are kept for the next index, and
for the same one after a kill."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from flairflow.cohort.scan import Mask, Scan
from flairflow.errors import ScanError
from flairflow.files import appending, json_lines, write_text

log = logging.getLogger(__name__)

Kind = Literal["image", "mask"]
MOST_VALUES = 256
FILES_PER_MESSAGE = 1000


@dataclass(frozen=True)
class Finding:
    """What a look at one file found. `problem` is empty for a sound file; `values` are those of a mask."""

    size: int
    modified: int
    problem: str = ""
    digest: str = ""
    shape: tuple[int, ...] = ()
    affine: tuple[float, ...] = ()
    values: tuple[int, ...] = ()


def check_scans(scans: Iterable[Scan], roots: Mapping[str, Path], kept: Path, threads: int) -> list[Scan]:
    """The scans with shape, voxel size and digest filled in; those with a faulty file excluded, with file and reason.

    kept : a JSON-lines file of earlier findings; a file of the same size and modification time is not opened again.
    """
    scans = list(scans)
    findings = _look(_files(scans), roots, kept, threads)
    judged = [_judge(scan, {path: findings[scan.dataset, path] for path, _ in _files_of(scan)}) for scan in scans]
    return _without_unused_values(judged, findings)


def _without_unused_values(scans: list[Scan], findings: Mapping[tuple[str, str], Finding]) -> list[Scan]:
    """Exclude scans whose masks hold something while no mask of their dataset holds what means the label: `values` of
    1 for masks of 0 and 255 would turn every lesion into a known absence."""
    held: dict[tuple[str, str], set[int]] = {}
    for scan in scans:
        for label, mask in scan.masks.items():
            if mask.path and scan.included:
                held.setdefault((scan.dataset, label), set()).update(findings[scan.dataset, mask.path].values)
    for index, scan in enumerate(scans):
        for label, mask in scan.masks.items():
            values = held.get((scan.dataset, label), set())
            if mask.path and mask.values and not values & set(mask.values):
                others = set(findings[scan.dataset, mask.path].values) - {0} - set(mask.ignore_values)
                if others:
                    shown = ", ".join(map(str, sorted(others)[:8]))
                    scans[index] = scan.excluded(
                        f"{Path(mask.path).name}: holds {shown}, and no mask of its dataset holds labels.{label}.values"
                    )
    return scans


def _judge(scan: Scan, findings: Mapping[str, Finding]) -> Scan:
    for path, _ in _files_of(scan):
        if problem := findings[path].problem:
            return scan.excluded(problem)
    reference_path = next(iter(scan.images.values()))
    if not reference_path:
        return scan.excluded("no reference image")
    reference = findings[reference_path]
    scan = replace(
        scan,
        shape="x".join(map(str, reference.shape)),
        voxel_mm="x".join(f"{edge:.4g}" for edge in _spacing(reference)),
        digest=_digest(scan, findings),
    )
    for label, mask in scan.masks.items():
        if mask.annotation != "mask":
            continue
        if problem := _mask_problem(label, mask, findings, reference):
            return scan.excluded(problem)
    if scan.brain_mask and not _on_grid(findings[scan.brain_mask], reference):
        return scan.excluded(
            f"{Path(scan.brain_mask).name}: brain mask is not on the grid of {Path(reference_path).name}"
        )
    return scan


def _mask_problem(label: str, mask: Mask, findings: Mapping[str, Finding], reference: Finding) -> str:
    name = Path(mask.path).name
    image = findings[mask.drawn_on] if mask.drawn_on else reference
    if not _on_grid(findings[mask.path], image):
        return f"{name}: mask is not on the grid of the image it was drawn on (shape or position differ)"
    if mask.ignore_path and not _on_grid(findings[mask.ignore_path], image):
        return f"{Path(mask.ignore_path).name}: ignore mask is not on the grid of the image it was drawn on"
    meant = set(findings[mask.path].values) - {0} - set(mask.ignore_values)
    if len(findings[mask.path].values) >= MOST_VALUES:
        return f"{name}: values are no mask ({MOST_VALUES} or more different ones)"
    if not mask.values and len(meant) > 1:
        shown = ", ".join(map(str, sorted(meant)[:8]))
        return f"{name}: has several values ({shown}); say under labels.{label}.values which mean {label}"
    return ""


def _files_of(scan: Scan) -> list[tuple[str, Kind]]:
    files: list[tuple[str, Kind]] = [(path, "image") for path in scan.images.values() if path]
    if scan.brain_mask:
        files.append((scan.brain_mask, "mask"))
    for mask in scan.masks.values():
        files += [(path, "mask") for path in (mask.path, mask.ignore_path) if path]
        if mask.drawn_on:
            files.append((mask.drawn_on, "image"))
    return files


def _files(scans: Iterable[Scan]) -> list[tuple[str, str, Kind]]:
    return sorted({(scan.dataset, path, kind) for scan in scans for path, kind in _files_of(scan)})


def _look(
    files: list[tuple[str, str, Kind]], roots: Mapping[str, Path], kept: Path, threads: int
) -> dict[tuple[str, str], Finding]:
    earlier = _read(kept)

    def look(file: tuple[str, str, Kind]) -> Finding:
        dataset, path, kind = file
        return _finding(roots[dataset] / path, kind, earlier.get((dataset, path)))

    found: dict[tuple[str, str], Finding] = {}
    # Reading an archive takes hours: what was found is written at once, for an index that is killed to go on from.
    with appending(kept) as lines, ThreadPoolExecutor(max(threads, 1)) as pool:
        for (dataset, path, _), finding in zip(files, pool.map(look, files), strict=True):
            found[dataset, path] = finding
            if finding is not earlier.get((dataset, path)):
                lines.write(_line(dataset, path, finding).encode())
                lines.flush()
            if len(found) % FILES_PER_MESSAGE == 0:
                log.info("looked at %d of %d files", len(found), len(files))
    write_text(kept, "".join(_line(*key, finding) for key, finding in found.items()))
    return found


def _line(dataset: str, path: str, finding: Finding) -> str:
    return json.dumps([dataset, path, vars(finding)]) + "\n"


def _read(kept: Path) -> dict[tuple[str, str], Finding]:
    findings = {}
    for dataset, path, values in json_lines(kept):
        tuples = {key: tuple(values[key]) for key in ("shape", "affine", "values")}
        findings[dataset, path] = Finding(**{**values, **tuples})
    return findings


def _finding(path: Path, kind: Kind, earlier: Finding | None) -> Finding:
    from flairflow.images.nifti import read_image, read_labels

    try:
        stat = path.stat()
        size, modified = stat.st_size, stat.st_mtime_ns
    except OSError:
        size, modified = -1, -1
    # A problem may have been a passing one of the file system: it is looked at again.
    if earlier and not earlier.problem and (earlier.size, earlier.modified) == (size, modified):
        return earlier
    try:
        image = read_image(path) if kind == "image" else read_labels(path)
    except ScanError as problem:
        return Finding(size, modified, problem=str(problem))
    values = tuple(int(value) for value in np.unique(image.data)[:MOST_VALUES]) if kind == "mask" else ()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    affine = tuple(float(number) for number in image.affine.ravel())
    return Finding(size, modified, digest=digest, shape=image.data.shape, affine=affine, values=values)


def _digest(scan: Scan, findings: Mapping[str, Finding]) -> str:
    """Contents and meaning of the scan's files, not their names or times: a moved archive is the same archive."""
    meaning = [[m.annotation, m.values, m.ignore_values, bool(m.drawn_on)] for m in scan.masks.values()]
    contents = [findings[path].digest if path else "" for path in scan.images.values()]
    contents += [findings[path].digest for path, _ in _files_of(scan)]
    return hashlib.sha256(json.dumps([contents, meaning]).encode()).hexdigest()


def _on_grid(finding: Finding, of: Finding) -> bool:
    from flairflow.images.grid import Grid, same_grid

    def grid(finding: Finding) -> Grid:
        x, y, z = finding.shape
        return Grid((x, y, z), np.array(finding.affine).reshape(4, 4))

    return same_grid(grid(finding), grid(of))


def _spacing(finding: Finding) -> list[float]:
    return [float(edge) for edge in np.linalg.norm(np.array(finding.affine).reshape(4, 4)[:3, :3], axis=0)]
