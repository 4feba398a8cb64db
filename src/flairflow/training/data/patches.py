"""Patches of prepared scans. Patch i of a seed is always the same, whoever loads it and whatever was loaded before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from monai.data import set_track_meta
from torch import Tensor
from torch.utils.data import Dataset

from flairflow.config.models import TrainingSettings
from flairflow.images.grid import Array
from flairflow.images.masks import decode
from flairflow.images.nifti import memory_map
from flairflow.training.data.augmentation import Augmentation
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.data.targets import class_targets, fill_missing
from flairflow.training.strategy import Annotations, Task

# Of each scan and class this many voxels at most are kept as patch centres: 16 kB each.
CENTRES = 4096


class Patches(Dataset[dict[str, Tensor]]):
    """The endless sequence of training patches, from which `window` takes a piece.

    Scans come in a new seeded permutation each pass. A patch is centred on a voxel of the brain with none of the task's
    labels that are known (`background_share`) or, evenly, of one of these that have voxels there: the annotated ones,
    and all where a teacher filled in the others and `centred_on_filled` is on. A label that is unknown is never asked
    for. Centres move inwards as far as a patch would leave the scan; what a small scan lacks is filled with zeros:
    outside the brain there is known to be no lesion.

    An item: `image` float32 (C, X, Y, Z), `bits` and `ignore` uint8 (X, Y, Z), `annotated` bool (L), `teacher` uint8
    (1 + L, X, Y, Z), zero for a scan without a teacher's probabilities; of length 0 if no scan has them.
    """

    def __init__(
        self,
        scans: Sequence[PreparedScan],
        task: Task,
        settings: TrainingSettings,
        seed: int,
        centred_on_filled: bool = True,
    ) -> None:
        self.scans, self.labels, self.settings, self.seed = tuple(scans), task.labels, settings, seed
        self.centres = [
            _centres(scan, task, centred_on_filled, (seed, number)) for number, scan in enumerate(self.scans)
        ]
        self.teacher_channels = 1 + len(self.labels) if any(scan.teacher for scan in self.scans) else 0
        self.augmentation = Augmentation(settings.augmentation, settings.patch)
        self.first, self.count = 0, 0
        # MONAI would wrap every tensor with metadata that nothing here reads.
        set_track_meta(False)

    def window(self, first: int, count: int) -> Patches:
        """Make items 0, 1, ... of this dataset the patches `first`, `first` + 1, ... of the sequence."""
        self.first, self.count = first, count
        return self

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        index = self.first + item
        rng = np.random.default_rng((self.seed, index))
        chosen = _order(self.seed, index // len(self.scans), len(self.scans))[index % len(self.scans)]
        scan, size = self.scans[chosen], self.settings.patch
        centre, shape = self._draw_centre(chosen, rng)
        corner = tuple(
            int(np.clip(c - size // 2, 0, n - size)) if n > size else (n - size) // 2
            for c, n in zip(centre, shape, strict=True)
        )
        box = (size, size, size)
        image, masks = read(scan, corner, box)
        masks = torch.cat([masks, read_teacher(scan, corner, box, self.teacher_channels)])
        with _single_thread():
            image, masks = self.augmentation(image, masks, int(rng.integers(2**32)))
        brain, bits, ignore = masks[:3]
        present = torch.tensor([path is not None for path in scan.images])
        # Outside the brain, and in a sequence that is not there, images are exactly zero: as when segmenting.
        image = image * brain * present[:, None, None, None]
        annotated = torch.tensor([label in scan.annotated for label in self.labels])
        return {"image": image, "bits": bits, "ignore": ignore, "annotated": annotated, "teacher": masks[3:]}

    def _draw_centre(self, chosen: int, rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
        shape, background, by_label = self.centres[chosen]
        candidates = [voxels for voxels in by_label.values() if len(voxels)]
        if len(background) and (not candidates or rng.random() < self.settings.background_share):
            voxels = background
        elif candidates:
            voxels = candidates[rng.integers(len(candidates))]
        else:
            voxels = np.arange(np.prod(shape))
        return tuple(int(c) for c in np.unravel_index(voxels[rng.integers(len(voxels))], shape)), shape


def read(scan: PreparedScan, corner: Sequence[int], size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The box of `size` voxels from `corner` on: images, float32 (C, X, Y, Z), and the masks brain, bits and ignore,
    uint8 (3, X, Y, Z). Reads no more than that of the files; zero outside of them and where a scan has no file."""
    image = np.zeros((len(scan.images), *size), np.float32)
    for channel, path in enumerate(scan.images):
        _read_into(image[channel], path, corner)
    masks = np.zeros((3, *size), np.uint8)
    for channel, path in enumerate((scan.brain, scan.bits, scan.ignore)):
        _read_into(masks[channel], path, corner)
    return torch.from_numpy(image), torch.from_numpy(masks)


def read_known(scan: PreparedScan, task: Task) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A whole scan and what is known of it: images, float32 (C, X, Y, Z); brain, bool (X, Y, Z); and as
    `training.data.targets.class_targets` gives them, class numbers (X, Y, Z), known classes (K) and ignored voxels."""
    image, (brain, bits, ignore) = read(scan, (0, 0, 0), shape_of(scan))
    annotated = torch.tensor([[label in scan.annotated for label in task.labels]])
    given = Annotations(bits[None], ignore[None], annotated, bits.new_zeros(1, 0, *bits.shape))
    target, known, ignored = class_targets(given, task)
    return image, brain > 0, target[0], known[0], ignored[0]


def read_teacher(scan: PreparedScan, corner: Sequence[int], size: Sequence[int], channels: int) -> Tensor:
    """A teacher's probabilities in the same box, uint8 (`channels`, X, Y, Z); zero where the scan has none."""
    box = np.zeros((channels, *size), np.uint8)
    if scan.teacher is not None:
        stored, _, _ = memory_map(scan.teacher)
        for number, channel in enumerate(box):
            _copy_into(channel, stored[..., number], corner)
    return torch.from_numpy(box)


def shape_of(scan: PreparedScan) -> tuple[int, int, int]:
    """The shape (X, Y, Z) of a scan."""
    x, y, z = memory_map(scan.brain)[0].shape
    return x, y, z


@contextmanager
def _single_thread() -> Iterator[None]:
    """As in a loader's worker: sums come out the same to the last bit, and patches are too small to share anyway."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _read_into(box: Array, path: Path | None, corner: Sequence[int]) -> None:
    if path is None:
        return
    stored, slope, _ = memory_map(path)
    _copy_into(box, stored, corner, slope)


def _copy_into(box: Array, stored: Array, corner: Sequence[int], slope: float = 1.0) -> None:
    inside = tuple(
        slice(max(c, 0), min(c + n, full)) for c, n, full in zip(corner, box.shape, stored.shape, strict=True)
    )
    into = tuple(slice(part.start - c, part.stop - c) for part, c in zip(inside, corner, strict=True))
    box[into] = stored[inside] if slope == 1.0 else stored[inside] * np.float32(slope)


def _centres(
    scan: PreparedScan, task: Task, on_filled: bool, seed: tuple[int, int]
) -> tuple[tuple[int, int, int], Array, dict[str, Array]]:
    """The scan's shape, and flat indices of voxels (some, where there are many) of background and each known label."""
    shape, corner, labels = shape_of(scan), (0, 0, 0), task.labels
    _, masks = read(replace(scan, images=()), corner, shape)
    known = labels if scan.teacher and on_filled else scan.annotated
    if scan.teacher and on_filled:
        annotated = torch.tensor([[label in scan.annotated for label in labels]])
        masks[1] = fill_missing(masks[1][None], annotated, read_teacher(scan, corner, shape, 1 + len(labels))[None])[0]
    brain, bits, ignore = masks.numpy()
    rng = np.random.default_rng(seed)
    judged = (brain > 0) & (ignore == 0)
    background = judged.copy()
    by_label = {}
    for label in task.class_labels:
        if label in known:
            mask = decode(bits, label, labels)
            background &= ~mask
            by_label[label] = _some(np.flatnonzero(mask & (ignore == 0)), rng)
    return shape, _some(np.flatnonzero(background), rng), by_label


def _some(voxels: Array, rng: np.random.Generator) -> Array:
    few = voxels if len(voxels) <= CENTRES else voxels[rng.integers(len(voxels), size=CENTRES)]
    return few.astype(np.int32)


@lru_cache(maxsize=4)
def _order(seed: int, number: int, scans: int) -> Array:
    # The third number keeps permutations apart from the draws of single patches, which are seeded by two.
    return np.random.default_rng((seed, number, 1)).permutation(scans)
