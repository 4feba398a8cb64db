"""What a user could run instead of networks: two rules on intensities, each at its best on the scans judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nilearn import datasets
from scans import dice
from scipy import ndimage

from flairflow.comparison.scoring.intensity_rules import best_thresholds
from flairflow.config.models import PreprocessingSettings
from flairflow.images.grid import Array, Image
from flairflow.images.resample import resample
from flairflow.preprocessing.prepare import Prepared, prepare

KAPPAS = np.arange(0.5, 6.01, 0.25)


@dataclass(frozen=True, eq=False)
class Tissue:
    """A scan as the rules see it at 1 mm: z-scores, and the beliefs in grey and white matter by the template, laid over
    the scan by its affine registration. All (X, Y, Z) on the grid of `prepared`."""

    prepared: Prepared
    grey: Array
    white: Array

    @property
    def scores(self) -> Array:
        scores: Array = self.prepared.images[0]
        return scores

    def natively(self, mask: Array) -> Array:
        """A mask on the scan's own grid."""
        seen = resample(Image(mask.astype(np.float32), self.prepared.grid.affine), self.prepared.native)
        native: Array = seen.data > 0.5
        return native

    def brought(self, mask: Array) -> Array:
        """A mask of the scan's own grid on this one."""
        native = Image(mask.astype(np.float32), self.prepared.native.affine)
        here: Array = resample(native, self.prepared.grid).data > 0.5
        return here


def see_tissue(image: Image, brain: Array, matrix: Array) -> Tissue:
    """matrix : 4x4 from points of the template to those of the image (RAS mm)."""
    prepared = prepare([image], [None], brain, PreprocessingSettings(spacing=1.0))
    maps = datasets.load_mni152_gm_template(resolution=1), datasets.load_mni152_wm_template(resolution=1)
    grey, white = (
        resample(Image(map_.get_fdata(dtype=np.float32), map_.affine), prepared.grid, np.linalg.inv(matrix)).data
        for map_ in maps
    )
    return Tissue(prepared, grey, white)


def threshold_in_white_matter(scans: Sequence[tuple[Tissue, Array]]) -> tuple[str, list[Array]]:
    """Bright white matter: the one threshold of z-scores with the highest mean Dice over these scans (tissue, known
    mask on the native grid), and its masks there."""
    values = [(np.where(tissue.white > 0.5, tissue.scores, -np.inf), tissue) for tissue, _ in scans]
    known = [tissue.brought(mask) for tissue, mask in scans]
    inside = [
        (score[tissue.prepared.brain], mask[tissue.prepared.brain], tissue.prepared.grid.voxel_ml)
        for (score, tissue), mask in zip(values, known, strict=True)
    ]
    (low, _, _), _ = best_thresholds(inside)
    return f"z > {low:.1f}", [tissue.natively(score > low) for score, tissue in values]


def outliers(scans: Sequence[tuple[Tissue, Array]]) -> tuple[str, list[Array]]:
    """After LST's LGA (Schmidt et al. 2012), with the template's tissue beliefs instead of a T1w's segmentation: the
    kappa with the highest mean Dice over these scans, and its masks on the native grids."""
    known = [tissue.brought(mask) for tissue, mask in scans]
    pairs = [(tissue, mask) for (tissue, _), mask in zip(scans, known, strict=True)]
    mean = [np.mean([dice(outlying(tissue, kappa), mask) for tissue, mask in pairs]) for kappa in KAPPAS]
    kappa = float(KAPPAS[int(np.argmax(mean))])
    return f"kappa {kappa:.2f}", [tissue.natively(outlying(tissue, kappa)) for tissue, _ in scans]


def outlying(tissue: Tissue, kappa: float) -> Array:
    """Lesions (X, Y, Z) bool: in white matter, brighter than grey matter by `kappa` of its spread times the belief in
    tissue; grown into what touches and is so by half of it."""
    grey = tissue.scores[(tissue.grey > 0.7) & tissue.prepared.brain]
    middle = np.median(grey)
    spread = 1.4826 * np.median(np.abs(grey - middle))
    belief = np.clip((tissue.scores - middle) / spread, 0, None) * np.clip(tissue.grey + tissue.white, 0, 1)
    belief[~tissue.prepared.brain] = 0
    seeds = (belief > kappa) & (tissue.white > 0.5)
    parts, _ = ndimage.label((belief > kappa / 2) & (tissue.white > 0.3) | seeds)
    grown: Array = np.isin(parts, np.unique(parts[seeds]))
    return grown
