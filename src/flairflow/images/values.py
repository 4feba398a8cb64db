"""Values as every step expects them: air is dark and near 0, tissue brighter, and no voxel is a thousand times that.

Scanners deliver that. What programs make of it (z-scores, offsets, fill values, numbers beyond their type) need not be.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flairflow.images.grid import Array, Image

# How far beyond the range of the tissue (its 2nd to 98th percentile) a value may lie, in such ranges.
REACH = 4.0

# How far a brain reaches from its median, in robust spreads. In real scans lesions and vessels lie up to 12 above.
TISSUE_REACH = 15.0

# What is brighter than so many times a brain's median is none of its lesions either.
BRIGHTEST = 4.0

# Where air may lie from 0, in ranges of what is brighter, for the image to be left as it is: below, and above. A tight
# crop has no air, and its darkest tissue is no offset.
BELOW, ABOVE = 0.1, 1.0

# Ranges of the tissue that are left as they are; others are brought to USUAL.
SMALLEST, LARGEST, USUAL = 1e-2, 1e6, 1e3

# Voxels that percentiles are taken of.
SAMPLE = 500_000


def unsigned(stored: Array) -> Array | None:
    """Stored integers (X, Y, Z) as the unsigned ones that they are where a header calls them signed; None where they
    are signed indeed. Numbers beyond the type's limit turn negative then, next to the largest ones."""
    if stored.dtype.kind != "i" or stored.dtype.itemsize > 2:
        return None
    limit = np.iinfo(stored.dtype).max
    if not (stored.min() < -limit / 2 and stored.max() > limit / 2 and 0 <= np.median(_faces(stored)) < limit / 2):
        return None
    negative = stored[stored < 0]
    _, counts = np.unique(negative, return_counts=True)
    # A few extremes, and one value that fills what was not scanned, are no overflow.
    if negative.size < 1e-3 * stored.size or counts.max() > 0.5 * negative.size:
        return None
    # Where two neighbours differ in sign, they are nearer to each other either across 0 or across the limit.
    one, two = stored[:-1].astype(np.int32), stored[1:].astype(np.int32)
    apart = np.abs(one - two)[(one < 0) != (two < 0)]
    return stored.view(stored.dtype.str.replace("i", "u")) if apart.size and (apart > limit).mean() > 0.7 else None


def usual(image: Image) -> Image:
    """An image with its values as `usual_values` has them, and what was done to them among its notes."""
    data, done = usual_values(image.data)
    return replace(image, data=data, notes=(*image.notes, *(f"{image.name or 'image'}: {what}" for what in done)))


def usual_values(data: Array) -> tuple[Array, list[str]]:
    """An image's values (X, Y, Z) as float32 in the usual order, and what was done to them in words. Values that are in
    it already stay what they are.

    Extremes are clipped; a background of one value is made the darkest if it is not; zero is where air is; ranges that
    single precision or logarithms cannot deal with are scaled.
    """
    notes: list[str] = []
    sample = data.ravel(order="K")[:: max(1, data.size // SAMPLE)]
    fill = _background(data)
    tissue = sample if fill is None else sample[sample != fill]
    if tissue.size < 2:
        return data.astype(np.float32, copy=False), notes
    low, high = map(float, np.percentile(tissue, (2, 98)))
    span = high - low
    if not span > 0:
        return data.astype(np.float32, copy=False), notes
    changed = data
    least, most = low - REACH * span, high + REACH * span
    beyond = (data < least) | (data > most) if data.min() < least or data.max() > most else np.zeros(0, bool)
    if fill is not None and beyond.any():
        beyond &= data != fill
    if beyond.any():
        notes.append(f"{int(beyond.sum())} voxels beyond {least:.4g} to {most:.4g} clipped")
        changed = np.where(beyond, np.clip(data, least, most), data)
    dark = max(float(np.percentile(tissue, 0.1)), least)
    floor = dark if fill is None else fill
    padded = fill is not None and fill < low - span and low > -BELOW * span > fill
    if fill is not None and (padded or fill > low + BELOW * span):
        floor = min(dark, 0.0) if padded else dark
        notes.append(f"background of {fill:.4g} taken for {floor:.4g}, the darkest")
        changed = np.where(data == fill, floor, changed)
    if not -BELOW * (high - floor) <= floor <= ABOVE * (high - floor):
        notes.append(f"values counted from {floor:.4g}, the darkest")
        changed = changed - floor
        high -= floor
    if not SMALLEST <= high <= LARGEST:
        changed = changed * (USUAL / high)
    return changed.astype(np.float32, copy=False), notes


def tissue_range(values: Array) -> tuple[float, float]:
    """Where the values (N,) of a brain can lie, lesions and fluid included: TISSUE_REACH robust spreads about their
    median, and from 0 to BRIGHTEST of it. A few voxels at a type's limit would else use up the range of all others."""
    first, low, middle, high, last = map(float, np.percentile(values, (2, 25, 50, 75, 98)))
    # Of a normal distribution each is its standard deviation; of few and sharp tissues the larger one tells.
    spread = max((high - low) / 1.349, (last - first) / 4.108) or float(values.std())
    least, most = middle - TISSUE_REACH * spread, middle + TISSUE_REACH * spread
    return (min(least, 0.0), max(most, BRIGHTEST * middle)) if middle > 0 else (least, most)


def _background(data: Array) -> float | None:
    """The most frequent value of the border, where that is of some extent."""
    faces = _faces(data)
    values, counts = np.unique(faces, return_counts=True)
    most = counts.argmax()
    return float(values[most]) if counts[most] >= 0.1 * faces.size else None


def _faces(data: Array) -> Array:
    """Every other voxel of the six faces."""
    faces = [np.moveaxis(data, axis, 0)[end, ::2, ::2].ravel() for axis in range(3) for end in (0, -1)]
    return np.concatenate(faces)
