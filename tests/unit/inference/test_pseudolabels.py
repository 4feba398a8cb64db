"""What a teacher passes on."""

from __future__ import annotations

import numpy as np
import pytest

from flairflow.inference.pseudolabels import too_small


def test_lesions_below_the_limit_by_hand() -> None:
    mask = np.zeros((8, 8, 8), bool)
    mask[0, 0, 0] = True  # one voxel
    mask[2, 2, 2] = mask[3, 3, 3] = True  # two that touch by a corner
    mask[5, 5, 5:8] = mask[6, 5, 5:8] = True  # six
    for voxels, left in ((0, 9), (0.5, 9), (1, 9), (1.5, 8), (2, 8), (2.5, 6), (6, 6), (6.25, 0), (100, 0)):
        small = too_small(mask, voxels)
        assert small.dtype == bool and not (small & ~mask).any()
        assert (mask & ~small).sum() == left, voxels
    assert not too_small(np.zeros_like(mask), 5).any()
    assert too_small(np.ones_like(mask), 513).all() and not too_small(np.ones_like(mask), 512).any()


@pytest.mark.parametrize(("spacing", "left"), [(1.0, 0), (2.0, 8), (3.0, 8)])
def test_the_limit_is_a_volume(spacing: float, left: int) -> None:
    # 8 voxels are 0.008, 0.064 and 0.216 ml; 0.05 ml are 50, 6.25 and 1.85 voxels.
    mask = np.zeros((8, 8, 8), bool)
    mask[2:4, 2:4, 2:4] = True
    assert (mask & ~too_small(mask, 0.05 / (spacing**3 / 1000))).sum() == left
