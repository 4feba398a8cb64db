"""The losses against MONAI and torch, hand-worked cases, and the properties partial labels ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceCELoss, DiceLoss
from torch import Tensor

from flairflow.network.architecture import supervise
from flairflow.training.data.targets import class_numbers
from flairflow.training.losses import (
    class_adaptive_loss,
    class_conditional_loss,
    marginal_exclusion_loss,
    marginal_loss,
    masked_sigmoid_loss,
    multiclass_loss,
    soft_multiclass_loss,
)

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def full(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    return multiclass_loss(logits, target, ignored)


def soft(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    return soft_multiclass_loss(logits, F.one_hot(target, logits.shape[1]).movedim(-1, 1).float(), ignored)


PARTIAL_SOFTMAX: dict[str, Loss] = {
    "marginal": marginal_loss,
    "marginal_exclusion": marginal_exclusion_loss,
    "class_adaptive": class_adaptive_loss,
}
SIGMOID: dict[str, Loss] = {"class_conditional": class_conditional_loss, "masked_sigmoid": masked_sigmoid_loss}
PARTIAL = PARTIAL_SOFTMAX | SIGMOID
LOSSES = {"multiclass": full, "soft": soft} | PARTIAL


@dataclass
class Case:
    """A random batch as a loss takes it: no missing class occurs in the target."""

    logits: Tensor
    target: Tensor
    known: Tensor
    ignored: Tensor

    def loss(self, name: str, logits: Tensor | None = None) -> Tensor:
        return LOSSES[name](self.logits if logits is None else logits, self.target, self.known, self.ignored)

    def gradient(self, name: str) -> Tensor:
        logits = self.logits.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(name, logits), logits)
        return gradient

    def items(self, chosen: list[int]) -> Case:
        return Case(self.logits[chosen], self.target[chosen], self.known[chosen], self.ignored[chosen])


def case(name: str, seed: int, known: list[list[bool]], ignored: float = 0.0) -> Case:
    annotated = torch.tensor(known)
    items, classes = annotated.shape
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(items, classes + (name not in SIGMOID), 4, 3, 4, generator=generator) * 3
    target = torch.randint(0, 1 + classes, (items, 4, 3, 4), generator=generator)
    there = F.pad(annotated, (1, 0), value=True).gather(1, target.flatten(1)).view_as(target)
    return Case(logits, target * there, annotated, torch.rand(target.shape, generator=generator) < ignored)


seeds = st.integers(0, 10_000)
masks = st.integers(1, 3).flatmap(
    lambda classes: st.lists(st.lists(st.booleans(), min_size=classes, max_size=classes), min_size=1, max_size=3)
)
every_loss = pytest.mark.parametrize("name", LOSSES)
every_partial_loss = pytest.mark.parametrize("name", PARTIAL)
ALL_KNOWN = [[True, True]] * 2
MIXED = [[True, True], [True, False], [False, True]]


@given(seeds, st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_multiclass_is_monais_dice_and_cross_entropy(seed: int, classes: int) -> None:
    given = case("multiclass", seed, [[True] * classes] * 2)
    expected = DiceCELoss(softmax=True, to_onehot_y=True, include_background=True)(given.logits, given.target[:, None])
    assert given.loss("multiclass").item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["soft", *PARTIAL_SOFTMAX])
@given(seeds, st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_softmax_losses_are_multiclass_where_all_is_annotated(name: str, seed: int, classes: int) -> None:
    given = case(name, seed, [[True] * classes] * 2, ignored=0.3)
    assert given.loss(name).item() == pytest.approx(given.loss("multiclass").item(), rel=1e-6)
    assert torch.allclose(given.gradient(name), given.gradient("multiclass"), atol=1e-7)


@pytest.mark.parametrize(("name", "batch"), [("class_conditional", False), ("masked_sigmoid", True)])
@given(seeds, st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_sigmoid_losses_are_monais_where_all_is_annotated(name: str, batch: bool, seed: int, classes: int) -> None:
    given = case(name, seed, [[True] * classes] * 2)
    reference = F.one_hot(given.target, 1 + classes).movedim(-1, 1)[:, 1:].float()
    expected = DiceLoss(sigmoid=True, batch=batch)(given.logits, reference)
    expected = expected + F.binary_cross_entropy_with_logits(given.logits, reference)
    assert given.loss(name).item() == pytest.approx(expected.item(), rel=1e-5)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_marginal_is_the_loss_of_a_network_without_the_missing_label(seed: int) -> None:
    # Probabilities of background and the missing second label added by hand, then MONAI on what is left.
    given = case("marginal", seed, [[True, False]] * 2)
    probabilities = given.logits.softmax(1)
    merged = torch.stack([probabilities[:, 0] + probabilities[:, 2], probabilities[:, 1]], dim=1)
    expected = DiceCELoss(softmax=True, to_onehot_y=True)(merged.log(), given.target[:, None])
    assert given.loss("marginal").item() == pytest.approx(expected.item(), rel=1e-5)


@given(seeds, masks)
@settings(max_examples=20, deadline=None)
def test_exclusion_is_the_overlap_with_what_is_known_to_be_another_class(seed: int, known: list[list[bool]]) -> None:
    given = case("marginal_exclusion", seed, known, ignored=0.3)
    probabilities = given.logits.softmax(1).double().numpy()
    per_item = []
    for item, knows in enumerate(known):
        judged = ~given.ignored[item].numpy()
        zone = judged & np.isin(given.target[item].numpy(), [i + 1 for i, there in enumerate(knows) if there])
        terms = []
        for number in [i + 1 for i, there in enumerate(knows) if not there]:
            inside = probabilities[item, number][zone]
            dice = 2 * inside.sum() / (inside.sum() + zone.sum()) if zone.any() else 0.0
            terms.append(dice + np.log(1 + inside).sum() / judged.sum())
        per_item.append(np.mean(terms) if terms else 0.0)
    extra = given.loss("marginal_exclusion") - given.loss("marginal")
    assert extra.item() == pytest.approx(float(np.mean(per_item)), rel=1e-4, abs=1e-5)


@given(seeds, masks)
@settings(max_examples=20, deadline=None)
def test_class_adaptive_is_torchs_weighted_cross_entropy_and_monais_dice(seed: int, known: list[list[bool]]) -> None:
    given = case("class_adaptive", seed, known)
    expected = []
    for item, knows in enumerate(known):
        logits, target = given.logits[item : item + 1], given.target[item : item + 1]
        weights = torch.tensor([all(knows), *knows]).float()
        # Without a voxel that weighs something torch divides zero by zero.
        cross_entropy = F.cross_entropy(logits, target, weight=weights).nan_to_num()
        dice_loss = DiceLoss(softmax=True, to_onehot_y=True, reduction="none")(logits, target[:, None]).flatten()
        expected.append(cross_entropy + (dice_loss * weights).sum() / max(weights.sum().item(), 1))
    assert given.loss("class_adaptive").item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5, abs=1e-7)


@given(seeds, masks)
@settings(max_examples=20, deadline=None)
def test_class_conditional_is_a_binary_loss_of_every_known_class(seed: int, known: list[list[bool]]) -> None:
    given = case("class_conditional", seed, known)
    per_item = []
    for item, knows in enumerate(known):
        terms = []
        for i in [i for i, there in enumerate(knows) if there]:
            logits, reference = given.logits[item, i][None, None], (given.target[item] == i + 1)[None, None].float()
            terms.append(DiceCELoss(sigmoid=True)(logits, reference).item())
        if terms:
            per_item.append(np.mean(terms))
    expected = np.mean(per_item) if per_item else 0.0
    assert given.loss("class_conditional").item() == pytest.approx(float(expected), rel=1e-5, abs=1e-7)


@given(seeds, masks)
@settings(max_examples=20, deadline=None)
def test_masked_sigmoid_pools_the_items_that_know_a_class(seed: int, known: list[list[bool]]) -> None:
    given = case("masked_sigmoid", seed, known)
    dice_losses, cross_entropies = [], []
    for i in range(given.known.shape[1]):
        items = given.known[:, i]
        if items.any():
            logits, reference = given.logits[items, i : i + 1], (given.target[items] == i + 1)[:, None].float()
            dice_losses.append(DiceLoss(sigmoid=True, batch=True)(logits, reference).item())
            cross_entropies += (
                F.binary_cross_entropy_with_logits(logits, reference, reduction="none").flatten().tolist()
            )
    expected = np.mean(dice_losses) + np.mean(cross_entropies) if dice_losses else 0.0
    assert given.loss("masked_sigmoid").item() == pytest.approx(float(expected), rel=1e-5, abs=1e-7)


@given(seeds, masks)
@settings(max_examples=10, deadline=None)
def test_of_one_item_the_sigmoid_losses_are_the_same(seed: int, known: list[list[bool]]) -> None:
    given = case("masked_sigmoid", seed, known[:1], ignored=0.3)
    assert given.loss("masked_sigmoid").item() == pytest.approx(given.loss("class_conditional").item(), abs=1e-5)


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_soft_labels_are_met_by_cross_entropy_and_the_dice_semimetric(seed: int) -> None:
    given, other = case("soft", seed, ALL_KNOWN), case("soft", seed + 1, ALL_KNOWN)
    target = other.logits.softmax(1)
    probabilities = given.logits.softmax(1)
    sizes = (probabilities + target).sum((2, 3, 4))
    dice_loss = 1 - (sizes - (probabilities - target).abs().sum((2, 3, 4)) + 1e-5) / (sizes + 1e-5)
    expected = dice_loss.mean() + F.cross_entropy(given.logits, target)
    assert soft_multiclass_loss(given.logits, target, given.ignored).item() == pytest.approx(expected.item(), rel=1e-5)
    least = soft_multiclass_loss(other.logits, target, given.ignored)
    for step in (0.01, -0.01):
        assert soft_multiclass_loss(other.logits + step * given.logits, target, given.ignored) > least
        assert soft_multiclass_loss(other.logits * (1 + step), target, given.ignored) > least


# Probabilities in two voxels: of background, first and second class; of first and second class.
SOFTMAX_VOXELS = [[0.5, 0.1], [0.2, 0.8], [0.3, 0.1]]
SIGMOID_VOXELS = [[0.25, 0.5], [0.3, 0.1]]
BY_HAND = {
    "multiclass": (
        [SOFTMAX_VOXELS],
        [[0, 1]],
        [[True, True]],
        -(log(0.5) + log(0.8)) / 2 + 1 - (2 * 0.5 / 1.6 + 2 * 0.8 / 2.0 + 0.0) / 3,
    ),
    # Background is 0.8 and 0.2.
    "marginal": (
        [SOFTMAX_VOXELS],
        [[0, 1]],
        [[True, False]],
        -(log(0.8) + log(0.8)) / 2 + 1 - (2 * 0.8 / 2.0 + 2 * 0.8 / 2.0) / 2,
    ),
    # The zone of the second class is the second voxel.
    "marginal_exclusion": (
        [SOFTMAX_VOXELS],
        [[0, 1]],
        [[True, False]],
        -log(0.8) + 1 - 0.8 + 2 * 0.1 / (0.1 + 1) + log(1.1) / 2,
    ),
    # The cross-entropy sees the second voxel, the Dice the first class.
    "class_adaptive": ([SOFTMAX_VOXELS], [[0, 1]], [[True, False]], -log(0.8) + 1 - 2 * 0.8 / 2.0),
    # The second item knows nothing and is no item.
    "class_conditional": (
        [SIGMOID_VOXELS, SIGMOID_VOXELS],
        [[0, 1], [0, 0]],
        [[True, False], [False, False]],
        -(log(0.75) + log(0.5)) / 2 + 1 - 2 * 0.5 / (0.75 + 1),
    ),
    "masked_sigmoid": (
        [SIGMOID_VOXELS, [[0.5, 0.1], [0.2, 0.9]]],
        [[0, 1], [0, 2]],
        [[True, False], [True, True]],
        -(log(0.75) + log(0.5) + log(0.5) + log(0.9) + log(0.8) + log(0.9)) / 6
        + (1 - 2 * 0.5 / (0.75 + 1 + 0.6 + 0) + 1 - 2 * 0.9 / (1.1 + 1)) / 2,
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_two_voxels_worked_by_hand(name: str) -> None:
    values, numbers, known, expected = BY_HAND[name]
    probabilities = torch.tensor(values)[..., None, None]
    logits = probabilities.logit() if name in SIGMOID else probabilities.log()
    target = torch.tensor(numbers)[..., None, None]
    nothing_ignored = torch.zeros(target.shape, dtype=torch.bool)
    loss = LOSSES[name](logits, target, torch.tensor(known), nothing_ignored)
    assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_two_voxels_with_soft_labels_worked_by_hand() -> None:
    logits = torch.tensor([SOFTMAX_VOXELS]).log()[..., None, None]
    target = torch.tensor([[[0.6, 0.0], [0.4, 1.0], [0.0, 0.0]]])[..., None, None]
    cross_entropy = -(0.6 * log(0.5) + 0.4 * log(0.2) + log(0.8)) / 2
    dice = (2 * (0.5 + 0.0) / (0.6 + 0.6) + 2 * (0.2 + 0.8) / (1.0 + 1.4) + 0.0) / 3
    loss = soft_multiclass_loss(logits, target, torch.zeros(1, 2, 1, 1, dtype=torch.bool))
    assert loss.item() == pytest.approx(cross_entropy + 1 - dice, abs=1e-4)


@every_partial_loss
def test_a_missing_mask_is_not_an_empty_one(name: str) -> None:
    empty = case(name, 1, [[True, False]] * 2)
    missing_gradient, missing = empty.gradient(name), empty.loss(name)
    empty.known = torch.tensor([[True, True]] * 2)
    assert abs(empty.loss(name) - missing) > 0.1
    # Only a mask that is there, and empty, pushes the second class down wherever the target is background.
    assert (empty.gradient(name)[:, -1][empty.target == 0] > 0).all()
    assert not (missing_gradient[:, -1][empty.target == 0] > 0).all()


@pytest.mark.parametrize("name", SIGMOID)
@given(seeds, masks)
@settings(max_examples=10, deadline=None)
def test_sigmoid_channels_of_missing_classes_get_no_gradient(name: str, seed: int, known: list[list[bool]]) -> None:
    given = case(name, seed, known)
    gradient = given.gradient(name)
    assert (gradient[~given.known] == 0).all()
    assert (gradient[given.known] != 0).flatten(1).any(dim=1).all()


@pytest.mark.parametrize("name", ["marginal", "class_adaptive"])
@given(seeds, st.floats(0.05, 0.95))
@settings(max_examples=10, deadline=None)
def test_background_and_missing_classes_share_one_probability(name: str, seed: int, share: float) -> None:
    given = case(name, seed, [[True, False], [True, False]])
    probabilities = given.logits.softmax(1)
    rest = probabilities[:, 0] + probabilities[:, 2]
    moved = torch.stack([share * rest, probabilities[:, 1], (1 - share) * rest], dim=1)
    assert given.loss(name, moved.log()).item() == pytest.approx(given.loss(name).item(), rel=1e-5)
    # A loss of p[1] alone: its gradient is -dL/dp[1] p[1] p[c] for both, which is that of their sum, shared out.
    gradient = given.gradient(name)
    assert torch.allclose(gradient[:, 0] * probabilities[:, 2], gradient[:, 2] * probabilities[:, 0], atol=1e-7)
    assert torch.allclose(gradient.sum(1), torch.zeros(()), atol=1e-7)
    assert gradient[:, 2].abs().max() > 1e-4


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_exclusion_pushes_missing_classes_down_inside_the_zone_only(seed: int) -> None:
    given = case("marginal_exclusion", seed, [[True, False], [False, True]])
    extra = given.gradient("marginal_exclusion") - given.gradient("marginal")
    zone = given.target > 0
    for item, missing in ((0, 2), (1, 1)):
        assert (extra[item, missing][zone[item]] > 0).all()
        others = [channel for channel in range(3) if channel != missing]
        assert (extra[item, others][:, zone[item]] < 1e-8).all()
    assert extra.movedim(1, -1)[~zone].abs().max() < 1e-8


@every_partial_loss
def test_without_a_known_mask_nothing_is_learnt(name: str) -> None:
    given = case(name, 2, [[False, False]] * 2)
    assert given.loss(name).item() == pytest.approx(0, abs=1e-5)
    assert given.gradient(name).abs().max() < 1e-7


@every_loss
@given(seeds, st.permutations([0, 1, 2]))
@settings(max_examples=5, deadline=None)
def test_the_order_of_the_batch_does_not_matter(name: str, seed: int, order: list[int]) -> None:
    given = case(name, seed, MIXED, ignored=0.2)
    permuted = given.items(order)
    assert permuted.loss(name).item() == pytest.approx(given.loss(name).item(), rel=1e-5)
    assert torch.allclose(permuted.gradient(name), given.gradient(name)[order], atol=1e-7)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "masked_sigmoid"])
@given(seeds)
@settings(max_examples=5, deadline=None)
def test_items_of_a_batch_do_not_leak_into_each_other(name: str, seed: int) -> None:
    given = case(name, seed, MIXED, ignored=0.2)
    single = [given.items([i]) for i in range(3)]
    assert given.loss(name).item() == pytest.approx(np.mean([one.loss(name).item() for one in single]), rel=1e-5)
    gradients = torch.cat([one.gradient(name) for one in single]) / 3
    assert torch.allclose(given.gradient(name), gradients, atol=1e-7)


@every_loss
@pytest.mark.parametrize("known", [[True, True], [True, False], [False, True], [False, False]])
def test_ignored_voxels_have_no_influence(name: str, known: list[bool]) -> None:
    given = case(name, 3, [known] * 2, ignored=0.5)
    gradient = given.gradient(name)
    assert torch.isfinite(gradient).all()
    assert (gradient.movedim(1, -1)[given.ignored] == 0).all()
    loss = given.loss(name).item()
    given.logits = torch.where(given.ignored[:, None], 100.0 * torch.randn_like(given.logits), given.logits)
    # A class that is known, lest a target be there that cannot.
    given.target = torch.where(given.ignored, known.index(True) + 1 if any(known) else 0, given.target)
    assert given.loss(name).item() == pytest.approx(loss, rel=1e-5, abs=1e-6)


@every_loss
def test_all_voxels_ignored_is_no_loss_that_teaches(name: str) -> None:
    given = case(name, 4, [[True, True], [True, False]], ignored=1.0)
    assert torch.isfinite(given.loss(name))
    assert (given.gradient(name) == 0).all()


@every_loss
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fill", ["background", "first", "signs", "random"])
def test_extreme_half_precision_logits_stay_finite(name: str, kind: torch.dtype, fill: str) -> None:
    given = case(name, 5, MIXED)
    extreme = torch.full_like(given.logits, -60000.0)
    if fill == "signs":
        extreme = 60000.0 * given.logits.sign()
    elif fill == "random":
        extreme = (20000.0 * torch.randn_like(given.logits)).clamp(-65000, 65000)
    else:
        extreme[:, 0 if fill == "background" else -1] = 60000.0
    given.logits = extreme.to(kind)
    assert torch.isfinite(given.logits).all()
    assert given.loss(name).dtype == torch.float32
    assert torch.isfinite(given.loss(name))
    assert torch.isfinite(given.gradient(name)).all()


@every_loss
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_the_surest_mistakes_are_still_corrected(name: str, kind: torch.dtype) -> None:
    given = case(name, 5, MIXED)
    given.logits = torch.full_like(given.logits, -60000.0).to(kind)
    if name not in SIGMOID:
        given.logits[:, 0] = 60000.0
    gradient = F.pad(given.gradient(name), (0, 0) * 3 + (int(name in SIGMOID), 0))
    assert (gradient.gather(1, given.target[:, None])[given.target[:, None] > 0] < 0).all()
    assert given.loss(name) > 5000


@every_loss
def test_autocast_does_not_cost_precision(name: str) -> None:
    given = case(name, 6, MIXED)
    given.logits = given.logits.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = given.loss(name)
    assert mixed.item() == pytest.approx(given.loss(name, given.logits.float()).item(), rel=1e-6)


@every_loss
def test_inputs_are_left_as_they_are(name: str) -> None:
    given, copy = case(name, 7, MIXED, ignored=0.2), case(name, 7, MIXED, ignored=0.2)
    given.logits.requires_grad_()
    given.loss(name).backward()  # type: ignore[no-untyped-call]
    for field in ("logits", "target", "known", "ignored"):
        assert torch.equal(getattr(given, field), getattr(copy, field))


def test_soft_labels_are_left_as_they_are() -> None:
    given = case("soft", 7, MIXED, ignored=0.2)
    target = given.logits.softmax(1)
    before = target.clone()
    soft_multiclass_loss(given.logits, target, given.ignored)
    assert torch.equal(target, before)


@every_loss
def test_deeper_heads_meet_the_same_loss(name: str) -> None:
    heads = [case(name, seed, MIXED) for seed in (8, 9, 10)]
    given = heads[0]
    output = torch.stack([head.logits for head in heads], dim=1)
    loss = supervise(output, lambda logits: given.loss(name, logits))
    losses = [given.loss(name, head.logits).item() for head in heads]
    assert loss.item() == pytest.approx((losses[0] + losses[1] / 2 + losses[2] / 4) / 1.75, rel=1e-6)


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
