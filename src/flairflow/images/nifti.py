"""Reading and writing image files. Files appear whole or not at all, and carry no field that could name a person."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from flairflow.errors import ScanError
from flairflow.files import atomic
from flairflow.images.grid import Array, Image
from flairflow.images.placement import Placement, check_plausible, placed_like, placement
from flairflow.images.values import unsigned

# A head in voxels of a quarter of a millimetre has fewer.
MAX_VOXELS = 2**29

# What deflate can shrink at most: a file cannot hold more than this times its size.
MAX_COMPRESSION = 1032

# Bytes of a voxel in memory beside the stored ones: as float32, and whether it is finite.
WORKING_BYTES = 5

MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def read_image(path: Path) -> Image:
    """Read a three-dimensional image of a head as float32 (X, Y, Z).

    Raises ScanError naming the file when it is missing, unreadable, truncated, not three-dimensional,
    empty (all zero), has non-finite voxels, or voxels, a place or a field of view that no scan of a head has.
    """
    image = _real(path, *_load(path, unsigned))
    check_plausible(image.grid, path.name)
    if not image.data.any():
        raise ScanError(f"{path.name}: all voxels are zero")
    if values := _few_values(image.data):
        shown = " and ".join(f"{value:g}" for value in values)
        image = replace(image, notes=(*image.notes, f"{path.name}: holds {shown} alone, as a mask does"))
    return image


def read_map(path: Path) -> Image:
    """Read a map, such as of probabilities, as float32 (X, Y, Z); an all-zero one is fine. Raises ScanError naming the
    file as `read_image` does otherwise."""
    return _real(path, *_load(path))


def read_labels(path: Path) -> Image:
    """Read a mask or label image as int32 (X, Y, Z); an all-zero image is fine: it says "none".

    Raises ScanError naming the file as `read_image` does, and when a value is no whole number.
    """
    data, placed = _load(path)
    if not np.isfinite(data).all():
        raise ScanError(f"{path.name}: mask has voxels that are not finite (NaN or infinity)")
    # Masks stored with a scale come back with rounding errors.
    if not np.allclose(data, np.rint(data), rtol=0, atol=1e-3):
        raise ScanError(f"{path.name}: values are no mask (fractions, between {data.min():g} and {data.max():g})")
    if max(abs(float(data.min())), abs(float(data.max()))) > np.iinfo(np.int32).max:
        raise ScanError(f"{path.name}: values are no mask (between {data.min():g} and {data.max():g})")
    return Image(np.rint(data).astype(np.int32), placed.affine, placed.other, placed.notes, path.name)


def write_image(path: Path, image: Image, like: Path | None = None, slope: float | None = None) -> None:
    """Write a NIfTI-1 file atomically; compressed if the name ends in `.gz`.

    image : bool data is stored as uint8, otherwise in its own type.
    like  : a NIfTI file of the same grid whose matrices, codes and unit of length are taken over as they stand; else
            qform and sform both hold the image's affine, and say "scanner".
    slope : store as int16 in steps of `slope` (values are clipped to what int16 can hold); uint8 data are such steps
            already and are stored as they are. A further axis after the three of space is fine.
    """
    data = image.data.astype(np.uint8) if image.data.dtype == bool else image.data
    if slope is not None and data.dtype != np.uint8:
        data = np.clip(np.rint(data / slope), -32767, 32767).astype(np.int16)
    file = nib.Nifti1Image(data, image.affine)
    # A qform cannot hold shear: where the source has one, only its sform is meant.
    file.set_sform(image.affine, 1)
    file.set_qform(image.affine, 1)
    file.header.set_xyzt_units("mm")
    if (source := _nifti_header(like)) is not None:
        placed_like(file.header, source)
        # Saving would else see an affine that the header no longer has, and write it in.
        file = nib.Nifti1Image(data, None, file.header)
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


def _real(path: Path, data: Array, placed: Placement) -> Image:
    with np.errstate(over="ignore"):
        data = data.astype(np.float32)
    if not np.isfinite(data).all():
        raise ScanError(f"{path.name}: has voxels that are not finite (NaN or infinity)")
    return Image(data, placed.affine, placed.other, placed.notes, path.name)


def _load(path: Path, repair: Callable[[Array], Array | None] | None = None) -> tuple[Array, Placement]:
    """The voxels and where they stand. repair : may see in stored integers, which no header scales, other ones."""
    if not path.is_file():
        link = " (a broken link: was the content fetched?)" if path.is_symlink() and not path.exists() else ""
        raise ScanError(f"{path.name}: {'is no file' if path.exists() else 'file not found'}{link}")
    try:
        with ExitStack() as files:
            stream = files.enter_context(gzip.open(path)) if path.name.endswith(".nii.gz") else None
            image = _opened(path, stream)
            shape = _spatial(image.shape, path)
            _check_room(image, path)
            data = np.asanyarray(image.dataobj).reshape(shape)
            if stream is not None:
                _check_sum(stream)
        placed = placement(image, path.name)
        if repair is not None and data.dtype == image.get_data_dtype() and (other := repair(data)) is not None:
            limit = np.iinfo(data.dtype).max
            note = f"{path.name}: its numbers beyond {limit} are stored as negative ones, and taken for what they were"
            data, placed = other, replace(placed, notes=(*placed.notes, note))
    except ScanError:
        raise
    # Readers raise what they like on damaged files, and whatever it is, it is this file's fault alone.
    except Exception as error:
        message = " ".join(str(error).replace(str(path), path.name).split()) or type(error).__name__
        raise ScanError(f"{path.name}: cannot be read, damaged or truncated ({message[:200]})") from error
    if data.dtype.names or np.iscomplexobj(data):
        raise ScanError(f"{path.name}: voxels are no single real numbers ({data.dtype})")
    return data, placed


def _opened(path: Path, stream: gzip.GzipFile | None) -> Any:
    """The image of a file, read from `stream` where it is compressed."""
    # Nearly all are NIfTI-1. Not to ask first what a file is saves a quarter of the time to open it.
    if stream is not None:
        with suppress(Exception):
            return nib.Nifti1Image.from_stream(stream)
        stream.seek(0)
        return nib.Nifti2Image.from_stream(stream)
    if path.name.endswith(".nii"):
        with suppress(Exception):
            return nib.Nifti1Image.from_filename(path)
    return nib.load(path)  # type: ignore[attr-defined]


def _check_sum(stream: gzip.GzipFile) -> None:
    """Read on to the end: there stands the sum by which a compressed file tells that its content is whole."""
    try:
        while stream.read(2**20):
            pass
    except gzip.BadGzipFile as error:
        # What somebody appended is not the image's.
        if "Not a gzipped file" not in str(error):
            raise


def _few_values(data: Array) -> list[float]:
    """The values of an image that has one or two of them; else none."""
    least, most = data.min(), data.max()
    some = data.ravel(order="K")[:: max(1, data.size // 1000)]
    if ((some > least) & (some < most)).any() or ((data > least) & (data < most)).any():
        return []
    return sorted({float(least), float(most)})


def _spatial(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """The three axes of space; further ones of one element say nothing."""
    if len(shape) < 3 or min(shape[:3]) < 2 or math.prod(shape[3:]) != 1:
        raise ScanError(f"{path.name}: not a three-dimensional image (shape {' x '.join(map(str, shape))})")
    x, y, z = map(int, shape[:3])
    return x, y, z


def _check_room(image: Any, path: Path) -> None:
    """Raise ScanError where a header asks for more than its file can hold, a head can need, or this machine has."""
    voxels = math.prod(map(int, image.shape))
    wanted = voxels * int(image.get_data_dtype().itemsize)
    # The voxels of a pair of files are in the other one.
    file = str(image.file_map["image"].filename or path)
    size = os.stat(file).st_size  # noqa: PTH116 (a Path takes longer than the rest of this)
    there = size * (1 if file.endswith((".nii", ".img", ".mgh")) else MAX_COMPRESSION)
    if wanted > there and not file.endswith(".bz2"):
        raise ScanError(
            f"{path.name}: cannot be read, damaged or truncated (its header asks for {wanted / 1e6:,.1f} MB of voxels, "
            f"the file has {size / 1e6:,.1f} MB)"
        )
    if voxels > MAX_VOXELS:
        raise ScanError(f"{path.name}: {voxels:,} voxels are more than an image of a head has (up to {MAX_VOXELS:,})")
    if (needed := wanted + voxels * WORKING_BYTES) > MEMORY:
        raise ScanError(f"{path.name}: takes {needed / 1e9:.1f} GB of memory, this machine has {MEMORY / 1e9:.1f} GB")


def _nifti_header(path: Path | None) -> Any:
    """The header of a NIfTI file; None for files of another kind, which say where they stand in their own way."""
    header = nib.load(path).header if path is not None else None  # type: ignore[attr-defined]
    return header if isinstance(header, nib.Nifti1Header) else None


def _save_stored_integers(file: Any, stored: Array, slope: float, path: Path) -> None:
    # nibabel resets the slope of integer arrays when it saves them; writing the two parts ourselves keeps it.
    header = file.header.copy()
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = slope, 0, 352
    with path.open("wb") as target:
        header.write_to(target)
        target.write(stored.tobytes(order="F"))
