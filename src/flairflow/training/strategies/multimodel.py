"""Multi-model: a binary network per label, each from the scans that have its mask; their probabilities are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flairflow.config.models import Settings
from flairflow.training.strategies import Part, Strategy, fully_annotated, known_targets

if TYPE_CHECKING:
    from torch import Tensor


def _loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    from flairflow.training.losses import class_conditional_loss

    return class_conditional_loss(logits, target, known, ignored)


def _parts(labels: Sequence[str], options: Settings) -> dict[str, Part]:
    return {
        label: Part({label: (label,)}, fully_annotated, known_targets, _loss, activation="sigmoid") for label in labels
    }


STRATEGY = Strategy("multimodel", _parts)
