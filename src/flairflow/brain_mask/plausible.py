"""Whether a mask can be a brain: it stands on its image, and has the volume of one."""

from __future__ import annotations

from flairflow.errors import ScanError
from flairflow.images.axis_order import brought_over
from flairflow.images.grid import Array, Grid, Image

# No grown-up's brain has less, and no head as much (ml).
MIN_BRAIN_ML, MAX_BRAIN_ML = 300.0, 2500.0
# Adults' brains are smaller or larger than this too rarely to be believed without a look (ml).
PLAUSIBLE_BRAIN_ML = (700.0, 2200.0)


def usable_brain(mask: Image, reference: Image, what: str) -> Array:
    """A brain mask that came from elsewhere, bool (X, Y, Z), its voxels in the order of the reference's. Raises
    ScanError, beginning with `what`, when it does not stand on the reference or cannot be a brain."""
    brain: Array = brought_over(mask, reference, f"{what}: brain mask") > 0
    check_brain(brain, reference.grid, f"{what}: ")
    return brain


def check_brain(brain: Array, grid: Grid, what: str = "") -> None:
    """Raise ScanError, beginning with `what`, when a mask (X, Y, Z) bool is too small or too large to be a brain."""
    volume = float(brain.sum()) * grid.voxel_ml
    if volume < MIN_BRAIN_ML:
        raise ScanError(
            f"{what}brain mask of {volume:.0f} ml (less than {MIN_BRAIN_ML:.0f} ml): is this a whole brain?"
        )
    if volume > MAX_BRAIN_ML:
        raise ScanError(
            f"{what}brain mask of {volume:.0f} ml (more than {MAX_BRAIN_ML:.0f} ml): is this a brain alone?"
        )


def brain_flag(ml: float) -> str | None:
    """What to say of a brain mask of this volume if it is hardly that of a whole brain and of nothing else."""
    low, high = PLAUSIBLE_BRAIN_ML
    return None if low <= ml <= high else f"brain mask of {ml:.0f} ml, not {low:.0f} to {high:.0f}"
