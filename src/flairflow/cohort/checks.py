"""Is every file of a scan what it says it is? Each file is opened once; the findings are kept for the next index, and
for the same one after a kill."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from flairflow.cohort.scan import Mask, Scan
from flairflow.errors import ScanError
from flairflow.files import appending, json_lines, write_text

if TYPE_CHECKING:
    from flairflow.images.grid import Grid

log = logging.getLogger(__name__)

Kind = Literal["image", "mask"]
MAX_VALUES = 256
FILES_PER_MESSAGE = 1000


@dataclass(frozen=True)
class Finding:
    """What a look at one file found. `problem` is empty for a sound file; `values` are those of a mask; `other` is the
    second matrix of its header, where that says something else; `note` what was odd about it, and how it was read."""

    size: int
    modified: int
    problem: str = ""
    digest: str = ""
    shape: tuple[int, ...] = ()
    affine: tuple[float, ...] = ()
    other: tuple[float, ...] = ()
    values: tuple[int, ...] = ()
    note: str = ""

    @property
    def grids(self) -> list[Grid]:
        """Where the file's voxels stand, by each matrix of its header."""
        from flairflow.images.grid import Grid

        x, y, z = self.shape
        return [Grid((x, y, z), np.array(matrix).reshape(4, 4)) for matrix in (self.affine, self.other) if matrix]


def check_scans(scans: Iterable[Scan], roots: Mapping[str, Path], kept: Path, threads: int) -> list[Scan]:
    """The scans with shape, voxel size and digest filled in; those with a faulty file excluded, with file and reason.

    kept : a JSON-lines file of earlier findings; a file of the same size and modification time is not opened again.
    """
    scans = list(scans)
    findings = _look(_files(scans), roots, kept, threads)
    judged = [_judge(scan, {path: findings[scan.dataset, path] for path, _ in _files_of(scan)}) for scan in scans]
    return _of_known_meaning(judged, findings)


def _of_known_meaning(scans: list[Scan], findings: Mapping[tuple[str, str], Finding]) -> list[Scan]:
    """Exclude scans whose masks hold values of which it is not known whether they mean the label.

    That is decided over all masks of a label in a dataset. Without `values` in the configuration one value means it:
    the one that most masks hold, the lowest of several; each mask that holds another one is unclear. With `values`, a
    mask is at fault that holds something while no mask of its dataset holds them: `values` of 1 for masks of 0 and 255
    would turn every lesion into a known absence.
    """
    held: dict[tuple[str, str], Counter[int]] = {}
    for scan in scans:
        for label, mask in scan.masks.items():
            if mask.path and scan.included:
                held.setdefault((scan.dataset, label), Counter()).update(
                    _meant(mask, findings[scan.dataset, mask.path])
                )
    for index, scan in enumerate(scans):
        for label, mask in scan.masks.items():
            if not (mask.path and scan.included):
                continue
            values, counts = _meant(mask, findings[scan.dataset, mask.path]), held[scan.dataset, label]
            shown, name = ", ".join(map(str, values[:8])), Path(mask.path).name
            hint = f"say under labels.{label}.values which mean {label}"
            usual = min(counts, key=lambda value: (-counts[value], value)) if counts else 0
            if mask.values and values and not set(counts) & set(mask.values):
                scans[index] = scan.excluded(
                    f"{name}: holds {shown}, and no mask of its dataset holds labels.{label}.values"
                )
            elif not mask.values and len(values) > 1:
                scans[index] = scan.excluded(f"{name}: has several values ({shown}); {hint}")
            elif not mask.values and values and values != [usual]:
                scans[index] = scan.excluded(f"{name}: holds {shown}, most masks of its dataset {usual}; {hint}")
    return scans


def _meant(mask: Mask, finding: Finding) -> list[int]:
    """The values of a mask of which each may mean the label."""
    return sorted(set(finding.values) - {0} - set(mask.ignore_values))


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
    if notes := [note for path, _ in _files_of(scan) if (note := findings[path].note)]:
        scan = scan.noted(*notes)
    for mask in scan.masks.values():
        if mask.annotation != "mask":
            continue
        image = mask.drawn_on or reference_path
        for path, what in ((mask.path, "mask"), (mask.ignore_path, "ignore mask")):
            scan = _on_its_image(scan, path, image, what, findings) if path else scan
    if scan.brain_mask:
        scan = _on_its_image(scan, scan.brain_mask, reference_path, "brain mask", findings)
        if findings[scan.brain_mask].values == (0,):
            scan = scan.excluded(f"{Path(scan.brain_mask).name}: brain mask is empty")
    return scan


def _on_its_image(scan: Scan, path: str, image: str, what: str, findings: Mapping[str, Finding]) -> Scan:
    """The scan with a note if a mask has the voxels of its image in another order, excluded if it is none of it."""
    from flairflow.images.axis_order import how_apart, is_reordered, order_between

    mask, of, name = findings[path], findings[image], Path(path).name
    if len(mask.values) >= MAX_VALUES:
        return scan.excluded(f"{name}: values are no mask ({MAX_VALUES} or more different ones)")
    order = order_between(mask.grids, of.grids)
    if order is not None:
        return scan.noted(f"{name}: voxels are in another order than its image's") if is_reordered(order) else scan
    why = "; ".join(filter(None, (how_apart(mask.grids[0], of.grids[0]), of.note, mask.note)))
    return scan.excluded(f"{name}: {what} is not on the grid of {Path(image).name} ({why})")


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
        if set(values) == {entry.name for entry in fields(Finding)}:
            tuples = {key: tuple(values[key]) for key in ("shape", "affine", "other", "values")}
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
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except ScanError as problem:
        return Finding(size, modified, problem=str(problem))
    except (OSError, MemoryError) as problem:
        return Finding(size, modified, problem=f"{path.name}: cannot be read ({problem or type(problem).__name__})")
    values = tuple(int(value) for value in np.unique(image.data)[:MAX_VALUES]) if kind == "mask" else ()
    affine, other = (() if m is None else tuple(map(float, m.ravel())) for m in (image.affine, image.other))
    note = "; ".join(image.notes)
    return Finding(size, modified, "", digest, image.data.shape, affine, other, values, note)


def _digest(scan: Scan, findings: Mapping[str, Finding]) -> str:
    """Contents and meaning of the scan's files, not their names or times: a moved archive is the same archive."""
    meaning = [[m.annotation, m.values, m.ignore_values, bool(m.drawn_on)] for m in scan.masks.values()]
    contents = [findings[path].digest if path else "" for path in scan.images.values()]
    contents += [findings[path].digest for path, _ in _files_of(scan)]
    return hashlib.sha256(json.dumps([contents, meaning]).encode()).hexdigest()


def _spacing(finding: Finding) -> list[float]:
    return [float(edge) for edge in np.linalg.norm(np.array(finding.affine).reshape(4, 4)[:3, :3], axis=0)]
