"""The speed and the time left that a training log states."""

from __future__ import annotations

import pytest

from flairflow.training.pace import Pace, duration, is_round


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float) -> None:
        self.now += seconds


def update(pace: Pace, clock: Clock, waiting: float, working: float) -> None:
    clock.after(waiting)
    pace.lap("waiting")
    clock.after(working)
    pace.lap("working")
    pace.finish_update()


def test_the_slow_first_update_is_not_counted() -> None:
    clock = Clock()
    pace = Pace(clock)
    update(pace, clock, 30, 60)
    assert pace.describe(6, updates_left=100, validations_left=1) == ""
    update(pace, clock, 0, 2)
    # 2 s for 6 patches, and 100 updates are left.
    assert pace.describe(6, updates_left=100, validations_left=1) == ", 3 samples/s, 3 min left"


def test_a_network_that_starves_is_named() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(5):
        update(pace, clock, 0.09, 0.91)
    assert "waits" not in pace.describe(1, 1, 0)
    for _ in range(5):
        update(pace, clock, 0.81, 0.19)
    # 4 x 0.09 s + 5 x 0.81 s of 9 s
    assert pace.waiting == pytest.approx(0.49) and pace.per_update == pytest.approx(1.0)
    assert pace.describe(2, 60, 0) == ", 2 samples/s (waits for patches 49% of the time), 1 min left"


def test_validations_take_time_but_do_not_slow_the_samples() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(3):
        update(pace, clock, 0, 1)
    clock.after(600)
    pace.finish_validation()
    update(pace, clock, 0, 1)
    assert pace.describe(1, updates_left=60, validations_left=2) == ", 1 samples/s, 21 min left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3570, "1 h 0 min"),
        (12000, "3 h 20 min"),
        (86399, "1 d 0 h"),
        (2 * 86400 + 5 * 3600 + 1799, "2 d 5 h"),
    ],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_round_numbers() -> None:
    assert [n for n in range(1, 1001) if is_round(n)] == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
