"""How a head lies in the scanner, and the oblique grid a technician puts around it."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array, Grid

# Whole head with air around it, in the head's own space, mm (right-left, back-front, down-up).
CENTRE, FIELD_OF_VIEW = np.array([0.0, -17.0, 14.0]), np.array([214.0, 258.0, 204.0])


def draw_pose(generator: np.random.Generator, degrees: float, millimetres: float) -> Array:
    """A random rigid motion about the head's centre, 4x4 in RAS mm; rotation angles and shifts have these spreads."""
    angles = np.deg2rad(np.clip(generator.normal(0.0, degrees, 3), -2 * degrees, 2 * degrees))
    shift = np.clip(generator.normal(0.0, millimetres, 3), -2 * millimetres, 2 * millimetres)
    pose = np.eye(4)
    pose[:3, :3] = _rotation(angles)
    pose[:3, 3] = CENTRE + shift - pose[:3, :3] @ CENTRE
    return pose


def scan_grid(pose: Array, voxel_size: tuple[float, float, float], flipped: bool) -> Grid:
    """The grid of a scan around a head that lies in `pose`: its axes follow the head's, so its affine is oblique.

    flipped : the first axis runs from right to left, as most scanners store axial slices.
    """
    shape = np.ceil(FIELD_OF_VIEW / voxel_size - 1e-6).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = pose[:3, :3] * np.array(voxel_size) * ([-1.0, 1.0, 1.0] if flipped else 1.0)
    affine[:3, 3] = (pose @ np.append(CENTRE, 1.0))[:3] - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _rotation(angles: Array) -> Array:
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles), np.cos(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: Array = about_x @ about_y @ about_z
    return rotation
