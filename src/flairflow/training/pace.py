"""How fast a training goes, and how long it still takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal

Activity = Literal["waiting", "working", "validating"]


class Pace:
    """Sums up what a run spends its time on, by laps: what passes between two calls of `lap` is one activity's.

    updates : optimiser updates done in this run. The first is not counted into the speed: it is slow, since workers
              start and the device compiles or measures its kernels.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.mark = clock()
        self.spent: dict[Activity, float] = dict.fromkeys(("waiting", "working", "validating"), 0.0)
        self.updates = self.validations = 0

    def lap(self, activity: Activity) -> None:
        """The time since the last lap went into this."""
        now = self.clock()
        self.spent[activity] += now - self.mark
        self.mark = now

    def finish_update(self) -> None:
        """An optimiser update is done."""
        self.updates += 1
        if self.updates == 1:
            self.spent["waiting"] = self.spent["working"] = 0.0

    def finish_validation(self) -> None:
        """A validation is done, and took the time since the last lap."""
        self.lap("validating")
        self.validations += 1

    @property
    def per_update(self) -> float:
        """Seconds an update takes, waiting and working; NaN after only one."""
        return (self.spent["waiting"] + self.spent["working"]) / (self.updates - 1) if self.updates > 1 else math.nan

    @property
    def waiting(self) -> float:
        """The share of that time without work for want of patches."""
        return self.spent["waiting"] / max(self.spent["waiting"] + self.spent["working"], 1e-9)

    def describe(self, samples: int, updates_left: int, validations_left: int) -> str:
        """In words: the speed with `samples` patches an update, the share of the time without work for want of patches
        (from a tenth on), and the time left, with validations from the first of this run on; nothing after only one
        update."""
        if not self.per_update > 0:
            return ""
        per_validation = self.spent["validating"] / max(self.validations, 1)
        parts = [
            f", {samples / self.per_update:.3g} samples/s",
            f" (waits for patches {self.waiting:.0%} of the time)" if self.waiting >= 0.1 else "",
            f", {duration(self.per_update * updates_left + per_validation * validations_left)} left",
        ]
        return "".join(parts)


def is_round(number: int) -> bool:
    """Whether a positive number is 1, 2 or 5 with zeros: a line there is early at first and rare later."""
    return str(number).rstrip("0") in ("1", "2", "5")


def duration(seconds: float) -> str:
    """Seconds in the two largest units that there are: 45 s, 12 min, 3 h 20 min, 2 d 5 h."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"
