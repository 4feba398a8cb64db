"""What a scanner does to a head: slices, gaps, blur, coil shading, noise and artefacts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flairflow.images.grid import Array, Grid
from flairflow.simulation.fields import smooth_noise


@dataclass(frozen=True)
class Protocol:
    """How a scan samples space. `edges` : mm between the centres of voxels along each axis; `seen` : mm of each that a
    voxel averages over, less than `edges` where there are gaps; `slices` : the axis along which slices lie."""

    edges: tuple[float, float, float]
    seen: tuple[float, float, float]
    slices: int


def draw_protocol(generator: np.random.Generator) -> Protocol:
    """Two of five scans are 3D, with voxels of 0.5 to 1.6 mm; the others have slices of 2 to 8 mm, mostly axial."""
    slices = int(generator.choice(3, p=[0.12, 0.12, 0.76]))
    if generator.random() < 0.4:
        edge = generator.uniform(0.5, 1.6)
        edges = [edge * generator.uniform(0.9, 1.15) for _ in range(3)]
        return Protocol(_three(edges), _three([e * generator.uniform(1.0, 1.4) for e in edges]), slices)
    inside = generator.uniform(0.4, 1.6)
    edges = [inside * generator.uniform(1.0, 1.3) for _ in range(3)]
    edges[slices] = generator.uniform(2.0, 8.0) if generator.random() < 0.7 else generator.choice([3.0, 5.0, 5.5, 6.5])
    seen = [e * generator.uniform(1.0, 1.4) for e in edges]
    seen[slices] = edges[slices] * (1.0 if generator.random() < 0.5 else generator.uniform(0.6, 1.0))
    return Protocol(_three(edges), _three(seen), slices)


def sample_slices(generator: np.random.Generator, volumes: Array, grid: Grid, protocol: Protocol) -> Array:
    """Volumes (C, X, Y, Z) on an isotropic grid as they are after being scanned and interpolated back onto it."""
    for axis, (edge, seen) in enumerate(zip(protocol.edges, protocol.seen, strict=True)):
        if seen > grid.spacing[axis] or edge > grid.spacing[axis]:
            operator = _there_and_back(grid.shape[axis], float(grid.spacing[axis]), edge, seen, generator.random())
            volumes = np.moveaxis(np.tensordot(operator, volumes, axes=(1, 1 + axis)), 0, 1 + axis)
    return np.ascontiguousarray(volumes, np.float32)


def shade(generator: np.random.Generator, image: Array, grid: Grid, spread: float) -> Array:
    """A coil's shading: the logarithm of the field has this standard deviation."""
    field = smooth_noise(generator, grid, generator.uniform(70.0, 140.0))
    shaded: Array = image * np.exp(np.float32(spread) * field)
    return shaded


def add_noise(generator: np.random.Generator, image: Array, level: float) -> Array:
    """Rician noise of this standard deviation per channel."""
    real, imaginary = (generator.standard_normal(image.shape, np.float32) * np.float32(level) for _ in range(2))
    noisy: Array = np.hypot(image + real, imaginary)
    return noisy


def add_artefacts(generator: np.random.Generator, image: Array, slices: int, level: float) -> Array:
    """Each rarely: ghosts of the head along an axis, slices that differ in brightness or were moved, a wave from a
    spike in k-space. `level` : the brightness that they are measured by."""
    if generator.random() < 0.12:
        axis, count = int(generator.integers(3)), int(generator.integers(2, 6))
        strength = generator.uniform(0.02, 0.15)
        for k in (1, -1):
            image = image + np.float32(strength) * np.roll(image, k * image.shape[axis] // count, axis)
    if generator.random() < 0.25:
        gains = generator.normal(1.0, generator.uniform(0.01, 0.08), image.shape[slices])
        pattern = np.repeat(gains, int(generator.integers(1, 5)))[: image.shape[slices]]
        image = image * np.expand_dims(pattern, [a for a in range(3) if a != slices]).astype(np.float32)
    if generator.random() < 0.12:
        axis = (slices + int(generator.integers(1, 3))) % 3
        order = np.arange(image.shape[slices])
        moved = np.roll(image, int(generator.integers(1, 3)), axis)
        which = (order // int(generator.integers(1, 4))) % 2 == 0
        weight = np.expand_dims(which, [a for a in range(3) if a != slices]).astype(np.float32)
        image = image + np.float32(generator.uniform(0.2, 0.8)) * weight * (moved - image)
    if generator.random() < 0.06:
        waves = sum(
            np.expand_dims(generator.uniform(-0.9, 0.9) * np.arange(n), [a for a in range(3) if a != axis])
            for axis, n in enumerate(image.shape)
        )
        image = image + np.float32(level * generator.uniform(0.03, 0.15)) * np.cos(waves).astype(np.float32)
    return np.maximum(image, 0.0).astype(np.float32)


def _there_and_back(count: int, step: float, edge: float, seen: float, phase: float) -> Array:
    """The matrix (count, count) that averages over `seen` mm around centres `edge` mm apart and interpolates back."""
    positions = np.arange(count) * step
    centres = np.arange(phase * edge - edge, positions[-1] + 2 * edge, edge)
    sigma = max(seen, step) / 2.355
    weights = np.exp(-0.5 * ((centres[:, None] - positions) / sigma) ** 2) + 1e-30
    weights /= weights.sum(axis=1, keepdims=True)
    after = np.clip(np.searchsorted(centres, positions), 1, len(centres) - 1)
    share = (positions - centres[after - 1]) / edge
    matrix: Array = (1 - share)[:, None] * weights[after - 1] + share[:, None] * weights[after]
    return matrix.astype(np.float32)


def _three(values: list[float]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
