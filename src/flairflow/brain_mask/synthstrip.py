"""Brain mask by SynthStrip, where FreeSurfer's or nipreps' command is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from flairflow.brain_mask.plausible import usable_brain
from flairflow.errors import ConfigError, ScanError
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_labels

COMMANDS = ("mri_synthstrip", "nipreps-synthstrip")


def synthstrip_brain_mask(path: Path, image: Image) -> Array:
    """The brain mask (X, Y, Z) bool of an image file that was read as `image`, on its grid.

    Raises ConfigError when no SynthStrip command is installed, ScanError when it fails on this image or gives no brain.
    """
    command = next((found for name in COMMANDS if (found := shutil.which(name))), None)
    if command is None:
        raise ConfigError(
            f"config: preprocessing.brain_mask is 'synthstrip', but none of {', '.join(COMMANDS)} is installed; "
            "install one, or use 'network'"
        )
    with tempfile.TemporaryDirectory() as folder:
        mask = Path(folder) / "mask.nii.gz"
        done = subprocess.run([command, "-i", str(path), "-m", str(mask)], capture_output=True, text=True, check=False)
        if done.returncode != 0 or not mask.exists():
            raise ScanError(f"SynthStrip failed on {path.name}: {done.stderr.strip()[-200:]}")
        return usable_brain(read_labels(mask), image, f"SynthStrip on {path.name}")
