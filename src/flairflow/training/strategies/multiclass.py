"""Baseline: scans with a mask for every label, softmax over background and labels."""

from __future__ import annotations

from collections.abc import Sequence

from flairflow.config.models import Settings
from flairflow.training.strategies import known_targets, multiclass_loss
from flairflow.training.strategy import Part, Strategy, fully_annotated, one_class_each


def _parts(labels: Sequence[str], options: Settings) -> dict[str, Part]:
    return {"all": Part(one_class_each(labels), fully_annotated, known_targets, multiclass_loss)}


STRATEGY = Strategy("multiclass", _parts)
