"""From native images to network input: bias correction, isotropic voxels, brain only, cropped, z-scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flairflow.brain_mask.plausible import brain_flag, check_brain
from flairflow.config.models import PreprocessingSettings
from flairflow.errors import ScanError
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import crop, ras_grid, resample, resample_masks
from flairflow.images.values import tissue_range, usual
from flairflow.preprocessing.bias import correct_bias
from flairflow.preprocessing.contrast import contrast_flag

# Z-scores go in thousandths: as int16 they take half of float32, and no contrast is lost.
INTENSITY_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan as the network reads it. World coordinates are those of the native reference image, so the way back is a
    resampling onto `native`. All numbers are such as the files of the stage `preprocess` hold, so that a scan segmented
    from memory and one segmented from them get the same mask.

    images : (channels, X, Y, Z) float32, z-scored over the brain in steps of 0.001, 0 outside of it; a sequence this
             scan lacks is 0.
    there  : which of the sequences the scan has.
    brain  : (X, Y, Z) bool.
    notes  : how the images were read where that was not plain; a scan read from files has none.
    clipped : the share of the brain's voxels that lie beyond the range of its tissue, of the image that has most.
    """

    images: Array
    there: tuple[bool, ...]
    brain: Array
    grid: Grid
    native: Grid
    notes: tuple[str, ...] = ()
    clipped: float = 0.0

    @property
    def brain_ml(self) -> float:
        """Volume of the brain mask in ml."""
        return round(float(self.brain.sum()) * self.grid.voxel_ml, 3)


def prepare(
    images: Sequence[Image | None],
    to_sequence: Sequence[Array | None],
    brain: Array,
    settings: PreprocessingSettings,
) -> Prepared:
    """Prepare a scan from its native images, the reference first.

    to_sequence : for each image the 4x4 matrix from world points of the reference to its own; None: the same space.
    brain       : (X, Y, Z) bool on the reference's grid.
    Raises ScanError when the brain mask is too small or too large to be one or an image is constant in it.
    """
    images = [None if image is None else usual(image) for image in images]
    reference = images[0]
    assert reference is not None
    check_brain(brain, reference.grid)
    isotropic = ras_grid(reference.grid, settings.spacing)
    inside = resample(Image(brain.astype(np.float32), reference.affine), isotropic).data >= 0.5
    where = np.argwhere(inside)
    low = np.maximum(where.min(axis=0) - 1, 0)
    high = np.minimum(where.max(axis=0) + 2, isotropic.shape)
    grid = crop(isotropic, low, high)
    inside = inside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    channels = np.zeros((len(images), *grid.shape), np.float32)
    notes = [note for image in images if image is not None for note in image.notes]
    clipped: list[float] = []
    for channel, image, matrix in zip(channels, images, to_sequence, strict=True):
        if image is not None:
            own_brain = brain if matrix is None else _carried(brain, reference, image, matrix)
            corrected = correct_bias(image, own_brain, settings.bias_resolution) if settings.bias_correction else image
            data = resample(corrected, grid, matrix).data
            channel[:] = _in_steps(standardise(data, inside))
            low, high = tissue_range(data[inside])
            clipped.append(float(((data < low) | (data > high))[inside].mean()))
            if clipped[-1]:
                notes.append(f"{image.name or 'image'}: {100 * clipped[-1]:.2g} % of the brain's voxels clipped")
    # NIfTI headers hold float32.
    grid = Grid(grid.shape, grid.affine.astype(np.float32).astype(float))
    there = tuple(image is not None for image in images)
    return Prepared(channels, there, inside, grid, reference.grid, tuple(dict.fromkeys(notes)), max(clipped))


def prepared_values(
    prepared: Prepared, reference: str, values: Mapping[str, float | str | None]
) -> dict[str, float | str | None]:
    """What is noted of a prepared scan whose first image is of the sequence `reference`, with what was noted before."""
    flags = (
        values.get("flag"),
        brain_flag(prepared.brain_ml),
        contrast_flag(reference, prepared.images[0], prepared.brain, prepared.grid.spacing[0], prepared.native.spacing),
    )
    noted = {"note": _joined(prepared.notes), "clipped_percent": round(100 * prepared.clipped, 4)}
    return {**values, "brain_ml": prepared.brain_ml, "flag": _joined(flags), **noted}


def prepare_masks(bits: Image, count: int, prepared: Prepared) -> Array:
    """Label bits on the native grid -> bits (uint8) on the prepared grid."""
    return resample_masks(bits, count, prepared.grid).data


def standardise(data: Array, brain: Array) -> Array:
    """Z-score over the brain, 0 outside. What lies beyond the range of its tissue is clipped, and counts for neither
    mean nor spread. Raises ScanError when the brain is constant."""
    values = data[brain]
    low, high = tissue_range(values)
    kept = values[(values >= low) & (values <= high)]
    spread = float(kept.std())
    if not spread > 0:
        raise ScanError("image is constant inside the brain mask")
    scored: Array = np.where(brain, (np.clip(data, low, high) - kept.mean()) / spread, 0).astype(np.float32)
    return scored


def _joined(texts: Iterable[object]) -> str | None:
    return "; ".join(map(str, filter(None, texts))) or None


def _in_steps(scores: Array) -> Array:
    steps: Array = np.clip(np.rint(scores / INTENSITY_STEP), -32767, 32767).astype(np.int16)
    return steps * np.float32(INTENSITY_STEP)


def _carried(brain: Array, reference: Image, image: Image, to_image: Array) -> Array:
    mask = Image(brain.astype(np.float32), reference.affine)
    carried: Array = resample(mask, image.grid, np.linalg.inv(to_image)).data >= 0.5
    return carried
