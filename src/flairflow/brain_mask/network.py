"""The brain in any image of a head, by a network: distance to the brain's surface, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pydantic
from scipy import ndimage

from flairflow.config.named_models import MODELS
from flairflow.errors import ConfigError, ScanError
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import crop, ras_grid

if TYPE_CHECKING:
    from torch import nn

MODEL = MODELS / "brain"

# Voxel edge in mm of what the network reads.
SPACING = 2.0

# Edges of its input in voxels: multiples of a step (four halvings), the longest of 256 mm.
STEP, SHORTEST, LONGEST = 16, 32, 128

# Percentiles of the head's values that become 0 and 1, and where the values are cut then.
DARK, BRIGHT, MIN_VALUE, MAX_VALUE = 1.0, 99.5, -0.5, 1.5

# The brain's surface is taken this far (mm) outside of what the network learnt, which closes sulci and leaves all other
# CSF out: lesions at the surface stay inside, and masks agree better with published ones of FLAIRs (docs/real.md).
MARGIN = 1.0

# The slope is looked at as far from the surface (mm): further in, distances from two sides meet.
SHELL = 4.0


class BrainPlan(pydantic.BaseModel, frozen=True):
    """What is needed to apply the network: its features by level, the voxel edge it reads, where distances end (mm)."""

    filters: tuple[int, ...]
    spacing: float = SPACING
    limit: float = 10.0


@dataclass(frozen=True, eq=False)
class FoundBrain:
    """A brain as the network found it.

    distance : signed distance to the brain's surface in mm, positive inside; float32 (X, Y, Z), isotropic, over
               the image. One piece without holes.
    doubt    : 0..1, how far the answer is from being a distance near its surface, where it should fall by 1 mm a mm;
               and the share of what the network called brain that is no part of the piece, if that is more.
    """

    distance: Image
    doubt: float

    @property
    def volume_ml(self) -> float:
        return float((self.distance.data > 0).sum()) * self.distance.grid.voxel_ml


def find_brain(image: Image, model: Path = MODEL) -> FoundBrain:
    """Find the brain in an image of a head (X, Y, Z): any sequence, orientation, slice thickness and coverage.

    Raises ScanError when the image is constant or no brain is in it; ConfigError naming `model`, a folder, when it
    holds no usable weights.
    """
    import torch

    network, plan = load_brain_network(model)
    given = network_input(image, plan.spacing)
    # More threads would add in another order: every way to a mask is to give the same.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            answer = network(torch.from_numpy(given.data)[None, None])[0, 0].numpy()
    finally:
        torch.set_num_threads(threads)
    # Of what was padded the network knows nothing: it was asked for nothing there.
    low, high = _seen(given.grid, image.grid)
    answer = np.clip(answer[tuple(map(slice, low, high))] + np.float32(MARGIN), -plan.limit, plan.limit)
    if not (answer > 0).any():
        raise ScanError("no brain was found in the image")
    one = in_one_piece(answer)
    return FoundBrain(Image(one, crop(given.grid, low, high).affine), doubt(answer, one, plan.spacing))


def brain_mask(found: FoundBrain, grid: Grid) -> Array:
    """The mask of a found brain, bool (X, Y, Z), on the grid of the image it was found in."""
    distance, affine = found.distance.data, found.distance.affine
    orientation = nib.io_orientation(np.linalg.inv(affine) @ grid.affine)
    # Along the axes of `grid` in the order and direction of the distance's.
    turned = grid.affine @ nib.orientations.inv_ornt_aff(orientation, grid.shape)
    shape = np.array(grid.shape)[np.argsort(orientation[:, 0])]
    voxels = np.linalg.inv(affine) @ turned
    places = [voxels[axis, 3] + voxels[axis, axis] * np.arange(size) for axis, size in enumerate(shape)]
    inside = _along_axes(distance, places) > 0
    for axis, place in enumerate(places):
        beyond = (place < -1) | (place > distance.shape[axis])
        inside[(slice(None),) * axis + (beyond,)] = False
    back = nib.orientations.ornt_transform(nib.io_orientation(np.eye(4)), orientation)
    mask: Array = nib.orientations.apply_orientation(inside, back)
    return np.ascontiguousarray(mask)


def network_input(image: Image, spacing: float = SPACING) -> Image:
    """What the network reads of an image (X, Y, Z) with any values: float32 in -0.5..1.5 on an isotropic grid.

    Slices thicker than `spacing` (mm) are interpolated linearly, finer voxels averaged. The grid is in RAS order along
    the image's own axes, at most 256 mm a side around the head, its edges padded to multiples of 16 voxels with the
    value of the background: the most frequent one, which voxels that are not finite count as. Raises ScanError when
    the image is constant.
    """
    empty = background(image.data)
    orientation = nib.io_orientation(image.affine)
    values = nib.orientations.apply_orientation(image.data.astype(np.float32) - np.float32(empty), orientation)
    values[~np.isfinite(values)] = 0
    grid = ras_grid(image.grid, spacing)
    edges = image.grid.spacing[np.argsort(orientation[:, 0])]
    places = [
        (np.arange(size) - (size - 1) / 2) * spacing / edge + (count - 1) / 2
        for size, edge, count in zip(grid.shape, edges, values.shape, strict=True)
    ]
    data = _along_axes(values, places)
    shown = data[data != 0]
    if not shown.size:
        raise ScanError("image is constant")
    dark, bright = np.percentile(shown, (DARK, BRIGHT))
    if not bright > dark:
        raise ScanError("image is constant but for its background")
    scaled = np.clip((data - dark) / (bright - dark), MIN_VALUE, MAX_VALUE).astype(np.float32)
    nothing = float(np.clip(-dark / (bright - dark), MIN_VALUE, MAX_VALUE))
    return _fitted(Image(scaled, grid.affine), nothing)


def build_brain_network(filters: Sequence[int]) -> nn.Module:
    """The network: one channel in, one out, the signed distance in mm."""
    from flairflow.config.models import NetworkSettings
    from flairflow.network.architecture import build_network

    return build_network(NetworkSettings(filters=tuple(filters), deep_supervision=0), images=1, channels=1)


@lru_cache(maxsize=1)
def load_brain_network(model: Path) -> tuple[nn.Module, BrainPlan]:
    """The network with its weights, ready to be applied on the CPU, and its plan; once a process. Raises ConfigError
    naming the folder."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from flairflow.network.architecture import load_network_weights

    try:
        plan = BrainPlan.model_validate_json((model / "plan.json").read_text(encoding="utf-8"))
        weights = load_file(model / "weights.safetensors")
        network = build_brain_network(plan.filters)
        load_network_weights(network, weights)
    except (OSError, RuntimeError, pydantic.ValidationError, SafetensorError) as error:
        raise ConfigError(f"{model}: no usable network that finds brains ({error})") from error
    return network.eval(), plan


def background(data: Array) -> float:
    """The most frequent of an image's values: that of the air, or of what a stripped image has around the brain.

    Where each voxel has a value of its own, the least one.
    """
    some = data.ravel(order="K")[:: max(1, data.size // 200_000)]
    some = some[np.isfinite(some)]
    if not some.size:
        raise ScanError("image has no finite value")
    values, counts = np.unique(some, return_counts=True)
    return float(values[np.argmax(counts)])


def in_one_piece(distance: Array) -> Array:
    """A signed distance (X, Y, Z) whose inside is its largest piece, holes filled."""
    inside = distance > 0
    parts, count = ndimage.label(inside)
    if count > 1:
        inside = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    whole = ndimage.binary_fill_holes(inside)
    one: Array = np.where(whole, np.maximum(distance, 0.5), np.where(distance > 0, -0.5, distance)).astype(np.float32)
    return one


def doubt(answer: Array, one: Array, spacing: float) -> float:
    """See `FoundBrain.doubt`; for the network's answer (X, Y, Z) in mm, and what `in_one_piece` made of it."""
    slope = np.sqrt(sum(part**2 for part in np.gradient(answer, spacing)))
    shell = np.abs(answer) < SHELL
    wrong = float(np.abs(slope[shell] - 1).mean()) if shell.any() else 1.0
    stray = float(((answer > 0) & (one <= 0)).sum() / (answer > 0).sum())
    return min(max(wrong, stray), 1.0)


def _seen(given: Grid, image: Grid) -> tuple[Array, Array]:
    """First and last + 1 voxel of the network's grid along each axis whose centres lie in the image's field of view."""
    to_image = np.linalg.inv(image.affine) @ given.affine
    low, high = np.zeros(3, int), np.array(given.shape)
    for axis, size in enumerate(given.shape):
        along = int(np.argmax(np.abs(to_image[:3, axis])))
        places = to_image[along, 3] + to_image[along, axis] * np.arange(size)
        within = np.flatnonzero((places > -0.5) & (places < image.shape[along] - 0.5))
        low[axis], high[axis] = within[0], within[-1] + 1
    return low, high


def _along_axes(data: Array, places: Sequence[Array]) -> Array:
    """Values (X, Y, Z) at `places` in voxels, one evenly spaced row for each axis: interpolated linearly where they are
    closer than voxels, averaged by triangles as wide as two of their steps elsewhere. Beyond the border it goes on."""
    # Separable, as products of matrices: a tenth of the time of a general resampling. Where most is lost comes first.
    for axis in sorted(range(3), key=lambda axis: len(places[axis]) / data.shape[axis]):
        place = np.clip(places[axis], 0, data.shape[axis] - 1)
        step = abs(places[axis][1] - places[axis][0]) if len(place) > 1 else 1.0
        weights = np.maximum(1 - np.abs(np.arange(data.shape[axis]) - place[:, np.newaxis]) / max(step, 1.0), 0)
        weights /= weights.sum(axis=1, keepdims=True)
        data = np.moveaxis(np.tensordot(weights.astype(np.float32), data, (1, axis)), 0, axis)
    return np.ascontiguousarray(data)


def _fitted(image: Image, nothing: float) -> Image:
    """An image cut to LONGEST about its head, and padded with `nothing` to multiples of STEP voxels."""
    away = np.abs(image.data - nothing)
    head = away > away[away > away.mean()].mean() / 3
    low, high = np.zeros(3, int), np.array(image.data.shape)
    for axis in np.flatnonzero(high > LONGEST):
        filled = np.flatnonzero(head.mean(axis=tuple(other for other in range(3) if other != axis)) > 0.005)
        # Below the head comes the neck: there the field of view is cut.
        start = filled[-1] + 6 - LONGEST if axis == 2 else (filled[0] + filled[-1] + 1 - LONGEST) // 2
        low[axis] = np.clip(start, 0, high[axis] - LONGEST)
        high[axis] = low[axis] + LONGEST
    kept = image.data[tuple(map(slice, low, high))]
    wanted = np.maximum(-(-np.array(kept.shape) // STEP) * STEP, SHORTEST)
    before = (wanted - kept.shape) // 2
    padding = np.stack([before, wanted - kept.shape - before], axis=1)
    return Image(np.pad(kept, padding, constant_values=nothing), crop(image.grid, low - before, high).affine)
