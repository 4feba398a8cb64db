"""The interface every strategy keeps, and that the rest knows no strategy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import flairflow
from flairflow.errors import ConfigError
from flairflow.training.strategies import Task, names, strategy

TASK = Task(("WMH", "ISL"), ("ISL", "WMH"), ("WMH", "ISL"))


def test_there_are_the_first_two() -> None:
    assert {"multiclass", "marginal"} <= set(names())


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"'typo' is none of .*marginal"):
        strategy("typo")


@pytest.mark.parametrize("name", names())
def test_a_strategy_keeps_its_promises(name: str) -> None:
    one = strategy(name)
    assert one.name == name
    assert set(one.needs) <= set(names())
    for classes in one.parts(TASK.labels).values():
        task = Task(TASK.labels, TASK.precedence, classes)
        assert one.learns_from(TASK.labels, task)
        assert not one.learns_from((), task)
        logits = torch.randn(2, one.channels(task), 4, 4, 4, requires_grad=True)
        probabilities = one.probabilities(logits)
        assert probabilities.shape == (2, 1 + len(classes), 4, 4, 4)
        assert probabilities.min() >= 0 and probabilities.max() <= 1
        bits = torch.randint(0, 4, (2, 4, 4, 4), dtype=torch.uint8)
        annotated = torch.ones(2, 2, dtype=torch.bool)
        loss = one.loss(logits, *one.targets(bits, torch.zeros_like(bits), annotated, task))
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.dim() == 0 and logits.grad is not None and logits.grad.any()


def test_who_learns_from_what() -> None:
    multiclass, marginal = strategy("multiclass"), strategy("marginal")
    assert multiclass.learns_from(("ISL", "WMH"), TASK)
    assert not multiclass.learns_from(("WMH",), TASK)
    assert marginal.learns_from(("WMH",), TASK)
    assert not marginal.learns_from((), TASK)


def test_missing_and_empty_masks_differ() -> None:
    # The same bits, first label only. Where the second mask is empty, calling a voxel the second label is a mistake;
    # where it is missing, it is not.
    marginal = strategy("marginal")
    bits = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    bits[:, :2] = 1
    second = torch.full((1, 3, 4, 4, 4), -10.0)
    second[:, 1, :2] = 10.0
    second[:, 2, 2:] = 10.0
    losses = {}
    for mask, annotated in (("empty", [True, True]), ("missing", [True, False])):
        targets = marginal.targets(bits, torch.zeros_like(bits), torch.tensor([annotated]), TASK)
        losses[mask] = marginal.loss(second, *targets).item()
    assert losses["missing"] == pytest.approx(0, abs=1e-4)
    assert losses["empty"] > 5


def test_a_voxel_ignored_for_any_label_is_ignored_by_softmax() -> None:
    ignore = torch.tensor([0, 1, 2, 3], dtype=torch.uint8).reshape(1, 4, 1, 1)
    annotated = torch.ones(1, 2, dtype=torch.bool)
    for name in ("multiclass", "marginal"):
        _, _, ignored = strategy(name).targets(torch.zeros_like(ignore), ignore, annotated, TASK)
        assert ignored.flatten().tolist() == [False, True, True, True]


def test_the_registry_imports_nothing_heavy() -> None:
    code = (
        "import sys; from flairflow.training.strategies import names, strategy; import flairflow.training.scans; "
        "[strategy(n).needs for n in names()]; heavy = {'torch', 'monai', 'lightning', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_its_own_file_names_a_strategy_or_a_label() -> None:
    training = Path(flairflow.__file__).parent / "training"
    for file in training.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for word in ("WMH", "ISL", *(f'"{name}"' for name in names())):
            assert word not in text or (file.parent.name == "strategies" and word == f'"{file.stem}"'), (file, word)
