"""How many optimiser updates a network gets: the same for all, or the paper's epochs."""

from __future__ import annotations

import math

from flairflow.config.models import TrainingSettings

# The paper's epoch takes two patches of every scan.
PATCHES_PER_SCAN = 2


def with_budget(settings: TrainingSettings, scans: int, budget: int, share_of_epochs: float) -> TrainingSettings:
    """The settings with the `updates` of one network that learns from so many scans.

    Without `epochs` that is `budget` times the configured updates, whatever it learns from. With them an epoch is two
    patches of every scan, `batch` x `accumulate` patches an update, rounded up to whole validation intervals.
    """
    updates = settings.updates
    if settings.epochs is not None:
        patches = settings.epochs * share_of_epochs * PATCHES_PER_SCAN * scans
        per_interval = settings.batch * settings.accumulate * settings.validate_every
        updates = math.ceil(patches / per_interval) * settings.validate_every
    return settings.model_copy(update={"updates": budget * updates})
