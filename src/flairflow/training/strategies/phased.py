"""Phased: first lesion against background from all scans, then new heads that tell the labels apart from fully
labelled scans alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from flairflow.config.models import Settings
from flairflow.training.strategies import known_targets, multiclass_loss
from flairflow.training.strategy import (
    Annotations,
    Part,
    Strategy,
    Task,
    fully_annotated,
    one_class_each,
    partly_annotated,
)

if TYPE_CHECKING:
    from torch import Tensor


class Options(Settings):
    """paper: the first phase takes what no mask says to be a lesion for background, as published; else it does so only
    where no mask is missing."""

    paper: bool = False


def _any_lesion(given: Annotations, task: Task, paper: bool) -> tuple[Tensor, Tensor, Tensor]:
    lesion, known, ignored = known_targets(given, task)
    if not paper:
        ignored = ignored | (~known[:, :, None, None] & (lesion == 0))
    return lesion, known.new_ones(known.shape), ignored


def _parts(labels: Sequence[str], options: Options) -> dict[str, Part]:
    any_lesion = partial(_any_lesion, paper=options.paper)
    return {
        "lesion": Part({"lesion": tuple(labels)}, partly_annotated, any_lesion, multiclass_loss, step="first"),
        # Half the epochs, as published.
        "all": Part(
            one_class_each(labels),
            fully_annotated,
            known_targets,
            multiclass_loss,
            starts_from="lesion",
            share_of_epochs=0.5,
        ),
    }


STRATEGY = Strategy("phased", _parts, Options)
