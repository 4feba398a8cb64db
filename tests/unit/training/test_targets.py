"""What losses compare with, voxel by voxel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flairflow.training.data.targets import class_targets, soft_targets
from flairflow.training.strategies import strategy
from flairflow.training.strategy import Annotations, Part, Task, one_class_each

LABELS = ("A", "B")
PRECEDENCE = ("B", "A")
APART = Task(LABELS, PRECEDENCE, one_class_each(LABELS))
UNION = Task(LABELS, PRECEDENCE, {"lesion": LABELS})


def voxels(values: list[int] | list[list[int]]) -> Tensor:
    """A row of voxels of one item, (1, N, 1, 1), or with channels first, (1, C, N, 1, 1), from rows of voxels."""
    tensor = torch.tensor(values, dtype=torch.uint8)
    return (tensor.T if tensor.dim() == 2 else tensor)[None, ..., None, None]


def given(bits: list[int], annotated: list[bool], teacher: list[list[int]] | None = None) -> Annotations:
    box = voxels(bits)
    said = box.new_zeros(1, 0, *box.shape[1:]) if teacher is None else voxels(teacher)
    return Annotations(box, torch.zeros_like(box), torch.tensor([annotated]), said)


def part(name: str, key: str = "all", labels: tuple[str, ...] = LABELS, **options: object) -> Part:
    one = strategy(name)
    return one.parts(labels, one.options(**options))[key]


@pytest.mark.parametrize(
    ("annotated", "apart", "union", "known_apart", "known_union"),
    [
        ([True, True], [0, 1, 2, 2], [0, 1, 1, 1], [True, True], True),
        ([True, False], [0, 1, 0, 1], [0, 1, 0, 1], [True, False], False),
        ([False, True], [0, 0, 2, 2], [0, 0, 1, 1], [False, True], False),
        ([False, False], [0, 0, 0, 0], [0, 0, 0, 0], [False, False], False),
    ],
)
def test_classes_of_one_label_and_of_two(
    annotated: list[bool], apart: list[int], union: list[int], known_apart: list[bool], known_union: bool
) -> None:
    one = given([0, 1, 2, 3], annotated)
    target, known, ignored = class_targets(one, APART)
    assert (target.flatten().tolist(), known.tolist()) == (apart, [known_apart]) and not ignored.any()
    target, known, _ = class_targets(one, UNION)
    assert (target.flatten().tolist(), known.tolist()) == (union, [[known_union]])


def test_the_other_label_is_background_for_a_binary_network() -> None:
    only = part("multimodel", "A")
    task = Task(LABELS, PRECEDENCE, only.classes)
    target, known, _ = only.targets(given([0, 1, 2, 3], [True, False]), task)
    assert target.flatten().tolist() == [0, 1, 0, 1] and known.tolist() == [[True]]
    # An overlap is the other label's, as in every other strategy, where its mask is known.
    assert only.targets(given([0, 1, 2, 3], [True, True]), task)[0].flatten().tolist() == [0, 1, 0, 0]
    assert only.targets(given([0, 1, 2, 3], [False, True]), task)[1].tolist() == [[False]]


def test_of_an_ignored_label_the_voxel_is_ignored() -> None:
    one = given([1, 1, 0, 0], [True, True])
    one.ignore[0, 1] = 2
    assert class_targets(one, UNION)[2].flatten().tolist() == [False, True, False, False]


def test_the_first_phase_knows_what_it_does_not_know() -> None:
    for annotated, unsure in (([True, True], False), ([True, False], True)):
        one = given([0, 1, 2, 3], annotated)
        lesions = [0, 1, 0, 1] if unsure else [0, 1, 1, 1]
        target, known, ignored = part("phased", "lesion").targets(one, UNION)
        assert target.flatten().tolist() == lesions and known.all()
        assert ignored.flatten().tolist() == [unsure and not lesion for lesion in lesions]
        target, known, ignored = part("phased", "lesion", paper=True).targets(one, UNION)
        assert target.flatten().tolist() == lesions and known.all() and not ignored.any()


def test_soft_targets_by_hand() -> None:
    # A is known, B is missing.
    teacher = [
        [51, 0, 204],  # known A: certain, whatever the teacher says
        [51, 0, 204],  # background 0.2, B 0.8
        [204, 0, 51],  # the reverse
        [102, 102, 51],  # A is known not to be there: background and B share, 2/3 and 1/3
        [25, 205, 25],  # half and half of what is left: not sure enough
        [0, 255, 0],  # sure of what is known not to be there: it says nothing
        [0, 0, 0],  # too small a lesion to be passed on
    ]
    one = given([1, 0, 0, 0, 0, 0, 0], [True, False], teacher)
    soft, known, ignored = soft_targets(one, APART, 0.7)
    assert soft.dtype == torch.float32 and known.all()
    expected = [[0, 1, 0], [0.2, 0, 0.8], [0.8, 0, 0.2], [2 / 3, 0, 1 / 3], [0.5, 0, 0.5], [0, 0, 0], [0, 0, 0]]
    torch.testing.assert_close(soft[0, :, :, 0, 0].T, torch.tensor(expected, dtype=torch.float32))
    assert ignored.flatten().tolist() == [False, False, False, True, True, True, True]
    assert soft_targets(one, APART, 0.6)[2].flatten().tolist() == [False, False, False, False, True, True, True]
    # However little confidence is asked for, a voxel of which nothing is said is ignored.
    assert soft_targets(one, APART, 0.0)[2].flatten().tolist() == [False] * 5 + [True, True]


def test_soft_targets_of_known_masks_are_the_masks() -> None:
    teacher = [[51, 102, 102]] * 4
    for said in (teacher, None):
        one = given([0, 1, 2, 3], [True, True], said)
        one.ignore[0, 1] = 1
        soft, known, ignored = soft_targets(one, APART, 1.0)
        assert soft[0, :, :, 0, 0].T.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
        assert known.all() and ignored.flatten().tolist() == [False, True, False, False]


def test_soft_targets_of_a_batch_are_those_of_its_items() -> None:
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(0, 4, (3, 4, 4, 4), dtype=torch.uint8, generator=generator)
    teacher = torch.randint(0, 256, (3, 3, 4, 4, 4), dtype=torch.uint8, generator=generator)
    annotated = torch.tensor([[True, False], [True, True], [False, True]])
    whole = soft_targets(Annotations(bits, bits * 0, annotated, teacher), APART, 0.5)
    for item in range(3):
        one = Annotations(bits[item : item + 1], bits[:1] * 0, annotated[item : item + 1], teacher[item : item + 1])
        for all_, single in zip(whole, soft_targets(one, APART, 0.5), strict=True):
            assert torch.equal(all_[item], single[0])
    soft, _, ignored = whole
    assert torch.allclose(soft.sum(1)[~ignored], torch.ones(1))
    absent = annotated[:, :, None, None, None] & (bits[:, None] >> torch.tensor([0, 1])[:, None, None, None] & 1 == 0)
    assert not soft[:, 1:][absent].any(), "what is known not to be there gets nothing"
