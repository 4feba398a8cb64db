"""Masked sigmoid: all scans; a binary output per label, which learns where its mask is known; Dice over the whole batch
(after MultiTalent, arXiv 2303.14444)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flairflow.config.models import Settings
from flairflow.training.strategies import known_targets
from flairflow.training.strategy import Part, Strategy, one_class_each, partly_annotated

if TYPE_CHECKING:
    from torch import Tensor


def _loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    from flairflow.training.losses import masked_sigmoid_loss

    return masked_sigmoid_loss(logits, target, known, ignored)


def _parts(labels: Sequence[str], options: Settings) -> dict[str, Part]:
    return {"all": Part(one_class_each(labels), partly_annotated, known_targets, _loss, activation="sigmoid")}


STRATEGY = Strategy("masked_sigmoid", _parts)
