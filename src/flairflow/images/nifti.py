"""Reading and writing image files. Files appear whole or not at all, and carry no field that could name a person."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from flairflow.errors import ScanError
from flairflow.files import atomic
from flairflow.images.grid import Array, Image


def read_image(path: Path) -> Image:
    """Read a three-dimensional image as float32 (X, Y, Z).

    Raises ScanError naming the file when it is missing, unreadable, truncated, not three-dimensional,
    empty (all zero) or has non-finite voxels.
    """
    image = read_map(path)
    if not image.data.any():
        raise ScanError(f"{path.name}: all voxels are zero")
    return image


def read_map(path: Path) -> Image:
    """Read a map, such as of probabilities, as float32 (X, Y, Z); an all-zero one is fine. Raises ScanError naming the
    file as `read_image` does otherwise."""
    image, data = _load(path)
    data = data.astype(np.float32)
    if not np.isfinite(data).all():
        raise ScanError(f"{path.name}: has voxels that are not finite (NaN or infinity)")
    return Image(data, image.affine)


def read_labels(path: Path) -> Image:
    """Read a mask or label image as int32 (X, Y, Z); an all-zero image is fine: it says "none".

    Raises ScanError naming the file as `read_image` does, and when a value is no whole number.
    """
    image, data = _load(path)
    if not np.isfinite(data).all():
        raise ScanError(f"{path.name}: mask has voxels that are not finite (NaN or infinity)")
    # Masks stored with a scale come back with rounding errors.
    if not np.allclose(data, np.rint(data), rtol=0, atol=1e-3):
        raise ScanError(f"{path.name}: values are no mask (fractions, between {data.min():g} and {data.max():g})")
    return Image(np.rint(data).astype(np.int32), image.affine)


def write_image(path: Path, image: Image, like: Path | None = None, slope: float | None = None) -> None:
    """Write a NIfTI-1 file atomically; compressed if the name ends in `.gz`.

    image : bool data is stored as uint8, otherwise in its own type.
    like  : a NIfTI file whose qform and sform codes are taken over (same grid); else both say "scanner".
    slope : store as int16 in steps of `slope` (values are clipped to what int16 can hold); uint8 data are such steps
            already and are stored as they are. A further axis after the three of space is fine.
    """
    data = image.data.astype(np.uint8) if image.data.dtype == bool else image.data
    if slope is not None and data.dtype != np.uint8:
        data = np.clip(np.rint(data / slope), -32767, 32767).astype(np.int16)
    file = nib.Nifti1Image(data, image.affine)
    qform_code, sform_code = _form_codes(like)
    # A qform cannot hold shear: where the source has one, only its sform is meant.
    file.set_sform(image.affine, sform_code)
    file.set_qform(image.affine, qform_code)
    file.header.set_xyzt_units("mm")
    if slope is not None:
        file.header.set_slope_inter(slope, 0)
    with atomic(path) as partial:
        if slope is None:
            nib.save(file, partial)
        else:
            _save_stored_integers(file, data, slope, partial)


def memory_map(path: Path) -> tuple[Array, float, Array]:
    """Map an uncompressed NIfTI file: its stored array (X, Y, Z), the slope to multiply by, and its affine."""
    # Not nib.load: its guessing and checking takes five times as long, and training maps three files for each patch.
    with path.open("rb") as file:
        header = nib.Nifti1Header.from_fileobj(file, check=False)
    slope, _ = header.get_slope_inter()
    stored = np.memmap(path, header.get_data_dtype(), "r", header.get_data_offset(), header.get_data_shape(), "F")
    return stored, 1.0 if slope is None else float(slope), header.get_best_affine()


def _load(path: Path) -> tuple[Any, Array]:
    if not path.exists():
        link = " (a broken link: was the content fetched?)" if path.is_symlink() else ""
        raise ScanError(f"{path.name}: file not found{link}")
    try:
        image: Any = nib.load(path)
        if len(image.shape) == 4 and image.shape[3] == 1:
            image = image.slicer[..., 0]
        if len(image.shape) != 3 or min(image.shape) < 2:
            shape = " x ".join(map(str, image.shape))
            raise ScanError(f"{path.name}: not a three-dimensional image (shape {shape})")
        data = np.asanyarray(image.dataobj)
    except ScanError:
        raise
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError) as error:
        message = " ".join(str(error).replace(str(path), path.name).split())
        raise ScanError(f"{path.name}: cannot be read, damaged or truncated ({message[:200]})") from error
    if data.dtype.names or np.iscomplexobj(data):
        raise ScanError(f"{path.name}: voxels are no single real numbers ({data.dtype})")
    if abs(np.linalg.det(image.affine[:3, :3])) < 1e-9 or not np.isfinite(image.affine).all():
        raise ScanError(f"{path.name}: its header gives no usable voxel-to-world affine")
    return image, data


def _form_codes(like: Path | None) -> tuple[int, int]:
    if like is None:
        return 1, 1
    header: Any = nib.load(like).header
    if not isinstance(header, nib.Nifti1Header):
        return 1, 1
    qform_code, sform_code = int(header["qform_code"]), int(header["sform_code"])
    return (qform_code, sform_code) if qform_code or sform_code else (1, 1)


def _save_stored_integers(file: Any, stored: Array, slope: float, path: Path) -> None:
    # nibabel resets the slope of integer arrays when it saves them; writing the two parts ourselves keeps it.
    header = file.header.copy()
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = slope, 0, 352
    with path.open("wb") as target:
        header.write_to(target)
        target.write(stored.tobytes(order="F"))
