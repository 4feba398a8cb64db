"""Pseudolabels: all scans; a teacher says what a missing mask would show, then as if all were known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flairflow.training.strategies import Annotations, Strategy, Task

if TYPE_CHECKING:
    from torch import Tensor


def _learns_from(annotated: Sequence[str], task: Task) -> bool:
    return bool(set(task.labels) & set(annotated))


def _targets(given: Annotations, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    from flairflow.training.targets import class_numbers, fill_missing

    bits = fill_missing(given.bits, given.annotated, given.teacher)
    known = given.annotated.new_ones(given.annotated.shape)
    return class_numbers(bits, known, task.labels, task.precedence), known, given.ignore > 0


def _loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    from flairflow.training.losses import multiclass_loss

    return multiclass_loss(logits, target, ignored)


def _probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1)


STRATEGY = Strategy("pseudolabels", _learns_from, _targets, _loss, _probabilities, taught=True)
