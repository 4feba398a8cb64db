"""How a head lies in the scanner and what of it is seen: a random affine, a smooth deformation, a field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation

from flairflow.images.grid import Array, Grid
from flairflow.simulation.fields import smooth_noise


@dataclass(frozen=True, eq=False)
class Placement:
    """Where each voxel of an isotropic grid comes from.

    points : float32 (X, Y, Z, 3), voxel indices of the anatomy.
    scale  : mean factor by which the anatomy was enlarged, per axis of the grid.
    """

    grid: Grid
    points: torch.Tensor
    scale: float

    def sample(self, maps: Array, step: int = 1, nearest: bool = False, outside: str = "border") -> Array:
        """Maps of the anatomy (C, x, y, z), or (x, y, z), on every `step`-th of its voxels -> float32 on the grid."""
        volume = torch.from_numpy(np.ascontiguousarray(maps, np.float32))
        channels = volume if volume.dim() == 4 else volume[None]
        size = torch.tensor(channels.shape[1:], dtype=torch.float32)
        relative = (2.0 * (self.points / step) / (size - 1.0) - 1.0).flip(-1)
        sampled = F.grid_sample(
            channels[None],
            relative[None],
            mode="nearest" if nearest else "bilinear",
            padding_mode=outside,
            align_corners=True,
        )[0].numpy()
        result: Array = sampled if volume.dim() == 4 else sampled[0]
        return result


def place(
    generator: np.random.Generator,
    grid: Grid,
    middle: Array,
    *,
    degrees: float,
    sizes: tuple[float, float],
    strength: float,
) -> Placement:
    """Lay an anatomy into a grid, whose centre comes to lie on the anatomy's voxel `middle`.

    degrees  : spread of the rotation about each axis.
    sizes    : range of the factor on the head's size; each axis differs from it by some 4 %.
    strength : mm, spread of the coarse deformation; a fine one (gyri) has a third of it.
    """
    scale = np.exp(generator.uniform(*np.log(sizes)) + generator.normal(0.0, 0.04, 3))
    angles = generator.normal(0.0, degrees, 3)
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() / scale
    matrix = matrix @ (np.eye(3) + np.triu(generator.normal(0.0, 0.03, (3, 3)), 1))
    if generator.random() < 0.5:
        matrix[0] = -matrix[0]
    axes = [(np.arange(n, dtype=np.float32) - (n - 1) / 2) * grid.spacing[i] for i, n in enumerate(grid.shape)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ matrix.T.astype(np.float32)
    points += middle.astype(np.float32)
    for axis in range(3):
        points[..., axis] += strength * smooth_noise(generator, grid, 45.0)
        points[..., axis] += 0.33 * strength * smooth_noise(generator, grid, 14.0)
    return Placement(grid, torch.from_numpy(np.ascontiguousarray(points, np.float32)), float(scale.mean()))
