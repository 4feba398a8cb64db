"""What a network holds and does, from its plan alone: the memory and the arithmetic of training and of predicting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Bytes for each number in the feature maps of a patch, while training and while predicting.
TRAINING_BYTES, PREDICTION_BYTES = 55.0, 16.0
# For each number of an output head while training, and for each number read or predicted of a whole scan.
HEAD_BYTES, SCAN_BYTES = 24.0, 16.0
# For each weight while training (itself, gradient, momentum, the best one, a checkpoint), and while predicting.
TRAINED_WEIGHT_BYTES, WEIGHT_BYTES = 24.0, 8.0
# A training step costs so many forward passes; so many windows of a scan are predicted at a time.
PASSES, WINDOWS = 3, 2


@dataclass(frozen=True)
class Network:
    """A network and the windows in which it sees a scan.

    filters           : features of its levels, each of half the resolution of the one before.
    heads             : deeper heads that are trained too.
    images, channels  : sequences in, logits out.
    patch, overlap    : edge of a window in voxels, and the share of it by which two overlap.
    """

    filters: tuple[int, ...]
    heads: int
    images: int
    channels: int
    patch: int
    overlap: float

    @property
    def weights(self) -> int:
        """Weights of its convolutions: two of 3^3 a block, one of 1 beside them, one of 2^3 on the way up."""
        down = zip((self.images, *self.filters), self.filters, strict=False)
        up = zip(self.filters, self.filters[1:], strict=False)
        return sum(28 * above * own + 27 * own**2 for above, own in down) + sum(
            8 * below * own + 83 * own**2 for own, below in up
        )

    @property
    def features(self) -> float:
        """Numbers in one feature map of each level, for one patch."""
        return sum(self._voxels(level) * own for level, own in enumerate(self.filters))

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds of one patch, forward."""
        total = 0.0
        for level, own in enumerate(self.filters):
            above = self.filters[level - 1] if level else self.images
            # On the way up a block reads twice its features: those from below beside those kept.
            up = 3 * own if level < len(self.filters) - 1 else 0
            total += self._voxels(level) * 27 * own * (above + own + up)
        return total

    def windows(self, voxels: float) -> int:
        """Windows in which a scan of so many voxels is predicted."""
        edge = max(voxels ** (1 / 3), self.patch)
        return int(math.ceil((edge / self.patch - 1) / (1 - self.overlap) + 1) ** 3)

    def _voxels(self, level: int) -> float:
        return float((self.patch / 2**level) ** 3)


def predicting(networks: Sequence[Network], voxels: float) -> tuple[float, float]:
    """Bytes held, and multiply-adds done, for one scan of so many voxels that each of the networks predicts."""
    held = sum(WEIGHT_BYTES * network.weights for network in networks)
    window = max(WINDOWS * PREDICTION_BYTES * network.features for network in networks)
    scan = max(max(voxels, network.patch**3) * (network.images + network.channels) for network in networks)
    work = sum(network.windows(voxels) * network.multiply_adds for network in networks)
    return held + window + SCAN_BYTES * scan, work


def training(network: Network, batch: int, patches: float, validated: float, voxels: float) -> tuple[float, float]:
    """Bytes held, and multiply-adds done, for so many patches, `batch` at a time, and so many predictions of whole
    validation scans of `voxels`."""
    outputs = (1 + network.heads) * network.channels * network.patch**3
    step = batch * (TRAINING_BYTES * network.features + HEAD_BYTES * outputs)
    held, work = predicting([network], voxels)
    return (
        TRAINED_WEIGHT_BYTES * network.weights + max(step, held),
        PASSES * patches * network.multiply_adds + validated * work,
    )
