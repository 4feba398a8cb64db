"""Training strategies: which there are, and what they share. Each file of this folder defines one `STRATEGY`.

Importing this package and its files stays light (the Snakefile reads them while it is parsed), so their functions
import torch when they are called.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from flairflow.errors import ConfigError
from flairflow.training.strategy import Annotations, Strategy, Task

if TYPE_CHECKING:
    from torch import Tensor

# The paper's choice, for the strategies that need one.
DEFAULT_TEACHER = "marginal"


def strategy(name: str) -> Strategy:
    """The strategy of this name. Raises ConfigError, naming those there are, if there is none."""
    if name not in names():
        raise ConfigError(f"strategies: {name!r} is none of {', '.join(names())}")
    found: Strategy = importlib.import_module(f"{__name__}.{name}").STRATEGY
    return found


def names() -> tuple[str, ...]:
    """All strategies: the files of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


# What strategies share.


def known_targets(given: Annotations, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """Class numbers from the annotated masks alone; a class is known where all of its labels are annotated."""
    from flairflow.training.data.targets import class_targets

    return class_targets(given, task)


def multiclass_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    """The loss where every class is known."""
    from flairflow.training import losses

    return losses.multiclass_loss(logits, target, ignored)


def marginal_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    """The loss in which the probabilities of unknown classes count as background's."""
    from flairflow.training import losses

    return losses.marginal_loss(logits, target, known, ignored)


def class_conditional_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    """The loss of sigmoids, each by itself and only where its class is known."""
    from flairflow.training import losses

    return losses.class_conditional_loss(logits, target, known, ignored)
