"""The call of antsRegistration: one linear and, if wanted, one deformable stage from a given pose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import nibabel as nib
import numpy as np

from flairflow.errors import ScanError
from flairflow.images.ants import FLIP, from_itk_parameters, to_ants
from flairflow.images.grid import Array, Grid, Image
from flairflow.images.resample import resample
from flairflow.images.transforms import write_transform


@dataclass(frozen=True, eq=False)
class Warp:
    """Displacements on the fixed image's grid: arrays (X, Y, Z, 3) in RAS mm.

    A point of the fixed image goes to the moving one by `forward`, then the matrix; back by the matrix' inverse, then
    `inverse`.
    """

    forward: Array
    inverse: Array
    affine: Array


def optimise(
    moving: Image,
    fixed: Image,
    region: Array,
    start: Array,
    *,
    kind: Literal["Rigid", "Affine"],
    seed: int,
    share: float,
    steps: str = "100x20",
) -> Array:
    """Improve a pose by mutual information (Mattes, 32 bins) at twice, then once the voxel size of `fixed`.

    region : bool (X, Y, Z) on the grid of `fixed`: where the images are compared, at a `share` of its voxels.
    steps  : how many at each of the two sizes.
    start, returned : 4x4 matrices from RAS points of `fixed` to those of `moving`.
    Raises ScanError where ITK gives up, as it does when the images do not overlap.
    """
    stage = ["--transform", f"{kind}[0.1]", "--metric", f"Mattes[{{fixed}},{{moving}},1,32,Regular,{share}]"]
    stage += ["--convergence", f"[{steps},1e-6,10]", "--shrink-factors", "2x1", "--smoothing-sigmas", "1x0vox"]
    with TemporaryDirectory() as folder:
        _run(moving, fixed, region, start, stage, Path(folder), seed)
        return _matrix(Path(folder))


def deform(moving: Image, fixed: Image, region: Array, matrix: Array, *, seed: int) -> Warp:
    """Symmetric diffeomorphic refinement (SyN) by mutual information, starting from and keeping the matrix.

    Arguments and errors as for `optimise`.
    """
    stage = ["--transform", "SyN[0.2,3,0]", "--metric", "Mattes[{fixed},{moving},1,32]"]
    stage += ["--convergence", "[40x20,1e-6,8]", "--shrink-factors", "4x2", "--smoothing-sigmas", "2x1vox"]
    with TemporaryDirectory() as folder:
        _run(moving, fixed, region, matrix, stage, Path(folder), seed)
        forward = _displacements(Path(folder) / "1Warp.nii.gz", fixed.grid)
        inverse = _displacements(Path(folder) / "1InverseWarp.nii.gz", fixed.grid)
        return Warp(forward, inverse, fixed.affine)


def _run(moving: Image, fixed: Image, region: Array, start: Array, stage: list[str], folder: Path, seed: int) -> None:
    import ants
    from ants.internal import get_pointer_string

    # ANTs gets addresses of images, which must be of the precision that `--float` names and live until it is done.
    images = [to_ants(image).clone("double") for image in (fixed, moving)]
    mask = to_ants(Image(region, fixed.affine)) != 0
    names = {"fixed": get_pointer_string(images[0]), "moving": get_pointer_string(images[1])}
    write_transform(folder / "start.txt", start)
    # A seed of 0 means the clock to ITK.
    # The argument list, not the keywords of ants.registration: only so does a seed reach ITK without global state.
    arguments = ["--dimensionality", "3", "--float", "0", "--random-seed", str(seed + 1), "--output", f"{folder}/"]
    arguments += [
        "--initial-moving-transform",
        str(folder / "start.txt"),
        "--masks",
        f"[{get_pointer_string(mask)},NA]",
    ]
    arguments += [part.format(**names) for part in stage]
    try:
        ants.registration(arguments, None)
    except RuntimeError as error:
        raise ScanError(
            f"registration failed in ITK; do the images show the same part of the body? ({error})"
        ) from error


def _matrix(folder: Path) -> Array:
    import ants

    found = ants.read_transform(str(folder / "0GenericAffine.mat"))
    return from_itk_parameters(found.parameters, found.fixed_parameters)


def _displacements(path: Path, grid: Grid) -> Array:
    """ITK's displacements (X, Y, Z, 1, 3), LPS mm, in the last level's voxels -> (X, Y, Z, 3), RAS mm on `grid`."""
    file: Any = nib.load(path)
    field = np.asanyarray(file.dataobj)[:, :, :, 0] * np.diag(FLIP)[:3]
    parts = [resample(Image(field[..., axis], file.affine), grid).data for axis in range(3)]
    return np.stack(parts, axis=-1)
