"""What a training strategy is: the networks to train, and for each what it learns from, its targets and its loss.

Light: the Snakefile reads strategies while it is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flairflow.config.models import Settings
from flairflow.network.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Task:
    """What one network is to learn.

    labels     : the configured labels, in the order of their bits.
    precedence : the labels, the one that wins overlaps first.
    classes    : what the network tells from background, by name, each with the labels that it stands for.
    """

    labels: tuple[str, ...]
    precedence: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]

    @property
    def class_labels(self) -> tuple[str, ...]:
        """The labels that its classes stand for, each once."""
        return tuple(dict.fromkeys(label for labels in self.classes.values() for label in labels))


@dataclass(frozen=True)
class Annotations:
    """What is known of the lesions in a batch of B patches, with L labels.

    bits, ignore : uint8 (B, X, Y, Z); bit i says that the i-th label is there, or not to be judged.
    annotated    : bool (B, L). A mask that is missing is False, an empty one True.
    teacher      : uint8 (B, 1 + L, X, Y, Z), a teacher's probabilities in 255ths, background first; all 0 where it was
                   not asked, or says nothing. Without a teacher the second axis has length 0.
    """

    bits: Tensor
    ignore: Tensor
    annotated: Tensor
    teacher: Tensor


@dataclass(frozen=True)
class Part:
    """One network of a strategy, and how it learns from partial labels. B is the batch, L the labels, K the classes.

    classes                              : what it tells from background, by name, each with the labels it stands for.
    learns_from(annotated, task)         : whether a scan with these annotated labels is trained on.
    targets(annotations, task)           : the `target`, `known` (bool (B, K)) and `ignored` that the loss takes.
    loss(logits, target, known, ignored) : a scalar from float (B, channels, X, Y, Z) logits, for one output head.
    activation                           : how logits become probabilities, and so how many channels there are.
    step                                 : "" for a network that segments, else the name of an earlier step; the
                                           networks of one step together can teach.
    starts_from                          : the part whose weights, but for the output heads, this one goes on from.
    teacher                              : the ensemble that fills in missing masks: an entry of the configuration or,
                                           with a dot before it, an earlier step of this one.
    fold                                 : (i, n): leaves out the i-th of n folds of persons, and teaches only these.
    centred_on_filled                    : whether patches are centred on what a teacher filled in, too.
    smallest_taught_ml                   : lesions below this that it finds as a teacher are not passed on.
    share_of_epochs                      : its part of `training.epochs`, where the budget is given in epochs.
    """

    classes: Mapping[str, tuple[str, ...]]
    learns_from: Callable[[Sequence[str], Task], bool]
    targets: Callable[[Annotations, Task], tuple[Tensor, Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    activation: Activation = "softmax"
    step: str = ""
    starts_from: str | None = None
    teacher: str | None = None
    fold: tuple[int, int] | None = None
    centred_on_filled: bool = True
    smallest_taught_ml: float = 0.0
    share_of_epochs: float = 1.0


@dataclass(frozen=True)
class Strategy:
    """A strategy: the networks to train, by name, from the labels and the options a configuration may give it."""

    name: str
    parts: Callable[[Sequence[str], Any], dict[str, Part]]
    options: type[Settings] = Settings


def one_class_each(labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The classes of a network that tells all labels apart."""
    return {label: (label,) for label in labels}


def fully_annotated(annotated: Sequence[str], task: Task) -> bool:
    """Learns from scans in which all labels of all its classes are annotated."""
    return set(task.class_labels) <= set(annotated)


def partly_annotated(annotated: Sequence[str], task: Task) -> bool:
    """Learns from scans in which a label of its classes is annotated."""
    return bool(set(task.class_labels) & set(annotated))
