"""Marginal loss: all scans; the probabilities of labels without a mask count as background (arXiv 2007.03868)."""

from __future__ import annotations

from collections.abc import Sequence

from flairflow.config.models import Settings
from flairflow.training.strategies import known_targets, marginal_loss
from flairflow.training.strategy import Part, Strategy, one_class_each, partly_annotated


def _parts(labels: Sequence[str], options: Settings) -> dict[str, Part]:
    return {"all": Part(one_class_each(labels), partly_annotated, known_targets, marginal_loss)}


STRATEGY = Strategy("marginal", _parts)
