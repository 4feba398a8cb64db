"""How a network's logits become probabilities of background and its classes. Light: strategies name one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Activation = Literal["softmax", "sigmoid"]


def channels(activation: Activation, classes: int) -> int:
    """Output channels of a network: softmax needs one for background, sigmoid gives each class its own."""
    return classes + (activation == "softmax")


def tell_apart(kinds: Collection[tuple[str, ...]], labels: Sequence[str]) -> bool:
    """Whether networks of these kinds, each given by its classes, make an ensemble: each label is known to one kind."""
    return sorted(name for kind in kinds for name in kind) == sorted(labels)


def probabilities(logits: Tensor, activation: Activation, temperature: float = 1.0) -> Tensor:
    """Logits (B, channels, X, Y, Z) to probabilities (B, 1 + K, X, Y, Z), background first.

    The decision is the largest. The logits are divided by the temperature before. With sigmoid, background gets what
    the surest class leaves, so that the largest class above one half is decided for.
    """
    if activation == "softmax":
        return (logits / temperature).softmax(dim=1)
    return with_background((logits / temperature).sigmoid())


def with_background(classes: Tensor) -> Tensor:
    """Independent probabilities (B, K, X, Y, Z) with that of background before them: 1 - the largest."""
    import torch

    return torch.cat([1 - classes.amax(dim=1, keepdim=True), classes], dim=1)
