"""How many updates a network gets, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from flairflow.config.load import load_config
from flairflow.config.models import TrainingSettings
from flairflow.training.budget import with_budget

MINIMAL: dict[str, Any] = {"labels": ["A"], "datasets": {"ds": {"root": "x", "labels": {"A": {}}}}}


def settings(**training: Any) -> TrainingSettings:
    return load_config(MINIMAL | {"preset": "paper", "training": training}).training


@pytest.mark.parametrize("scans", [1, 40, 949])
def test_all_get_the_same_updates_whatever_they_learn_from(scans: int) -> None:
    given = settings()
    assert with_budget(given, scans, 1, 1.0) == given
    assert with_budget(given, scans, 1, 0.5).updates == given.updates == 316000
    assert with_budget(given, scans, 3, 1.0).updates == 948000


def test_the_papers_epochs() -> None:
    # 1000 epochs x 949 scans x 2 patches / 6 patches an update = 316,333.3 updates: 50.05 intervals of 6320.
    assert with_budget(settings(epochs=1000), 949, 1, 1.0).updates == 51 * 6320
    # In intervals of one update it is what the paper's count rounds up to.
    assert with_budget(settings(epochs=1000, updates=1, validate_every=1), 949, 1, 1.0).updates == 316334
    # Half the epochs, of the 189 scans that have both masks: 31,500 updates, in intervals of 6320 5 (4.98).
    assert with_budget(settings(epochs=1000), 189, 1, 0.5).updates == 5 * 6320
    assert with_budget(settings(epochs=1000), 189, 2, 0.5).updates == 10 * 6320
    # 3 epochs x 4 scans x 2 patches are one interval of 4 updates of 6 patches, to the last patch.
    assert with_budget(settings(epochs=3, updates=4, validate_every=4), 4, 1, 1.0).updates == 4
    assert with_budget(settings(epochs=3, updates=4, validate_every=4), 5, 1, 1.0).updates == 8


@pytest.mark.parametrize("epochs", [None, 1, 7])
def test_the_updates_are_whole_validation_intervals(epochs: int | None) -> None:
    given = settings(epochs=epochs, updates=30, validate_every=10)
    for scans in (1, 7, 500):
        for budget in (1, 2):
            changed = with_budget(given, scans, budget, 0.5)
            assert changed.updates > 0 and changed.updates % 10 == 0
            assert changed == given.model_copy(update={"updates": changed.updates}), "nothing else changes"
