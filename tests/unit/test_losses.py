"""The losses against MONAI, hand-worked cases, and the properties partial labels ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceCELoss
from torch import Tensor

from flairflow.training.losses import marginal_loss, multiclass_loss
from flairflow.training.network import supervise
from flairflow.training.targets import class_numbers

NOTHING_IGNORED = torch.zeros(2, 4, 4, 4, dtype=torch.bool)


def random_case(seed: int, labels: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 1 + labels, 4, 4, 4, generator=generator) * 3
    return logits, torch.randint(0, 1 + labels, (2, 4, 4, 4), generator=generator)


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_multiclass_is_monais_dice_and_cross_entropy(seed: int, labels: int) -> None:
    logits, target = random_case(seed, labels)
    expected = DiceCELoss(softmax=True, to_onehot_y=True, include_background=True)(logits, target[:, None])
    assert multiclass_loss(logits, target, NOTHING_IGNORED).item() == pytest.approx(expected.item(), rel=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_marginal_is_multiclass_where_all_is_annotated(seed: int) -> None:
    logits, target = random_case(seed)
    everything = torch.ones(2, 2, dtype=torch.bool)
    marginal = marginal_loss(logits, target, everything, NOTHING_IGNORED)
    assert marginal.item() == pytest.approx(multiclass_loss(logits, target, NOTHING_IGNORED).item(), rel=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_marginal_is_the_loss_of_a_network_without_the_missing_label(seed: int) -> None:
    # Probabilities of background and the missing second label added by hand, then MONAI on what is left.
    logits, target = random_case(seed)
    target = target * (target == 1)
    probabilities = logits.softmax(1)
    merged = torch.stack([probabilities[:, 0] + probabilities[:, 2], probabilities[:, 1]], dim=1)
    expected = DiceCELoss(softmax=True, to_onehot_y=True)(merged.log(), target[:, None])
    known = torch.tensor([[True, False]] * 2)
    assert marginal_loss(logits, target, known, NOTHING_IGNORED).item() == pytest.approx(expected.item(), rel=1e-5)


def test_marginal_of_two_voxels_worked_by_hand() -> None:
    # Probabilities (background, first, second) of two voxels; the first label is known, the second is missing.
    probabilities = torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])
    logits = probabilities.log().T.reshape(1, 3, 2, 1, 1)
    target = torch.tensor([0, 1]).reshape(1, 2, 1, 1)
    cross_entropy = -(math.log(0.8) + math.log(0.8)) / 2
    dice = (2 * 0.8 / (1.0 + 1.0) + 2 * 0.8 / (1.0 + 1.0)) / 2
    loss = marginal_loss(logits, target, torch.tensor([[True, False]]), torch.zeros(1, 2, 1, 1, dtype=torch.bool))
    assert loss.item() == pytest.approx(cross_entropy + 1 - dice, abs=1e-4)


@pytest.mark.parametrize("known", [[True, True], [True, False], [False, True], [False, False]])
def test_ignored_voxels_have_no_influence(known: list[bool]) -> None:
    logits, target = random_case(1)
    annotated = torch.tensor([known] * 2)
    target = target * annotated.new_tensor([True, *known])[target]
    ignored = torch.rand(2, 4, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.5
    logits.requires_grad_()
    loss = marginal_loss(logits, target, annotated, ignored)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(gradient).all()
    assert (gradient.movedim(1, -1)[ignored] == 0).all()
    elsewhere = torch.where(ignored[:, None], 100.0 * torch.randn_like(logits), logits)
    assert marginal_loss(elsewhere, target, annotated, ignored).item() == pytest.approx(loss.item(), rel=1e-6)


def test_all_voxels_ignored_is_no_loss_that_teaches() -> None:
    logits, target = random_case(3)
    logits.requires_grad_()
    multiclass_loss(logits, target, torch.ones_like(NOTHING_IGNORED)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and (logits.grad == 0).all()


def test_items_of_a_batch_do_not_leak_into_each_other() -> None:
    logits, target = random_case(4)
    target = torch.stack([target[0], target[1] * (target[1] == 1)])
    known = torch.tensor([[True, True], [True, False]])
    ignored = NOTHING_IGNORED.clone()
    ignored[0, :2] = True
    both = marginal_loss(logits, target, known, ignored)
    single = [marginal_loss(logits[i : i + 1], target[i : i + 1], known[i : i + 1], ignored[i : i + 1]) for i in (0, 1)]
    assert both.item() == pytest.approx(sum(loss.item() for loss in single) / 2, rel=1e-6)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_extreme_half_precision_logits_stay_finite(kind: torch.dtype) -> None:
    logits = torch.full((1, 3, 2, 2, 2), -60000.0, dtype=kind)
    logits[:, 0] = 60000.0
    logits.requires_grad_()
    target = torch.ones(1, 2, 2, 2, dtype=torch.int64)
    loss = marginal_loss(logits, target, torch.tensor([[True, False]]), torch.zeros(1, 2, 2, 2, dtype=torch.bool))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss) and logits.grad is not None and torch.isfinite(logits.grad).all()


def test_heads_weigh_half_of_the_head_before() -> None:
    output = torch.tensor([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1, 1, 1)
    loss = supervise(output, torch.mean)
    assert loss.item() == pytest.approx((1.0 * 1 + 0.5 * 10 + 0.25 * 100) / 1.75)
    assert supervise(output[:, 0], torch.mean).item() == 1.0


def test_overlaps_go_to_the_precedence_among_the_known() -> None:
    bits = torch.tensor([0, 1, 2, 3], dtype=torch.uint8).reshape(1, 4, 1, 1).repeat(4, 1, 1, 1)
    annotated = torch.tensor([[True, True], [True, False], [False, True], [False, False]])
    numbers = class_numbers(bits, annotated, ("A", "B"), ("B", "A"))
    expected = [[0, 1, 2, 2], [0, 1, 0, 1], [0, 0, 2, 2], [0, 0, 0, 0]]
    np.testing.assert_array_equal(numbers.reshape(4, 4).numpy(), expected)
