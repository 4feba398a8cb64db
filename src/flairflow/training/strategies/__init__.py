"""Training strategies: what one is, and which there are. Each file of this folder defines one `STRATEGY`.

Importing this package and its files stays light (the Snakefile reads them while it is parsed), so their functions
import torch when they are called.
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


@dataclass(frozen=True)
class Annotations:
    """What is known of the lesions in a batch of B patches, with L labels.

    bits, ignore : uint8 (B, X, Y, Z); bit i says that the i-th label is there, or not to be judged.
    annotated    : bool (B, L). A mask that is missing is False, an empty one True.
    teacher      : uint8 (B, 1 + L, X, Y, Z), a teacher's probabilities in 255ths, background first; all 0 where it was
                   not asked. Without a teacher the second axis has length 0.
    """

    bits: Tensor
    ignore: Tensor
    annotated: Tensor
    teacher: Tensor


def one_network(labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The usual parts of a strategy: a single network for all labels."""
    return {"all": tuple(labels)}


@dataclass(frozen=True)
class Strategy:
    """How partial labels are learnt from. B is the batch, L the labels, K the classes of the network.

    learns_from(annotated, task)             : whether a scan with these annotated labels is trained on.
    targets(annotations, task)               : the `target`, `known` and `ignored` that the loss takes.
    loss(logits, target, known, ignored)     : a scalar from float (B, channels, X, Y, Z) logits, for one output head.
    probabilities(logits)                    : (B, channels, X, Y, Z) logits to (B, 1 + K, X, Y, Z), background first,
                                               such that the decision is the largest.
    background_channel                       : whether the network has a channel for background beside its K classes.
    parts(labels)                            : the networks to train, by name, each with its classes.
    taught                                   : whether a teacher, another strategy's ensemble that is trained before,
                                               predicts what is missing in the training scans.
    """

    name: str
    learns_from: Callable[[Sequence[str], Task], bool]
    targets: Callable[[Annotations, Task], tuple[Tensor, Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    probabilities: Callable[[Tensor], Tensor]
    background_channel: bool = True
    parts: Callable[[Sequence[str]], dict[str, tuple[str, ...]]] = one_network
    taught: bool = False

    def channels(self, task: Task) -> int:
        """The number of output channels of a network for this task."""
        return len(task.classes) + self.background_channel
