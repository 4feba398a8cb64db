"""Affine transforms as text files that ITK, ANTs and Slicer read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flairflow.errors import ScanError
from flairflow.files import write_text
from flairflow.images.ants import from_itk_parameters, to_itk_parameters
from flairflow.images.grid import Array

HEADER = "#Insight Transform File V1.0"
READABLE = ("AffineTransform_double_3_3", "MatrixOffsetTransformBase_double_3_3")


def write_transform(path: Path, matrix: Array) -> None:
    """Write a 4x4 matrix between RAS points (mm) atomically. ITK's convention: it maps the points of the fixed image to
    the moving one, as the `to_source` of `resample` does."""
    parameters = " ".join(repr(float(value)) for value in to_itk_parameters(matrix))
    lines = [HEADER, "#Transform 0", f"Transform: {READABLE[0]}", f"Parameters: {parameters}", "FixedParameters: 0 0 0"]
    write_text(path, "\n".join(lines) + "\n")


def read_transform(path: Path) -> Array:
    """Read a file with one affine transform as 4x4 matrix between RAS points (mm).

    Raises ScanError naming the file when it is missing or holds anything else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScanError(f"{path.name}: cannot be read as a text transform") from error
    fields = [line.split(":", 1) for line in lines if ":" in line and not line.startswith("#")]
    names, values = [name.strip() for name, _ in fields], [value.strip() for _, value in fields]
    if lines[:1] != [HEADER] or names != ["Transform", "Parameters", "FixedParameters"] or values[0] not in READABLE:
        raise ScanError(f"{path.name}: not a text file with one ITK affine transform")
    try:
        parameters, centre = (np.array(value.split(), float) for value in values[1:])
    except ValueError as error:
        raise ScanError(f"{path.name}: parameters are no numbers") from error
    if parameters.shape != (12,) or centre.shape != (3,) or not np.isfinite([*parameters, *centre]).all():
        raise ScanError(f"{path.name}: needs 12 finite parameters and 3 fixed ones")
    return from_itk_parameters(parameters, centre)
