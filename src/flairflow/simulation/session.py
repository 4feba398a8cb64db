"""One session of a participant in memory: a head, its scans, the true masks and those that the rater drew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flairflow.config.simulation import SimulatedDataset
from flairflow.images.grid import Array, Grid, Image
from flairflow.simulation.anatomy import Anatomy, Traits, make_anatomy
from flairflow.simulation.contrast import draw_contrast, share_on
from flairflow.simulation.pose import draw_pose, scan_grid
from flairflow.simulation.rater import Rater, annotate
from flairflow.simulation.scanner import Scanner

LABELS = ("WMH", "ISL", "cavity")


@dataclass(frozen=True, eq=False)
class Session:
    """What a session leaves.

    anatomy    : the head.
    to_anatomy : by sequence, the 4x4 matrix from the scan's world to the anatomy's, RAS mm.
    scans      : by sequence, int16 (X, Y, Z).
    truth      : by label, every voxel of the FLAIR that is lesion by half or more, bool (X, Y, Z).
    manual     : by label of the dataset, the rater's mask, bool (X, Y, Z), on the grid of the sequence it is drawn on.
    """

    anatomy: Anatomy
    to_anatomy: dict[str, Array]
    scans: dict[str, Image]
    truth: dict[str, Image]
    manual: dict[str, Image]


def make_session(
    dataset: SimulatedDataset, traits: Traits, scanner: Scanner, rater: Rater, seed: list[int], index: int
) -> Session:
    """Session `index` (0 or 1) of a participant; in the second, lesions have grown by a tenth to two fifths."""
    generator = np.random.default_rng([*seed, 2 + index])
    growth = 1.0 if index == 0 else generator.uniform(1.1, 1.4)
    # Finer than this a scan shows no more, and the time grows with the cube.
    anatomy = make_anatomy(traits, [*seed, 1], max(1.4, 0.8 * min(dataset.voxel_size)), growth)
    head = draw_pose(generator, degrees=4.0, millimetres=5.0)
    scans, to_anatomy = {}, {}
    for sequence in sequences(dataset):
        # Heads move between sequences, and each sequence's grid is put around the head anew.
        moved = head if sequence == "FLAIR" else draw_pose(generator, degrees=1.0, millimetres=1.5) @ head
        placed = draw_pose(generator, degrees=3.0, millimetres=2.0) @ head
        grid = scan_grid(placed, _voxel_size(dataset, sequence), flipped=sequence != "T1w")
        to_anatomy[sequence] = np.linalg.inv(moved)
        gap = dataset.slice_gap if sequence == "FLAIR" else 0.0
        scans[sequence] = draw_contrast(anatomy, scanner, sequence, grid, to_anatomy[sequence], generator, gap)
    truth = {
        label: Image(_share(anatomy, label, scans["FLAIR"].grid, to_anatomy["FLAIR"]) >= 0.5, scans["FLAIR"].affine)
        for label in LABELS
    }
    manual: dict[str, Image] = {}
    for label in dataset.labels:
        sequence = dataset.drawn_on.get(label, "FLAIR")
        grid = scans[sequence].grid
        manual[label] = Image(_annotate(rater, anatomy, label, grid, to_anatomy[sequence]), grid.affine)
    return Session(anatomy, to_anatomy, scans, truth, manual)


def sequences(dataset: SimulatedDataset) -> list[str]:
    """The sequences a dataset has, FLAIR first."""
    return ["FLAIR", *(s for s in ("T1w", "dwi") if s in dataset.drawn_on.values() or (s == "T1w" and dataset.t1w))]


def _voxel_size(dataset: SimulatedDataset, sequence: str) -> tuple[float, float, float]:
    """Voxel edges, mm: T1w isotropic at the FLAIR's smallest edge; dwi 2 x 2 x 4, or more where the FLAIR has more."""
    if sequence == "FLAIR":
        return dataset.voxel_size
    x, y, z = dataset.voxel_size
    smallest = min(x, y, z)
    return (smallest,) * 3 if sequence == "T1w" else (max(x, 2.0), max(y, 2.0), max(z, 4.0))


def _share(anatomy: Anatomy, label: str, grid: Grid, to_anatomy: Array) -> Array:
    return share_on(anatomy.lesions[label], anatomy, grid, to_anatomy)


def _annotate(rater: Rater, anatomy: Anatomy, label: str, grid: Grid, to_anatomy: Array) -> Array:
    """The mask that a rater draws of a label on the image of a grid, bool (X, Y, Z)."""
    lesion = _share(anatomy, label, grid, to_anatomy)
    # A cavity's outline is crisp: there is nothing around it to argue about.
    if label == "cavity":
        return lesion >= 0.5
    halo = share_on(anatomy.halos[label], anatomy, grid, to_anatomy)
    return annotate(rater, lesion, halo, _share(anatomy, "cavity", grid, to_anatomy), grid.spacing)
