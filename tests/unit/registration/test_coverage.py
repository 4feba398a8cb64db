"""How much of the template's brain an image shows."""

from __future__ import annotations

import numpy as np
import pytest

from flairflow.images.grid import Grid
from flairflow.registration.coverage import brain_shown, partly_shown
from flairflow.registration.template import load_template


@pytest.mark.parametrize(
    ("shape", "corner", "share"),
    [
        ((100, 120, 90), (-100, -130, -80), 1.0),
        ((50, 120, 90), (-101, -130, -80), 0.5),
        ((100, 120, 10), (-100, -130, 0), 0.2),
        ((100, 120, 90), (200, 0, 0), 0.0),
    ],
)
def test_the_share_follows_from_the_field_of_view_in_any_pose(
    shape: tuple[int, int, int], corner: tuple[int, int, int], share: float
) -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = corner
    points = load_template(2.0).brain.points
    assert brain_shown(Grid(shape, affine), np.eye(4), points) == pytest.approx(share, abs=0.06)
    # A head on its side, and a header that turns all of it: nothing changes.
    turn = np.array([[0, 0, 1, 10], [1, 0, 0, 20], [0, 1, 0, 30], [0, 0, 0, 1]], float)
    assert brain_shown(Grid(shape, turn @ affine), turn, points) == brain_shown(Grid(shape, affine), np.eye(4), points)


def test_a_part_is_flagged_in_words() -> None:
    assert partly_shown(0.537) == "shows 54% of the brain only"
    assert partly_shown(0.97) == ""
