"""The interface every strategy keeps, and that the rest knows no strategy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from flairflow.errors import ConfigError
from flairflow.network.activation import channels, probabilities
from flairflow.training.data.targets import fill_missing
from flairflow.training.strategies import names, strategy
from flairflow.training.strategy import Annotations, Part, Task, one_class_each

LABELS = ("WMH", "ISL")
TASK = Task(LABELS, ("ISL", "WMH"), one_class_each(LABELS))


def parts(name: str, **options: object) -> dict[str, Part]:
    """The parts of a strategy for these labels, with its default options but for some."""
    one = strategy(name)
    return one.parts(LABELS, one.options(**options))


PARTS = [(name, part) for name in names() for part in parts(name)]


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


def test_there_are_those_of_the_paper_and_three_beyond() -> None:
    paper = {"multiclass", "multimodel", "phased", "class_conditional", "class_adaptive", "marginal", "pseudolabels"}
    assert set(names()) == paper | {"masked_sigmoid", "marginal_exclusion", "noisy_student"}


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"'typo' is none of .*marginal"):
        strategy("typo")


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_part_keeps_its_promises(name: str, part: str) -> None:
    assert strategy(name).name == name
    one = parts(name)[part]
    task = Task(LABELS, TASK.precedence, one.classes)
    labels = {label for those in one.classes.values() for label in those}
    assert labels <= set(LABELS)
    assert one.learns_from(LABELS, task) and one.learns_from(tuple(labels), task)
    assert not one.learns_from((), task) and not one.learns_from(tuple(set(LABELS) - labels), task)
    shape = (2, channels(one.activation, len(one.classes)), 4, 4, 4)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator, requires_grad=True)
    found = probabilities(logits, one.activation)
    assert found.shape == (2, 1 + len(one.classes), 4, 4, 4)
    assert found.min() >= 0 and found.max() <= 1
    bits = torch.randint(0, 4, (2, 4, 4, 4), dtype=torch.uint8, generator=generator)
    teacher = torch.randint(0, 256, (2, 3, 4, 4, 4), dtype=torch.uint8, generator=generator) if one.teacher else None
    for annotated in ([True, True], [True, False], [False, True]):
        if one.teacher is None and not any(a for a, label in zip(annotated, LABELS, strict=True) if label in labels):
            continue
        target, known, ignored = one.targets(given(bits, annotated, teacher=teacher), task)
        assert known.shape == (2, len(one.classes)) and known.dtype == torch.bool
        assert ignored.shape == (2, 4, 4, 4) and ignored.dtype == torch.bool
        if target.is_floating_point():
            assert target.shape == (2, 1 + len(one.classes), 4, 4, 4)
            assert torch.allclose(target.sum(1)[~ignored], torch.ones(1))
        else:
            assert target.shape == (2, 4, 4, 4) and target.dtype == torch.int64
            assert target.min() >= 0 and target.max() <= len(one.classes)
        loss = one.loss(logits, target, known, ignored)
        logits.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.dim() == 0 and torch.isfinite(loss) and logits.grad is not None and logits.grad.any()


@pytest.mark.parametrize("name", names())
def test_parts_refer_to_parts_that_are_there(name: str) -> None:
    found = parts(name)
    steps = {part.step for part in found.values()}
    assert "" in steps, "something has to segment"
    earlier: set[str] = set()
    for key, part in found.items():
        assert part.starts_from is None or part.starts_from in earlier
        if part.teacher and part.teacher.startswith("."):
            assert part.teacher.removeprefix(".") in steps - {part.step, ""}
        earlier.add(key)
    segments = [part for part in found.values() if part.step == ""]
    known = [label for part in segments for label in part.classes]
    assert sorted(known) == sorted(LABELS), "joined, they know every label once"


@pytest.mark.parametrize("name", names())
def test_all_known_is_learnt_alike(name: str) -> None:
    """Where no mask is missing, a teacher or not, every softmax strategy's targets are the masks."""
    bits = torch.randint(0, 4, (2, 4, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for part in parts(name).values():
        target, known, ignored = part.targets(given(bits, [True, True]), Task(LABELS, TASK.precedence, part.classes))
        assert known.all() and not ignored.any()
        if len(part.classes) == len(LABELS):
            numbers = target.argmax(1) if target.is_floating_point() else target
            # Bits 3 are an overlap, which the second label wins.
            assert torch.equal(numbers, torch.tensor([0, 1, 2, 2])[bits.long()])


def test_who_learns_from_what() -> None:
    learns = {
        (name, part): [labels for labels in (("WMH",), ("ISL",), LABELS) if one.learns_from(labels, task)]
        for name in names()
        for part, one in parts(name).items()
        for task in [Task(LABELS, TASK.precedence, one.classes)]
    }
    everything = [("WMH",), ("ISL",), LABELS]
    assert learns.pop(("multiclass", "all")) == learns.pop(("phased", "all")) == [LABELS]
    assert learns.pop(("multimodel", "WMH")) == [("WMH",), LABELS]
    assert learns.pop(("multimodel", "ISL")) == [("ISL",), LABELS]
    assert len(learns) > 8 and all(found == everything for found in learns.values())


def test_missing_and_empty_masks_differ() -> None:
    # The same bits, first label only. Where the second mask is empty, calling a voxel the second label is a mistake;
    # where it is missing, it is not.
    marginal = parts("marginal")["all"]
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
        target, known, _ = parts("pseudolabels")["all"].targets(given(bits, annotated, teacher=teacher), TASK)
        assert known.all()
        targets[mask] = target.flatten().tolist()
    assert targets["empty"] == [0, 1, 0, 1, 0]
    assert targets["missing"] == [0, 1, 2, 1, 0]


def test_without_a_teacher_only_known_masks_count() -> None:
    bits = torch.tensor([0, 1, 2, 3], dtype=torch.uint8).reshape(1, 4, 1, 1)
    target, known, _ = parts("pseudolabels")["all"].targets(given(bits, [True, True]), TASK)
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
        _, _, ignored = parts(name)["all"].targets(given(torch.zeros_like(ignore), [True, True], ignore), TASK)
        assert ignored.flatten().tolist() == [False, True, True, True]


def test_the_registry_imports_nothing_heavy() -> None:
    code = (
        "import sys; from flairflow.training.strategies import names, strategy; "
        "import flairflow.training.data.prepared_scan, "
        "flairflow.training.configured_strategies, flairflow.training.ensemble_members; "
        "[strategy(n).parts(('A', 'B'), strategy(n).options()) for n in names()]; "
        "heavy = {'torch', 'monai', 'lightning', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
