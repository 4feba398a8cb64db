"""Where the header of an image says that its voxels stand: in millimetres, by one of its two matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from flairflow.errors import ScanError
from flairflow.images.grid import Array, Grid, furthest_apart, same_grid

# nibabel leaves the unit of length aside, ITK heeds it.
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}

# Of human heads: voxel edges in mm, and how far an image reaches along each axis.
SMALLEST_EDGE, LARGEST_EDGE = 0.2, 12.0
SHORTEST_VIEW, LONGEST_VIEW = 60.0, 500.0

# How far from the origin, in mm, single numbers of a header still tell a hundredth of a millimetre.
FURTHEST = 1e5

# Fewer voxels along an axis may be a slab; as many in less than SHORTEST_VIEW are of a wrong size.
WHOLE_AXIS = 32


@dataclass(frozen=True, eq=False)
class Placement:
    """Where an image stands.

    affine : 4x4 from voxel indices to RAS mm: the sform's matrix where it is usable, as nibabel has it; the qform's
             where the sform's is not, or its voxels are of another size (it may lead into a template's space).
    other  : the header's second matrix, where programs that go by that one see the image elsewhere.
    notes  : what was odd, in words.
    """

    affine: Array
    other: Array | None = None
    notes: tuple[str, ...] = ()


def placement(image: Any, name: str) -> Placement:
    """Where a nibabel image stands. Raises ScanError naming the file when its header does not say it."""
    header, shape = image.header, tuple(map(int, image.shape[:3]))
    if not isinstance(header, nib.Nifti1Header):
        return Placement(_usable(image.affine, name))
    unit = MILLIMETRES.get(_unit(header), 1.0)
    sform, qform = (_matrix(header, kind, unit) for kind in ("sform", "qform"))
    codes = f"qform code {int(header['qform_code'])}, sform code {int(header['sform_code'])}"
    notes = [f"{name}: lengths are in {_unit(header)}, taken to mm"] if unit != 1 else []
    if not (header["sform_code"] or header["qform_code"]):
        notes.append(f"{name}: has no position ({codes}), so which side is left is a guess")
        return Placement(_usable(_to_mm(header.get_base_affine(), unit), name), None, tuple(notes))
    if sform is None and qform is None:
        raise ScanError(f"{name}: its header gives no usable voxel-to-world affine ({codes})")
    if sform is None or qform is None:
        used, kind = (qform, "sform") if sform is None else (sform, "qform")
        assert used is not None
        if header[f"{kind}_code"]:
            notes.append(f"{name}: its {kind} is no usable matrix, so the other one counts ({codes})")
        said = header["pixdim"][1:4].tolist()
        if sform is not None and not _same_edges(_edges(sform), (edge * unit for edge in said)):
            sizes = " x ".join(f"{edge:.3g}" for edge in said)
            notes.append(f"{name}: pixdim says {sizes}, which its sform does not; the sform counts")
        return Placement(used, None, tuple(notes))
    grids = Grid(shape, sform), Grid(shape, qform)  # type: ignore[arg-type]
    # Mostly they are equal but for rounding, which a glance tells.
    if _at_most_apart(sform, qform, shape) < 0.01 or same_grid(*grids):
        return Placement(sform, None, tuple(notes))
    affine, other, kind = (
        (sform, qform, "sform") if _same_edges(_edges(sform), _edges(qform)) else (qform, sform, "qform")
    )
    mirrored = ", left and right exchanged" if np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0 else ""
    apart = f"qform and sform place it up to {furthest_apart(*grids):.1f} mm apart{mirrored} ({codes})"
    return Placement(affine, other, (*notes, f"{name}: {apart}; its {kind} counts here"))


def check_plausible(grid: Grid, name: str) -> None:
    """Raise ScanError naming the file when no scan of a head has such voxels or such a field of view."""
    edges: list[float] = grid.spacing.tolist()
    views = [edge * count for edge, count in zip(edges, grid.shape, strict=True)]

    def shown(lengths: list[float]) -> str:
        return " x ".join(f"{length:.4g}" for length in lengths)

    if min(edges) < SMALLEST_EDGE * 0.999 or max(edges) > LARGEST_EDGE * 1.001:
        raise ScanError(
            f"{name}: voxels of {shown(edges)} mm (of a head {SMALLEST_EDGE:g} to {LARGEST_EDGE:g}); "
            "fix the voxel size, or the unit of length, in its header"
        )
    if (away := float(np.abs(grid.affine[:3, 3]).max())) > FURTHEST:
        raise ScanError(f"{name}: lies {away:.3g} mm from the origin; mend the position in its header")
    whole = [view for view, count in zip(views, grid.shape, strict=True) if count >= WHOLE_AXIS]
    if max(views) > LONGEST_VIEW or min(whole, default=SHORTEST_VIEW) < SHORTEST_VIEW:
        raise ScanError(
            f"{name}: field of view of {shown(views)} mm (of a head {SHORTEST_VIEW:g} to {LONGEST_VIEW:g}); "
            "fix the voxel size in its header"
        )


def placed_like(header: nib.Nifti1Header, source: nib.Nifti1Header) -> None:
    """Take over where `source` says that its voxels stand, field by field: both matrices with their codes, and the unit
    of length. So every program that finds the source finds this image on it, whichever matrix it goes by."""
    names = ["qform_code", "sform_code", *(f"quatern_{axis}" for axis in "bcd"), *(f"qoffset_{axis}" for axis in "xyz")]
    for name in (*names, *(f"srow_{axis}" for axis in "xyz")):
        header[name] = source[name]
    header["pixdim"][:4] = source["pixdim"][:4]
    header["xyzt_units"] = int(source["xyzt_units"]) % 8


def _unit(header: nib.Nifti1Header) -> str:
    try:
        return str(header.get_xyzt_units()[0])
    except KeyError:
        return "unknown"


def _matrix(header: nib.Nifti1Header, kind: str, unit: float) -> Array | None:
    """One of the two matrices in mm; None where it is not set or not usable."""
    if not header[f"{kind}_code"]:
        return None
    try:
        return _usable(_to_mm(header.get_sform() if kind == "sform" else _qform(header), unit), "")
    # Square roots of what is damaged, and worse: the other matrix may do.
    except (ValueError, ScanError):
        return None


def _qform(header: nib.Nifti1Header) -> Array:
    """The matrix that a header's quaternion means, as nibabel has it. Written out, it takes a fifth of the time, and an
    index reads some of every scan."""
    b, c, d = (float(header[f"quatern_{axis}"]) for axis in "bcd")
    rest = 1.0 - b * b - c * c - d * d
    a = math.sqrt(rest if abs(rest) > 3 * np.finfo(np.float32).eps else 0.0)
    flip, x, y, z = header["pixdim"][:4].tolist()
    z = -z if flip < 0 else z
    at = (float(header[f"qoffset_{axis}"]) for axis in "xyz")
    return np.array(
        [
            [(a * a + b * b - c * c - d * d) * x, 2 * (b * c - a * d) * y, 2 * (b * d + a * c) * z, next(at)],
            [2 * (b * c + a * d) * x, (a * a + c * c - b * b - d * d) * y, 2 * (c * d - a * b) * z, next(at)],
            [2 * (b * d - a * c) * x, 2 * (c * d + a * b) * y, (a * a + d * d - b * b - c * c) * z, next(at)],
            [0, 0, 0, 1],
        ]
    )


def _to_mm(matrix: Array, unit: float) -> Array:
    scaled = np.array(matrix, float)
    scaled[:3] *= unit
    return scaled


def _usable(matrix: Array, name: str) -> Array:
    (a, b, c, x), (d, e, f, y), (g, h, i, z) = matrix[:3].tolist()
    volume = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    box = math.hypot(a, d, g) * math.hypot(b, e, h) * math.hypot(c, f, i)
    # Nearly flat: axes that lie in one plane.
    if not (math.isfinite(box + x + y + z) and abs(volume) > 1e-3 * box):
        raise ScanError(f"{name}: its header gives no usable voxel-to-world affine")
    return np.asarray(matrix, float)


def _at_most_apart(first: Array, second: Array, shape: tuple[int, ...]) -> float:
    """A bound of how far voxels lie apart by two affines, in the smallest voxel edge of the first."""
    bound = (np.abs(first - second)[:3] @ np.array([*shape, 1.0])).sum()
    return float(bound / np.sqrt((first[:3, :3] ** 2).sum(axis=0)).min())


def _same_edges(first: Iterable[float], second: Iterable[float]) -> bool:
    return all(math.isclose(one, other, rel_tol=0.01) for one, other in zip(first, second, strict=True))


def _edges(matrix: Array) -> list[float]:
    return [math.hypot(*column) for column in matrix[:3, :3].T.tolist()]
