"""Marginal loss: all scans; the probabilities of labels without a mask count as background (arXiv 2007.03868)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flairflow.training.strategies import Annotations, Strategy, Task

if TYPE_CHECKING:
    from torch import Tensor


def _learns_from(annotated: Sequence[str], task: Task) -> bool:
    return bool(set(task.labels) & set(annotated))


def _targets(given: Annotations, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    from flairflow.training.targets import class_numbers

    target = class_numbers(given.bits, given.annotated, task.labels, task.precedence)
    return target, given.annotated, given.ignore > 0


def _loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    from flairflow.training.losses import marginal_loss

    return marginal_loss(logits, target, known, ignored)


def _probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1)


STRATEGY = Strategy("marginal", _learns_from, _targets, _loss, _probabilities)
