"""Baseline: scans with a mask for every label, softmax over background and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flairflow.config.models import Settings
from flairflow.training.strategies import Part, Strategy, fully_annotated, known_targets, one_class_each

if TYPE_CHECKING:
    from torch import Tensor


def _loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    from flairflow.training.losses import multiclass_loss

    return multiclass_loss(logits, target, ignored)


def _parts(labels: Sequence[str], options: Settings) -> dict[str, Part]:
    return {"all": Part(one_class_each(labels), fully_annotated, known_targets, _loss)}


STRATEGY = Strategy("multiclass", _parts)
