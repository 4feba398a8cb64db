"""Segmentation of one prepared scan: the ensemble's probabilities, brought to the native grid and decided there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flairflow.errors import ScanError
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import crop, resample
from flairflow.preprocessing.prepare import Prepared

if TYPE_CHECKING:
    # Writing and describing masks needs no torch.
    from flairflow.network.ensemble import Ensemble


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Classes (X, Y, Z) uint8 on the native grid of `affine`: 0 background, i + 1 the i-th label; the brain mask
    (X, Y, Z) bool there; and the probabilities (1 + labels, X, Y, Z) of the box `box` of that grid, outside of which
    everything is background."""

    classes: Array
    affine: Array
    brain: Array
    probabilities: Array
    box: tuple[slice, slice, slice]

    def label(self, number: int) -> Array:
        """The mask (X, Y, Z) bool of the `number`-th label."""
        mask: Array = self.classes == number + 1
        return mask

    def probability(self, number: int) -> Array:
        """The probability map (X, Y, Z) float32 of the `number`-th label, on the whole native grid."""
        full = np.zeros(self.classes.shape, np.float32)
        full[self.box] = self.probabilities[number + 1]
        return full


def segment_prepared(prepared: Prepared, ensemble: Ensemble) -> Segmentation:
    """Segment a prepared scan. A voxel gets the class of the largest probability after linear resampling onto the
    native grid; outside the brain there is no lesion. Raises ScanError when the probabilities are not finite."""
    return decide_natively(predict_prepared(prepared, ensemble), prepared)


def decide_natively(probabilities: Array, prepared: Prepared) -> Segmentation:
    """The segmentation that `segment_prepared` makes of what `predict_prepared` gives."""
    box = _box(prepared.grid, prepared.native)
    low = np.array([part.start for part in box])
    target = crop(prepared.native, low, np.array([part.stop for part in box]))
    # The background is 1 where the prepared grid ends, the labels are 0.
    native = np.stack(
        [
            resample(Image(channel, prepared.grid.affine), target, cval=float(number == 0)).data
            for number, channel in enumerate(probabilities)
        ]
    )
    classes = np.zeros(prepared.native.shape, np.uint8)
    classes[box] = np.argmax(native, axis=0)
    brain = np.zeros(prepared.native.shape, bool)
    brain[box] = resample(Image(prepared.brain, prepared.grid.affine), target).data >= 0.5
    return Segmentation(classes, prepared.native.affine, brain, native, box)


def predict_prepared(prepared: Prepared, ensemble: Ensemble) -> Array:
    """Probabilities of a prepared scan on its own grid, float32 (1 + labels, X, Y, Z), background first; those of the
    labels are 0 outside the brain. Raises ScanError when they are not finite."""
    probabilities = ensemble.predict(prepared.images)
    if not np.isfinite(probabilities).all():
        raise ScanError("the model's probabilities are not finite")
    probabilities[1:, ~prepared.brain] = 0
    return probabilities


def _box(inner: Grid, outer: Grid) -> tuple[slice, slice, slice]:
    """The voxels of `outer` that the field of view of `inner` can reach."""
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] = corners[:, :3] * inner.shape - 0.5
    voxels = (np.linalg.inv(outer.affine) @ inner.affine @ corners.T)[:3]
    low = np.clip(np.floor(voxels.min(axis=1)), 0, np.array(outer.shape) - 1).astype(int)
    high = np.clip(np.ceil(voxels.max(axis=1)) + 1, low + 1, outer.shape).astype(int)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return x, y, z
