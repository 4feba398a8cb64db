"""Whether an image that should be a FLAIR looks like one: a T1w or T2w in its place gives masks of nothing."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array

# The sequence whose looks are known here.
FLAIR = "FLAIR"

# Depths below the brain's surface in mm: of cortex, and of what is mostly white matter.
CORTEX, WHITE = (1.5, 5.0), (10.0, 25.0)

# Voxel edge in mm at which it is looked at, and how many voxels say something.
COARSE, ENOUGH = 3.0, 200

# On some 30 heads of a dozen scanners the brighter part of the cortex less white matter, in interquartile ranges of the
# brain, was 0.17 to 0.7 in FLAIR and -0.34 to -0.6 in T1w; how far the darkest lies below the median, by how far the
# brightest lies above, was 1.8 or more in FLAIR (less with many lesions) and 0.3 to 0.5 in T2w.
CORTEX_TO_WHITE, DARK_TO_BRIGHT = -0.1, 0.7


def contrast_flag(sequence: str, image: Array, brain: Array, spacing: float) -> str | None:
    """What to say of an image that should be of this sequence and does not look like it; arguments as of
    `unlike_flair`. Of other sequences than FLAIR nothing is said."""
    looks = unlike_flair(image, brain, spacing) if sequence == FLAIR else None
    return f"looks like a {looks}, not a {FLAIR}" if looks else None


def unlike_flair(image: Array, brain: Array, spacing: float) -> str | None:
    """What an image (X, Y, Z) with a brain mask (X, Y, Z), bool, looks like if it does not look like a FLAIR: "T1w" or
    "T2w". None where it does, or the mask is too small to tell. Any scale and offset of intensities is fine.

    spacing : of the isotropic voxels, in mm.
    """
    step = max(round(COARSE / spacing), 1)
    image, brain = image[::step, ::step, ::step], brain[::step, ::step, ::step]
    # Where the field of view ends the brain goes on.
    depth = ndimage.distance_transform_edt(np.pad(brain, 1, mode="edge"), sampling=step * spacing)
    depth = depth[1:-1, 1:-1, 1:-1]
    cortex, white = (image[brain & (depth > low) & (depth < high)] for low, high in (CORTEX, WHITE))
    if min(cortex.size, white.size) < ENOUGH:
        return None
    dark, lower, middle, upper, bright = np.percentile(image[brain], [2, 25, 50, 75, 98])
    if middle - dark < DARK_TO_BRIGHT * (bright - middle):
        return "T2w"
    if np.percentile(cortex, 75) - np.median(white) < CORTEX_TO_WHITE * (upper - lower):
        return "T1w"
    return None
