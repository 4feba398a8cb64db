"""Drawn heads as examples: what each network reads, and what it is to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from flairflow.brain_mask.network import network_input
from flairflow.errors import ConfigError
from flairflow.images.grid import Array, Image
from flairflow.simulation.heads.anatomies import Anatomy, standard_mask, template_anatomy
from flairflow.simulation.heads.draw import draw_brain, draw_whole_head
from flairflow.simulation.heads.lesions import Shapes
from flairflow.training.default_models.label_maps import load_anatomies

# The last of the anatomies and of the masks of WMH, by name, and the last hundred strokes are for validation alone.
VALIDATION = 4


T = TypeVar("T")


@dataclass(frozen=True)
class Sources:
    """Folders (None: there is none). anatomies : label maps of heads, else the template's head is drawn; wmh, strokes :
    masks of lesions in MNI152 space, else all lesions are drawn."""

    anatomies: Path | None = None
    wmh: Path | None = None
    strokes: Path | None = None


@dataclass(frozen=True, eq=False)
class Material:
    """What heads are drawn from: anatomies and real shapes of lesions."""

    anatomies: list[Anatomy]
    shapes: Shapes


def load_material(sources: Sources, cache: Path) -> tuple[Material, Material]:
    """What to train on, and what is held back to validate with. Raises ConfigError where a folder is empty."""
    anatomies = load_anatomies(sources.anatomies, cache) if sources.anatomies else [template_anatomy()] * 2
    wmh, strokes = _masks(sources.wmh, 1.5), _masks(sources.strokes, 2.0)

    def part(held: bool) -> Material:
        shapes = Shapes(_part(wmh, VALIDATION, held), _part(strokes, 100, held))
        return Material(_part(anatomies, VALIDATION, held), shapes)

    return part(False), part(True)


def _masks(folder: Path | None, spacing: float) -> list[Image]:
    if folder is None:
        return []
    paths = sorted(folder.glob("*.nii.gz"))
    if not paths:
        raise ConfigError(f"default_models: no lesion mask (*.nii.gz) in {folder}")
    return [standard_mask(path, spacing) for path in paths]


def _part(things: Sequence[T], count: int, held: bool) -> list[T]:
    """The last `count` of some things, or fewer where they are few, or those before."""
    count = min(count, len(things) // 2)
    return list(things[len(things) - count :] if held else things[: len(things) - count])


class WholeHeads(Dataset[tuple[Tensor, ...]]):
    """Examples for the brain network: its input (1, 1, X, Y, Z), and the distance to the brain's surface, mm, NaN where
    the image ends; all of one size, as batches need."""

    def __init__(self, material: Material, seed: int, spacing: float) -> None:
        self.anatomies, self.shapes, self.seed, self.spacing = material.anatomies, material.shapes, seed, spacing

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        generator = np.random.default_rng([self.seed, 1, index])
        anatomy = self.anatomies[int(generator.integers(len(self.anatomies)))]
        head = draw_whole_head(generator, anatomy, self.shapes, self.spacing)
        affine = head.grid.affine
        data = head.image
        if generator.random() < 0.3:
            # As z-scores, or as files that hold negative values: where zero is, means nothing.
            data = (data - data.mean()) / max(float(data.std()), 1e-6)
        given = network_input(Image(data, affine), self.spacing)
        truth = np.full(given.data.shape, np.nan, np.float32)
        # The input is padded, and cut where it is long: where its first voxel lies in the head's grid.
        shift = np.rint((np.linalg.inv(affine) @ given.affine)[:3, 3]).astype(int)
        low = np.maximum(0, -shift)
        high = np.minimum(truth.shape, np.array(head.surface.shape) - shift)
        there = tuple(map(slice, low + shift, high + shift))
        truth[tuple(map(slice, low, high))] = head.surface[there]
        return torch.from_numpy(given.data)[None, None], torch.from_numpy(truth)[None]


class Brains(Dataset[tuple[Tensor, ...]]):
    """Examples for the lesion network: `patches` patches of a brain, z-scored over it as `preprocessing.prepare` does
    (P, 1, N, N, N), and class numbers (P, N, N, N): 0 none, 1 WMH, 2 ISL; what is outside of the brain is 0 in both."""

    def __init__(self, material: Material, seed: int, spacing: float, patch: int, patches: int) -> None:
        self.anatomies, self.shapes, self.seed, self.spacing = material.anatomies, material.shapes, seed, spacing
        self.patch, self.patches = patch, patches

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        generator = np.random.default_rng([self.seed, 2, index])
        anatomy = self.anatomies[int(generator.integers(len(self.anatomies)))]
        image, classes = drawn_brain(generator, anatomy, self.shapes, self.spacing)
        lesions = np.argwhere(classes > 0)
        images, truths = [], []
        for _ in range(self.patches):
            centre = None
            if len(lesions) and generator.random() < 0.75:
                kind = classes[tuple(lesions.T)]
                among = lesions[kind == generator.choice(np.unique(kind))]
                centre = among[int(generator.integers(len(among)))]
            box, padding = _window(generator, np.array(image.shape), self.patch, centre)
            axes = [axis for axis in range(3) if generator.random() < (0.5 if axis == 0 else 0.15)]
            images.append(np.flip(np.pad(image[box], padding), axes).copy())
            truths.append(np.flip(np.pad(classes[box], padding), axes).copy())
        return torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(truths).astype(np.int64))


def drawn_brain(
    generator: np.random.Generator, anatomy: Anatomy, shapes: Shapes, spacing: float
) -> tuple[Array, Array]:
    """A brain's z-scores, float32 (X, Y, Z), cropped to it, and its classes, uint8."""
    head = draw_brain(generator, anatomy, shapes, spacing)
    # Found brains are a little too large or too small, here more, there less.
    brain = head.surface > generator.normal(-0.7, 0.8)
    where = np.argwhere(brain)
    box = tuple(slice(low, high + 1) for low, high in zip(where.min(axis=0), where.max(axis=0), strict=True))
    image, brain = head.image[box], brain[box]
    low, high = np.percentile(image[brain], [0.1, 99.9])
    values = np.clip(image, low, high)
    image = np.where(brain, (values - values[brain].mean()) / max(float(values[brain].std()), 1e-6), 0)
    wmh, isl = head.wmh[box] >= 0.5, head.isl[box] >= 0.5
    classes = np.where(isl, 2, np.where(wmh, 1, 0)) * brain
    return image.astype(np.float32), classes.astype(np.uint8)


def _window(
    generator: np.random.Generator, shape: Array, patch: int, centre: Array | None
) -> tuple[tuple[slice, ...], list[tuple[int, int]]]:
    """A cube in an image: around a voxel, or anywhere; padded where the image is smaller."""
    box, padding = [], []
    for axis, size in enumerate(shape):
        lacking = max(patch - size, 0)
        before = int(generator.integers(lacking + 1))
        room = max(size - patch, 0)
        if centre is None:
            start = int(generator.integers(room + 1))
        else:
            start = int(np.clip(centre[axis] - generator.integers(patch // 4, 3 * patch // 4 + 1), 0, room))
        box.append(slice(start, start + patch))
        padding.append((before, lacking - before))
    return tuple(box), padding
