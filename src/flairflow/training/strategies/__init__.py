"""Training strategies: what one is, and which there are. Each file of this folder defines one `STRATEGY`.

Importing this package and its files stays light (the Snakefile reads `names` and `needs` while it is parsed), so their
functions import torch when they are called.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flairflow.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def strategy(name: str) -> Strategy:
    """The strategy of this name. Raises ConfigError, naming those there are, if there is none."""
    if name not in names():
        raise ConfigError(f"strategies: {name!r} is none of {', '.join(names())}")
    found: Strategy = importlib.import_module(f"{__name__}.{name}").STRATEGY
    return found


def names() -> tuple[str, ...]:
    """All strategies: the files of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


@dataclass(frozen=True)
class Task:
    """What is to be learnt.

    labels     : the configured labels, in the order of their bits.
    precedence : the labels, the one that wins overlaps first.
    classes    : what this network tells from background; mostly all labels (see `Strategy.parts`).
    """

    labels: tuple[str, ...]
    precedence: tuple[str, ...]
    classes: tuple[str, ...]


def one_network(labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The usual parts of a strategy: a single network for all labels."""
    return {"all": tuple(labels)}


@dataclass(frozen=True)
class Strategy:
    """How partial labels are learnt from. B is the batch, L the labels, K the classes of the network.

    learns_from(annotated, task)             : whether a scan with these annotated labels is trained on.
    targets(bits, ignore, annotated, task)   : from uint8 (B, X, Y, Z) label and ignore bits and bool (B, L) `annotated`
                                               (a mask that is missing is False, an empty one True) to the `target`,
                                               `known` and `ignored` that the loss takes.
    loss(logits, target, known, ignored)     : a scalar from float (B, channels, X, Y, Z) logits, for one output head.
    probabilities(logits)                    : (B, channels, X, Y, Z) logits to (B, 1 + K, X, Y, Z), background first,
                                               such that the decision is the largest.
    background_channel                       : whether the network has a channel for background beside its K classes.
    parts(labels)                            : the networks to train, by name, each with its classes.
    needs                                    : strategies whose models must be trained before.
    """

    name: str
    learns_from: Callable[[Sequence[str], Task], bool]
    targets: Callable[[Tensor, Tensor, Tensor, Task], tuple[Tensor, Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    probabilities: Callable[[Tensor], Tensor]
    background_channel: bool = True
    parts: Callable[[Sequence[str]], dict[str, tuple[str, ...]]] = one_network
    needs: tuple[str, ...] = ()

    def channels(self, task: Task) -> int:
        """The number of output channels of a network for this task."""
        return len(task.classes) + self.background_channel
