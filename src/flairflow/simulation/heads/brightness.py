"""How bright each tissue of a head is: like FLAIR with a wide spread, like another sequence, or anything at all."""

from __future__ import annotations

import numpy as np

from flairflow.images.grid import Array
from flairflow.simulation.heads.anatomies import NAMES

# On FLAIR, healthy white matter being 100: range of each tissue's brightness.
FLAIR: dict[str, tuple[float, float]] = {
    "air": (0, 3), "white": (100, 100), "cortex": (102, 140), "cerebellar cortex": (95, 130),
    "cerebellar white": (92, 112), "thalamus": (94, 120), "caudate": (98, 128), "putamen": (95, 125),
    "pallidum": (75, 108), "hippocampus": (105, 145), "brain stem": (88, 115), "ventricle": (8, 55),
    "third ventricle": (10, 70), "fourth ventricle": (10, 75), "csf": (8, 60), "vessel": (20, 110),
    "chiasm": (80, 120), "other": (90, 150), "artery": (5, 80), "eye": (8, 90), "soft tissue": (30, 120),
    "optic nerve": (50, 120), "mucosa": (50, 200), "skin": (40, 250), "cord": (80, 120), "sinus": (10, 110),
    "skull": (3, 35), "marrow": (20, 200), "rest": (20, 120), "fat": (20, 350),
}  # fmt: skip

# Fat of scalp and orbits is no label of its own: parts of the soft tissue.
ALL_NAMES = (*NAMES, "fat")


def draw_flair(generator: np.random.Generator) -> Array:
    """Brightness by tissue (ALL_NAMES) as on some FLAIR. CSF and ventricles go together, and so do the greys."""
    darkness, greyness = generator.random(), generator.random()
    levels = np.empty(len(ALL_NAMES), np.float32)
    together = {"csf": darkness, "ventricle": darkness, "third ventricle": darkness, "fourth ventricle": darkness}
    together |= dict.fromkeys(("cortex", "caudate", "hippocampus", "cerebellar cortex", "putamen"), greyness)
    # Fat is dark where it is saturated, else brighter than anything.
    together["fat"] = 0.2 * generator.random() if generator.random() < 0.35 else generator.beta(1.2, 1.6)
    for number, name in enumerate(ALL_NAMES):
        low, high = FLAIR[name]
        at = np.clip(together[name] + generator.normal(0.0, 0.12), 0, 1) if name in together else generator.random()
        levels[number] = low + (high - low) * at
    levels[ALL_NAMES.index("skin")] = 0.5 * levels[ALL_NAMES.index("skin")] + 0.5 * levels[ALL_NAMES.index("fat")]
    return levels


def draw_any(generator: np.random.Generator) -> Array:
    """Brightness by tissue (ALL_NAMES) on no sequence in particular; the air is dark, left and right are alike."""
    levels = generator.uniform(5.0, 200.0, len(ALL_NAMES)).astype(np.float32)
    levels[0] = generator.uniform(0.0, 10.0)
    # The parts of the brain differ less from each other than from what is around.
    if generator.random() < 0.7:
        white, grey, fluid = generator.uniform(30, 180), generator.uniform(30, 180), generator.uniform(5, 250)
        for number, name in enumerate(ALL_NAMES):
            if name in ("white", "cerebellar white", "brain stem", "pallidum"):
                levels[number] = white * generator.normal(1.0, 0.06)
            elif name in ("cortex", "cerebellar cortex", "caudate", "putamen", "thalamus", "hippocampus"):
                levels[number] = grey * generator.normal(1.0, 0.06)
            elif name in ("csf", "ventricle", "third ventricle", "fourth ventricle"):
                levels[number] = fluid * generator.normal(1.0, 0.1)
    return np.maximum(levels, 0.0)
