"""Brain mask by SynthStrip, where FreeSurfer's or nipreps' command is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from flairflow.errors import ConfigError, ScanError
from flairflow.images.grid import Array
from flairflow.images.nifti import read_labels

COMMANDS = ("mri_synthstrip", "nipreps-synthstrip")


def synthstrip_brain_mask(path: Path) -> Array:
    """The brain mask (X, Y, Z) bool of an image file, on its grid.

    Raises ConfigError when no SynthStrip command is installed, ScanError when it fails on this image.
    """
    command = next((found for name in COMMANDS if (found := shutil.which(name))), None)
    if command is None:
        raise ConfigError(
            f"config: preprocessing.brain_mask is 'synthstrip', but none of {', '.join(COMMANDS)} is installed; "
            "install one, or use 'template'"
        )
    with tempfile.TemporaryDirectory() as folder:
        mask = Path(folder) / "mask.nii.gz"
        done = subprocess.run([command, "-i", str(path), "-m", str(mask)], capture_output=True, text=True, check=False)
        if done.returncode != 0 or not mask.exists():
            raise ScanError(f"SynthStrip failed on {path.name}: {done.stderr.strip()[-200:]}")
        brain: Array = read_labels(mask).data > 0
        return brain
