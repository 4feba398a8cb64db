"""Where the header of an image says that its voxels stand: in millimetres, by one of its two matrices."""

from __future__ import annotations

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
        if sform is not None and not _same_edges(sform, _to_mm(np.diag([*header["pixdim"][1:4], 1.0]), unit)):
            sizes = " x ".join(f"{edge:.3g}" for edge in header["pixdim"][1:4])
            notes.append(f"{name}: pixdim says {sizes}, which its sform does not; the sform counts")
        return Placement(used, None, tuple(notes))
    grids = Grid(shape, sform), Grid(shape, qform)  # type: ignore[arg-type]
    if same_grid(*grids):
        return Placement(sform, None, tuple(notes))
    affine, other, kind = (sform, qform, "sform") if _same_edges(sform, qform) else (qform, sform, "qform")
    mirrored = ", left and right exchanged" if np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0 else ""
    apart = f"qform and sform place it up to {furthest_apart(*grids):.1f} mm apart{mirrored} ({codes})"
    return Placement(affine, other, (*notes, f"{name}: {apart}; its {kind} counts here"))


def check_plausible(grid: Grid, name: str) -> None:
    """Raise ScanError naming the file when no scan of a head has such voxels or such a field of view."""
    edges, views = grid.spacing, grid.spacing * grid.shape

    def shown(lengths: Array) -> str:
        return " x ".join(f"{length:.4g}" for length in lengths)

    if edges.min() < SMALLEST_EDGE * 0.999 or edges.max() > LARGEST_EDGE * 1.001:
        raise ScanError(
            f"{name}: voxels of {shown(edges)} mm (of a head {SMALLEST_EDGE:g} to {LARGEST_EDGE:g}); "
            "mend the voxel size, or the unit of length, in its header"
        )
    if (views > LONGEST_VIEW).any() or (views[np.array(grid.shape) >= WHOLE_AXIS] < SHORTEST_VIEW).any():
        raise ScanError(
            f"{name}: field of view of {shown(views)} mm (of a head {SHORTEST_VIEW:g} to {LONGEST_VIEW:g}); "
            "mend the voxel size in its header"
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
        return _usable(_to_mm(getattr(header, f"get_{kind}")(), unit), "")
    # nibabel raises what it likes on damaged numbers; the other matrix may do.
    except Exception:
        return None


def _to_mm(matrix: Array, unit: float) -> Array:
    scaled = np.array(matrix, float)
    scaled[:3] *= unit
    return scaled


def _usable(matrix: Array, name: str) -> Array:
    edges = np.linalg.norm(matrix[:3, :3], axis=0)
    # Nearly flat: axes that lie in one plane.
    if not np.isfinite(matrix).all() or not edges.all() or abs(np.linalg.det(matrix[:3, :3] / edges)) < 1e-3:
        raise ScanError(f"{name}: its header gives no usable voxel-to-world affine")
    return np.asarray(matrix, float)


def _same_edges(first: Array, second: Array) -> bool:
    one, two = (np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (first, second))
    return bool(np.allclose(one, two, rtol=0.01))
