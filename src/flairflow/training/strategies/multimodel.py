"""Multi-model: a binary network per label, each from the scans that have its mask; their probabilities are joined."""

from __future__ import annotations

from collections.abc import Sequence

from flairflow.config.models import Settings
from flairflow.training.strategies import class_conditional_loss, known_targets
from flairflow.training.strategy import Part, Strategy, fully_annotated


def _parts(labels: Sequence[str], options: Settings) -> dict[str, Part]:
    return {
        label: Part({label: (label,)}, fully_annotated, known_targets, class_conditional_loss, activation="sigmoid")
        for label in labels
    }


STRATEGY = Strategy("multimodel", _parts)
