"""Annotation habits: how a dataset's rater turns the lesions that are there into a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array


@dataclass(frozen=True)
class Rater:
    """The habit of the rater of one dataset.

    threshold : share of a voxel that must be lesion; low: generous outlines.
    smooth    : mm over which outlines are smoothed (standard deviation, within the slice).
    minimum   : lesions smaller than this are not drawn, ml.
    penumbra  : how much of the slightly bright tissue around a lesion counts, 0 (none) to 1 (like the lesion).
    hollow    : whether the cavity of an old stroke is left out of the stroke's mask.
    """

    threshold: float
    smooth: float
    minimum: float
    penumbra: float
    hollow: bool


def draw_rater(seed: list[int]) -> Rater:
    """The rater of a seed."""
    generator = np.random.default_rng(seed)
    return Rater(
        threshold=float(generator.uniform(0.3, 0.65)),
        smooth=float(generator.uniform(0.0, 1.2)),
        minimum=float(generator.uniform(0.001, 0.015)),
        penumbra=float(generator.uniform(0.0, 0.6)),
        hollow=bool(generator.random() < 0.25),
    )


def annotate(rater: Rater, lesion: Array, halo: Array, cavity: Array, edges: Array) -> Array:
    """The rater's mask, bool (X, Y, Z). It is empty only where no voxel is lesion by half or more.

    lesion, halo : shares of each voxel that are lesion, and slightly bright around it.
    cavity       : share that is fluid and that a rater who is `hollow` leaves out.
    edges        : the voxel's edges, mm.
    """
    truth = lesion >= 0.5
    if not truth.any():
        return truth
    # A halo may reach far, but only what touches this label's lesions counts.
    seen = np.maximum(lesion, rater.penumbra * halo)
    (box,) = ndimage.find_objects((seen > 0).astype(np.uint8))
    seen, core = seen[box], truth[box]
    width = (rater.smooth / edges[0], rater.smooth / edges[1], 0.0)
    # Around the box there is nothing.
    seen = ndimage.gaussian_filter(seen, width, mode="constant", truncate=2.0)
    drawn = seen >= rater.threshold
    if rater.hollow:
        drawn &= cavity[box] < 0.5
    parts, count = ndimage.label(drawn, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * float(np.prod(edges)) / 1000.0
    kept = (sizes >= rater.minimum) & (np.bincount(parts[core], minlength=count + 1) > 0)
    kept[0] = False
    if not kept.any():
        # Whoever sees but one small lesion marks it: an empty mask would say that there is none.
        return truth
    mask = np.zeros_like(truth)
    mask[box] = kept[parts]
    return mask
