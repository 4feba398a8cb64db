"""Pseudolabels: all scans; a teacher says what a missing mask would show, then as if all were known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from flairflow.config.models import Settings
from flairflow.training.strategies import DEFAULT_TEACHER, multiclass_loss
from flairflow.training.strategy import Annotations, Part, Strategy, Task, one_class_each, partly_annotated

if TYPE_CHECKING:
    from torch import Tensor


class Options(Settings):
    """teacher: the entry whose ensemble predicts the missing masks of the training scans; centred_on_filled: whether
    patches are centred on what it found, too."""

    teacher: Annotated[str, Field(min_length=1)] = DEFAULT_TEACHER
    centred_on_filled: bool = True


def _targets(given: Annotations, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    from flairflow.training.data.targets import filled_targets

    return filled_targets(given, task)


def _parts(labels: Sequence[str], options: Options) -> dict[str, Part]:
    taught = Part(
        one_class_each(labels),
        partly_annotated,
        _targets,
        multiclass_loss,
        teacher=options.teacher,
        centred_on_filled=options.centred_on_filled,
    )
    return {"all": taught}


STRATEGY = Strategy("pseudolabels", _parts, Options)
