"""From label bits, and what a teacher predicts, to what a loss compares with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from flairflow.images.masks import resolve


def class_numbers(bits: Tensor, annotated: Tensor, labels: Sequence[str], precedence: Sequence[str]) -> Tensor:
    """Label bits, uint8 (B, X, Y, Z), as class numbers, int64: 0 background, i + 1 for the i-th label.

    Overlaps go to the first label of `precedence` among those that are annotated; bits of labels that are not
    (`annotated`, bool (B, L)) count for nothing.
    """
    every_combination = np.arange(2 ** len(labels), dtype=np.uint16).astype(np.uint8)
    table = torch.from_numpy(resolve(every_combination, labels, precedence).astype(np.int64)).to(bits.device)
    return table[_known(bits, annotated).long()]


def fill_missing(bits: Tensor, annotated: Tensor, teacher: Tensor) -> Tensor:
    """Label bits, uint8 (B, X, Y, Z), in which each missing mask is the teacher's: the voxels where the label has the
    largest of its probabilities (`teacher`, uint8 (B, 1 + L, X, Y, Z), background first), without those that an
    annotated mask gives to another label. Annotated masks stay as they are. Without a teacher nothing is added: then
    no mask may be missing."""
    known = _known(bits, annotated)
    if not teacher.shape[1]:
        return known
    missing = ~torch.cat([torch.ones_like(annotated[:, :1]), annotated], dim=1)
    decided = teacher.argmax(dim=1)
    # Background and annotated labels add no bit.
    added = missing.gather(1, decided.flatten(1)).view_as(decided) & (known == 0)
    return known | (added * 2 ** (decided - 1).clamp(min=0)).to(torch.uint8)


def _known(bits: Tensor, annotated: Tensor) -> Tensor:
    """The bits without those of labels that are not annotated."""
    weights = 2 ** torch.arange(annotated.shape[1], device=bits.device)
    return bits & (annotated * weights).sum(dim=1).to(torch.uint8)[:, None, None, None]
