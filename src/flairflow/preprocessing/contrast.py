"""Whether an image that should be a FLAIR looks like one: a T1w or T2w in its place gives masks of nothing."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from flairflow.images.grid import Array

# The sequence whose looks are known here.
FLAIR = "FLAIR"

# Depths below the brain's surface in mm: of cortex, and of what is mostly white matter.
CORTEX, WHITE = (1.5, 5.0), (10.0, 25.0)

# Voxel edge in mm at which it is looked at, and how many voxels say something; where edges in a slice are longer than
# the last, the cortex is dark with CSF in any sequence.
COARSE, ENOUGH, LONGEST = 3.0, 200, 2.5

# On some 30 heads of a dozen scanners and 8 simulated ones the brighter part of white matter less that of the cortex,
# in shares of white matter less CSF, was at most 0.13 in FLAIR and at least 0.16 in T1w with voxels of 1 mm, 0.14 and
# 0.23 with 2.5 mm: the border rises with them. How far the darkest lies below the median, by how far the brightest lies
# above, was 1.6 or more in FLAIR (less with many lesions), 0.3 to 0.5 in T2w.
WHITE_TO_CORTEX, PER_MM, DARK_TO_BRIGHT = 0.12, 0.03, 0.7


def contrast_flag(sequence: str, image: Array, brain: Array, spacing: float, native: Array) -> str | None:
    """What to say of an image that should be of this sequence and does not look like it; arguments as of
    `unlike_flair`, and the three edges (mm) of the voxels it was acquired with. Nothing is said of other sequences than
    FLAIR, nor of voxels too coarse to tell."""
    told = sequence == FLAIR and sorted(native)[1] <= LONGEST
    looks = unlike_flair(image, brain, spacing) if told else None
    return f"looks like a {looks}, not a {FLAIR}" if looks else None


def unlike_flair(image: Array, brain: Array, spacing: float) -> str | None:
    """What an image (X, Y, Z) with a brain mask (X, Y, Z), bool, looks like if it does not look like a FLAIR: "T1w" or
    "T2w". None where it does, or the mask is too small or its voxels are too coarse to tell. Any scale and offset of
    intensities is fine.

    spacing : of the isotropic voxels, in mm.
    """
    if spacing > LONGEST:
        return None
    step = max(round(COARSE / spacing), 1)
    image, brain = image[::step, ::step, ::step], brain[::step, ::step, ::step]
    # Where the field of view ends the brain goes on.
    depth = ndimage.distance_transform_edt(np.pad(brain, 1, mode="edge"), sampling=step * spacing)
    depth = depth[1:-1, 1:-1, 1:-1]
    cortex, white = (image[brain & (depth > low) & (depth < high)] for low, high in (CORTEX, WHITE))
    if min(cortex.size, white.size) < ENOUGH:
        return None
    dark, middle, bright = np.percentile(image[brain], [2, 50, 98])
    if middle - dark < DARK_TO_BRIGHT * (bright - middle):
        return "T2w"
    scale = np.median(white) - dark
    # CSF in sulci and ventricles left out; the medians would follow what partial volume is left of it.
    white, cortex = (part[part > dark + 0.5 * scale] for part in (white, cortex))
    if min(cortex.size, white.size) < ENOUGH:
        return None
    brighter, darker = (np.percentile(part, 75) for part in (white, cortex))
    return "T1w" if brighter - darker > (WHITE_TO_CORTEX + PER_MM * spacing) * scale else None
