"""The worked example of docs/adding/strategy.md is a strategy, and says what it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from flairflow.training import strategies
from flairflow.training.losses import marginal_loss
from flairflow.training.strategies import strategy
from flairflow.training.strategy import Task, one_class_each


def test_the_example_is_a_strategy(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.findall(r"```python\n(.*?)```", (repository / "docs/adding/strategy.md").read_text(), re.DOTALL)
    assert len(found) == 1 and len(found[0].splitlines()) < 60
    (tmp_path / "half.py").write_text(found[0])
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    assert "half" in strategies.names()
    half = strategy("half")
    part = half.parts(("A", "B"), half.options.model_validate({"weight": 0.3}))["all"]
    task = Task(("A", "B"), ("B", "A"), one_class_each(("A", "B")))
    assert part.learns_from(("A",), task) and not part.learns_from((), task)
    logits, target = torch.randn(2, 3, 4, 4, 4), torch.zeros(2, 4, 4, 4, dtype=torch.int64)
    known, ignored = torch.tensor([[True, True], [True, False]]), torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    complete, partial = (
        marginal_loss(logits[i : i + 1], target[i : i + 1], known[i : i + 1], ignored[i : i + 1]) for i in (0, 1)
    )
    assert part.loss(logits, target, known, ignored).item() == pytest.approx((complete + 0.3 * partial).item() / 2)
