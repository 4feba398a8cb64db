"""Noisy student: pseudolabels by teachers that have not seen the scan (cross-fitted by folds of persons), taken as
probabilities, only where they are sure; with `rounds` above 1 students teach the next ones (after arXiv 1911.04252)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from flairflow.config.models import Settings, Share
from flairflow.training.strategies import known_targets, marginal_loss
from flairflow.training.strategy import Annotations, Part, Strategy, Task, one_class_each, partly_annotated

if TYPE_CHECKING:
    from torch import Tensor


class Options(Settings):
    """folds: of persons; a teacher for each learns from the others. rounds: of teachers; the first learn by the
    marginal loss, later ones from those before. confidence: voxels where no class is as probable are ignored, and so
    are lesions below smallest_ml. centred_on_filled: whether patches are centred on what the teachers found, too."""

    folds: Annotated[int, Field(ge=2)] = 3
    rounds: Annotated[int, Field(ge=1)] = 1
    confidence: Share = 0.7
    smallest_ml: Annotated[float, Field(ge=0)] = 0.05
    centred_on_filled: bool = True


def _soft_targets(given: Annotations, task: Task, confidence: float) -> tuple[Tensor, Tensor, Tensor]:
    from flairflow.training.data.targets import soft_targets

    return soft_targets(given, task, confidence)


def _soft_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    from flairflow.training.losses import soft_multiclass_loss

    return soft_multiclass_loss(logits, target, ignored)


def _parts(labels: Sequence[str], options: Options) -> dict[str, Part]:
    taught = partial(
        Part,
        one_class_each(labels),
        partly_annotated,
        partial(_soft_targets, confidence=options.confidence),
        _soft_loss,
        centred_on_filled=options.centred_on_filled,
    )
    untaught = partial(Part, one_class_each(labels), partly_annotated, known_targets, marginal_loss)
    parts = {}
    for number in range(1, options.rounds + 1):
        learns = untaught if number == 1 else partial(taught, teacher=f".round{number - 1}")
        for fold in range(options.folds):
            parts[f"round{number}-fold{fold + 1}"] = learns(
                step=f"round{number}", fold=(fold, options.folds), smallest_taught_ml=options.smallest_ml
            )
    return parts | {"all": taught(teacher=f".round{options.rounds}")}


STRATEGY = Strategy("noisy_student", _parts, Options)
