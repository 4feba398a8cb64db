"""Figures of `benchmarks/simulation.py`: lesion sizes, simulated scans, and real beside simulated ones."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from PIL import Image as PillowImage

from flairflow.config.simulation import SimulationSettings
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_image
from flairflow.simulation.anatomy import Traits, make_anatomy
from flairflow.simulation.contrast import draw_contrast, share_on
from flairflow.simulation.pose import draw_pose, scan_grid
from flairflow.simulation.scanner import draw_scanner

VOXELS = {"3D, 1 mm": (1.0, 1.0, 1.0), "3D, 2 mm": (2.0, 2.0, 2.0), "2D, 1 x 1 x 5 mm": (1.0, 1.0, 5.0)}
# Four participants of each dataset: what they have, seed, and whether the slice goes through WMH or ISL.
PEOPLE = (
    ("50 years, few WMH", Traits(50, "F", 1.5, 0, 0), 13, "WMH"),
    ("84 years, 45 ml WMH", Traits(84, "M", 45.0, 0, 0), 30, "WMH"),
    ("68 years, recent stroke", Traits(68, "F", 6.0, 1, 0), 10, "ISL"),
    ("76 years, old stroke", Traits(76, "M", 12.0, 0, 1), 15, "ISL"),
)


def draw_sizes(sizes: dict[str, list[Array]], path: Path) -> None:
    """Cumulative distribution of the components' volumes by source (real dashed), of all scans of a source together."""
    figure, axis = plt.subplots(figsize=(7.5, 5))
    for source, scans in sizes.items():
        if not scans or source.startswith("ISL"):
            continue
        values = np.sort(np.concatenate(scans))
        style = "--" if source.startswith("real") else "-"
        axis.step(values, np.arange(1, len(values) + 1) / len(values), style, where="post", label=source)
    axis.set(xscale="log", xlabel="volume of a lesion, ml", ylabel="share of lesions that are smaller")
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_panel(path: Path) -> None:
    """Simulated scans of three datasets, four participants each, with the true outlines of WMH (red) and ISL (cyan)."""
    figure, axes = plt.subplots(3, 8, figsize=(13, 5.9), facecolor="black")
    for row, (dataset, edges) in enumerate(VOXELS.items()):
        for column, (who, traits, seed, label) in enumerate(PEOPLE):
            scan, masks = _simulate(traits, seed + 100 * row, edges, row)
            index = int(np.argmax(masks[label].sum(axis=(0, 1))))
            margin = slice(int(20 / edges[0]), -int(20 / edges[0]))  # of air
            plain, outlined = axes[row, 2 * column], axes[row, 2 * column + 1]
            for axis in (plain, outlined):
                _show(axis, scan.data[margin, margin, index], scan.grid.spacing)
            for name, colour in (("WMH", "red"), ("ISL", "cyan")):
                mask = masks[name][margin, margin, index].T
                if mask.any():
                    outlined.contour(mask, [0.5], colors=colour, linewidths=0.6)
            plain.set_title(f"{dataset}: {who}", color="white", fontsize=6.5, loc="left", pad=2)
    figure.subplots_adjust(0.002, 0.002, 0.998, 0.97, 0.01, 0.08)
    figure.savefig(path, dpi=90)
    plt.close(figure)
    # 256 shades and colours will do, at a third of the size.
    PillowImage.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def draw_beside(settings: SimulationSettings, data: Path, path: Path) -> None:
    """Five slices of each real FLAIR, then of simulated ones. To be looked at: the real ones are not ours to show."""
    real = sorted(
        [*(data / "ms_mni").glob("sub-*/anat/*FLAIR.nii.gz"), *(data / "ms_long").glob("sub-*/ses-1/anat/*FLAIR*")]
    )
    simulated = [sorted((settings.root / name).rglob("*FLAIR.nii.gz"))[1] for name in settings.datasets]
    files = [*real, *simulated]
    figure, axes = plt.subplots(len(files), 5, figsize=(13, 2.9 * len(files)), facecolor="black")
    for row, file in enumerate(files):
        scan = _canonical(read_image(file))
        spacing = scan.grid.spacing
        occupied = np.flatnonzero((scan.data > 0.5 * np.percentile(scan.data, 90)).mean(axis=(0, 1)) > 0.03)
        for column, depth in enumerate((30, 45, 60, 75, 95)):
            index = max(int(occupied[-1] - depth / spacing[2]), 0)
            _show(axes[row, column], scan.data[..., index], spacing)
        axes[row, 0].set_title(file.name, color="white", fontsize=7, loc="left")
    figure.subplots_adjust(0.002, 0.002, 0.998, 0.98, 0.01, 0.06)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def _simulate(
    traits: Traits, seed: int, edges: tuple[float, float, float], scanner: int
) -> tuple[Image, dict[str, Array]]:
    anatomy = make_anatomy(traits, [seed], max(1.4, 0.8 * min(edges)))
    generator = np.random.default_rng(seed)
    pose = draw_pose(generator, 4.0, 5.0)
    grid, to_anatomy = scan_grid(pose, edges, flipped=False), np.linalg.inv(pose)
    scan = draw_contrast(anatomy, draw_scanner([scanner], edges), "FLAIR", grid, to_anatomy, generator)
    masks = {label: share_on(share, anatomy, grid, to_anatomy) >= 0.5 for label, share in anatomy.lesions.items()}
    return scan, masks


def _canonical(image: Image) -> Image:
    file = nib.as_closest_canonical(nib.Nifti1Image(image.data, image.affine))
    return Image(np.asarray(file.dataobj), np.asarray(file.affine))


def _show(axis: plt.Axes, data: Array, spacing: Array) -> None:
    brain = data[data > 0.5 * np.percentile(data, 90)]
    axis.imshow(
        data.T, cmap="gray", vmin=0, vmax=1.75 * np.median(brain), origin="lower", aspect=spacing[1] / spacing[0]
    )
    axis.axis("off")
