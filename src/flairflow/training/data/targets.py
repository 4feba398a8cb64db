"""From label bits, and what a teacher predicts, to what a loss compares with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from flairflow.images.masks import resolve
from flairflow.training.strategy import Annotations, Task


def class_targets(given: Annotations, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """From the annotated masks: the number of its class for every voxel, int64 (B, X, Y, Z), 0 for background and for
    labels that are in no class; bool (B, K), whether all labels of a class are annotated; and bool (B, X, Y, Z),
    whether the voxel is not to be judged."""
    numbers = class_numbers(given.bits, given.annotated, task.labels, task.precedence)
    return _of_classes(numbers, task), _known_classes(given.annotated, task), given.ignore > 0


def filled_targets(given: Annotations, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """As `class_targets`, after a teacher has said what missing masks show (`fill_missing`): every class is known."""
    bits = fill_missing(given.bits, given.annotated, given.teacher)
    known = given.annotated.new_ones(given.annotated.shape)
    return class_targets(Annotations(bits, given.ignore, known, given.teacher), task)


def soft_targets(given: Annotations, task: Task, confidence: float) -> tuple[Tensor, Tensor, Tensor]:
    """As `filled_targets`, but with a teacher's probabilities as they are: the first is float32 (B, 1 + L, X, Y, Z).

    Known lesions are certain. Elsewhere background and the missing labels share what the teacher gives to them; where
    none of them gets as much as `confidence`, or the teacher says nothing, the voxel is ignored. Only for networks
    whose classes are the labels.
    """
    target, _, ignored = class_targets(given, task)
    certain = torch.zeros(len(target), 1 + len(task.labels), *target.shape[1:], device=target.device)
    certain.scatter_(1, target[:, None], 1.0)
    known = given.annotated.new_ones(given.annotated.shape)
    if not given.teacher.shape[1]:
        return certain, known, ignored
    open_ = torch.cat([torch.ones_like(given.annotated[:, :1]), ~given.annotated], dim=1)[:, :, None, None, None]
    said = given.teacher.float() * open_
    shared = said / said.sum(dim=1, keepdim=True).clamp(min=1.0)
    unknown = (target == 0) & ~given.annotated.all(dim=1)[:, None, None, None]
    soft = torch.where(unknown[:, None], shared, certain)
    surest = soft.amax(dim=1)
    return soft, known, ignored | (surest < confidence) | (surest == 0)


def class_numbers(bits: Tensor, annotated: Tensor, labels: Sequence[str], precedence: Sequence[str]) -> Tensor:
    """Label bits, uint8 (B, X, Y, Z), as class numbers, int64: 0 background, i + 1 for the i-th label.

    Overlaps go to the first label of `precedence` among those that are annotated; bits of labels that are not
    (`annotated`, bool (B, L)) count for nothing.
    """
    every_combination = np.arange(2 ** len(labels), dtype=np.uint16).astype(np.uint8)
    table = torch.from_numpy(resolve(every_combination, labels, precedence).astype(np.int64)).to(bits.device)
    return table[_known(bits, annotated).long()]


def fill_missing(bits: Tensor, annotated: Tensor, teacher: Tensor) -> Tensor:
    """Label bits, uint8 (B, X, Y, Z), in which each missing mask is the teacher's: the voxels where the label has the
    largest of its probabilities (`teacher`, uint8 (B, 1 + L, X, Y, Z), background first), without those that an
    annotated mask gives to another label. Annotated masks stay as they are. Without a teacher nothing is added: then
    no mask may be missing."""
    known = _known(bits, annotated)
    if not teacher.shape[1]:
        return known
    missing = ~torch.cat([torch.ones_like(annotated[:, :1]), annotated], dim=1)
    decided = teacher.argmax(dim=1)
    # Background and annotated labels add no bit.
    added = missing.gather(1, decided.flatten(1)).view_as(decided) & (known == 0)
    return known | (added * 2 ** (decided - 1).clamp(min=0)).to(torch.uint8)


def _of_classes(numbers: Tensor, task: Task) -> Tensor:
    """Label numbers (0 background) as class numbers."""
    table = torch.zeros(1 + len(task.labels), dtype=torch.int64, device=numbers.device)
    for number, labels in enumerate(task.classes.values(), start=1):
        for label in labels:
            table[task.labels.index(label) + 1] = number
    return table[numbers]


def _known_classes(annotated: Tensor, task: Task) -> Tensor:
    columns = [[task.labels.index(label) for label in labels] for labels in task.classes.values()]
    return torch.stack([annotated[:, column].all(dim=1) for column in columns], dim=1)


def _known(bits: Tensor, annotated: Tensor) -> Tensor:
    """The bits without those of labels that are not annotated."""
    weights = 2 ** torch.arange(annotated.shape[1], device=bits.device)
    return bits & (annotated * weights).sum(dim=1).to(torch.uint8)[:, None, None, None]
