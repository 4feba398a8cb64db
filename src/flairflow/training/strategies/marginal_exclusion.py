"""Marginal loss, and a penalty where a label without a mask is seen in a known lesion of another (arXiv 2007.03868)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flairflow.config.models import Settings
from flairflow.training.strategies import known_targets
from flairflow.training.strategy import Part, Strategy, one_class_each, partly_annotated

if TYPE_CHECKING:
    from torch import Tensor


def _loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    from flairflow.training.losses import marginal_exclusion_loss

    return marginal_exclusion_loss(logits, target, known, ignored)


def _parts(labels: Sequence[str], options: Settings) -> dict[str, Part]:
    return {"all": Part(one_class_each(labels), partly_annotated, known_targets, _loss)}


STRATEGY = Strategy("marginal_exclusion", _parts)
