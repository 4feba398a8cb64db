"""One image holds all masks of a scan: bit i of a voxel is set where the i-th label of the config is. Overlaps stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flairflow.images.grid import Array


def encode(masks: Mapping[str, Array], labels: Sequence[str]) -> Array:
    """Boolean masks (X, Y, Z) by label -> uint8 image of bits. Labels without a mask stay clear."""
    shape = next(iter(masks.values())).shape
    bits = np.zeros(shape, np.uint8)
    for label, mask in masks.items():
        bits |= mask.astype(np.uint8) << labels.index(label)
    return bits


def decode(bits: Array, label: str, labels: Sequence[str]) -> Array:
    """The boolean mask of one label from an image of bits (any shape)."""
    mask: Array = (bits >> labels.index(label)) & 1 > 0
    return mask


def resolve(bits: Array, labels: Sequence[str], precedence: Sequence[str]) -> Array:
    """Bits -> class numbers (uint8): 0 background, i + 1 the i-th label; the first of `precedence` wins overlaps."""
    classes = np.zeros(bits.shape, np.uint8)
    for label in reversed(precedence):
        classes[decode(bits, label, labels)] = labels.index(label) + 1
    return classes
