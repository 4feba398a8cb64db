"""From label bits to what a loss compares with."""

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
    weights = 2 ** torch.arange(len(labels), device=bits.device)
    known = (annotated * weights).sum(dim=1).to(torch.uint8)
    every_combination = np.arange(2 ** len(labels), dtype=np.uint16).astype(np.uint8)
    table = torch.from_numpy(resolve(every_combination, labels, precedence).astype(np.int64)).to(bits.device)
    return table[(bits & known[:, None, None, None]).long()]
