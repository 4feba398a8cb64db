"""Class-conditional heads: all scans; one binary output per label, each learning from the scans that have its mask."""

from __future__ import annotations

from collections.abc import Sequence

from flairflow.config.models import Settings
from flairflow.training.strategies import class_conditional_loss, known_targets
from flairflow.training.strategy import Part, Strategy, one_class_each, partly_annotated


def _parts(labels: Sequence[str], options: Settings) -> dict[str, Part]:
    return {
        "all": Part(
            one_class_each(labels), partly_annotated, known_targets, class_conditional_loss, activation="sigmoid"
        )
    }


STRATEGY = Strategy("class_conditional", _parts)
