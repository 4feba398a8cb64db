"""The interface every strategy keeps, and that the rest knows no strategy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import flairflow
from flairflow.errors import ConfigError
from flairflow.training.strategies import Annotations, Task, names, strategy
from flairflow.training.targets import fill_missing

TASK = Task(("WMH", "ISL"), ("ISL", "WMH"), ("WMH", "ISL"))


def given(
    bits: Tensor, annotated: list[bool], ignore: Tensor | None = None, teacher: Tensor | None = None
) -> Annotations:
    """The same labels annotated in every item; without a teacher unless one is given."""
    batch, *box = bits.shape
    return Annotations(
        bits,
        torch.zeros_like(bits) if ignore is None else ignore,
        torch.tensor([annotated] * batch),
        torch.zeros(batch, 0, *box, dtype=torch.uint8) if teacher is None else teacher,
    )


def test_there_are_the_first_three() -> None:
    assert {"multiclass", "marginal", "pseudolabels"} <= set(names())


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"'typo' is none of .*marginal"):
        strategy("typo")


@pytest.mark.parametrize("name", names())
def test_a_strategy_keeps_its_promises(name: str) -> None:
    one = strategy(name)
    assert one.name == name
    for classes in one.parts(TASK.labels).values():
        task = Task(TASK.labels, TASK.precedence, classes)
        assert one.learns_from(TASK.labels, task)
        assert not one.learns_from((), task)
        logits = torch.randn(2, one.channels(task), 4, 4, 4, requires_grad=True)
        probabilities = one.probabilities(logits)
        assert probabilities.shape == (2, 1 + len(classes), 4, 4, 4)
        assert probabilities.min() >= 0 and probabilities.max() <= 1
        bits = torch.randint(0, 4, (2, 4, 4, 4), dtype=torch.uint8)
        teacher = torch.randint(0, 256, (2, 3, 4, 4, 4), dtype=torch.uint8) if one.taught else None
        loss = one.loss(logits, *one.targets(given(bits, [True, True], teacher=teacher), task))
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
        targets = marginal.targets(given(bits, annotated), TASK)
        losses[mask] = marginal.loss(second, *targets).item()
    assert losses["missing"] == pytest.approx(0, abs=1e-4)
    assert losses["empty"] > 5


def test_a_teacher_fills_in_a_missing_mask_but_no_known_one() -> None:
    # Voxel by voxel: what the first mask says and what the teacher finds. The second is missing, or known to be empty.
    first = torch.tensor([0, 1, 0, 1, 0], dtype=torch.uint8).reshape(1, 5, 1, 1)
    stray = first | 2  # bits of a mask that is missing count for nothing
    teacher = torch.tensor([[200, 30, 25], [9, 46, 200], [9, 46, 200], [9, 200, 46], [9, 200, 46]], dtype=torch.uint8)
    teacher = teacher.T.reshape(1, 3, 5, 1, 1)
    targets = {}
    for mask, annotated, bits in (("missing", [True, False], stray), ("empty", [True, True], first)):
        target, known, _ = strategy("pseudolabels").targets(given(bits, annotated, teacher=teacher), TASK)
        assert known.all()
        targets[mask] = target.flatten().tolist()
    assert targets["empty"] == [0, 1, 0, 1, 0]
    assert targets["missing"] == [0, 1, 2, 1, 0]


def test_without_a_teacher_only_known_masks_count() -> None:
    bits = torch.tensor([0, 1, 2, 3], dtype=torch.uint8).reshape(1, 4, 1, 1)
    target, known, _ = strategy("pseudolabels").targets(given(bits, [True, True]), TASK)
    assert target.flatten().tolist() == [0, 1, 2, 2] and known.all()


def test_filling_in_agrees_with_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = 3
    bits = torch.randint(0, 2**labels, (4, 5, 6, 7), dtype=torch.uint8, generator=generator)
    teacher = torch.randint(0, 256, (4, 1 + labels, 5, 6, 7), dtype=torch.uint8, generator=generator)
    annotated = torch.tensor([[True, False, False], [False, True, True], [True, True, True], [False, False, True]])
    filled = fill_missing(bits, annotated, teacher)
    for item, x, y, z in np.ndindex(*bits.shape):
        known = {n for n in range(labels) if annotated[item, n] and bits[item, x, y, z] >> n & 1}
        decided = int(teacher[item, :, x, y, z].argmax()) - 1
        if not known and decided >= 0 and not annotated[item, decided]:
            known = {decided}
        assert filled[item, x, y, z] == sum(2**n for n in known)


def test_a_voxel_ignored_for_any_label_is_ignored_by_softmax() -> None:
    ignore = torch.tensor([0, 1, 2, 3], dtype=torch.uint8).reshape(1, 4, 1, 1)
    for name in ("multiclass", "marginal"):
        _, _, ignored = strategy(name).targets(given(torch.zeros_like(ignore), [True, True], ignore), TASK)
        assert ignored.flatten().tolist() == [False, True, True, True]


def test_the_registry_imports_nothing_heavy() -> None:
    code = (
        "import sys; from flairflow.training.strategies import names, strategy; import flairflow.training.scans; "
        "[strategy(n).taught for n in names()]; heavy = {'torch', 'monai', 'lightning', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_its_own_file_names_a_strategy_or_a_label() -> None:
    training = Path(flairflow.__file__).parent / "training"
    for file in training.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for word in ("WMH", "ISL", *(f'"{name}"' for name in names())):
            assert word not in text or (file.parent.name == "strategies" and word == f'"{file.stem}"'), (file, word)
