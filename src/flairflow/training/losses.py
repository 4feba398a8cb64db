"""Dice + cross-entropy under partial labels, for softmax networks. Pure functions; every item of a batch by itself.

Shapes: logits (B, 1 + L, X, Y, Z) with background first; target int64 (B, X, Y, Z), class numbers; known bool (B, L),
whether the mask of a label exists; ignored bool (B, X, Y, Z). All is computed in float32 log space, whatever the
logits come in.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# As MONAI's DiceLoss: keeps a class that is neither predicted nor there from dividing by zero.
SMOOTH = 1e-5


def multiclass_loss(logits: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
    """Soft Dice loss (mean over classes with background, and items) + cross-entropy (mean over voxels).

    Without ignored voxels this is MONAI's `DiceCELoss(softmax=True, to_onehot_y=True)`.
    """
    known = torch.ones(logits.shape[0], logits.shape[1] - 1, dtype=torch.bool, device=logits.device)
    return _dice_cross_entropy(F.log_softmax(logits.float(), dim=1), target, known, ignored)


def marginal_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    """The same after the probabilities of missing labels are added to background's (Shi et al., arXiv 2007.03868).

    A missing label then has no term of its own, and where all labels are known this is `multiclass_loss`.
    """
    log_probabilities = F.log_softmax(logits.float(), dim=1)
    missing = ~known[:, :, None, None, None]
    nothing = float("-inf")
    merged = torch.cat([log_probabilities[:, :1], log_probabilities[:, 1:].masked_fill(~missing, nothing)], dim=1)
    background = torch.logsumexp(merged, dim=1, keepdim=True)
    labels = log_probabilities[:, 1:].masked_fill(missing, nothing)
    return _dice_cross_entropy(torch.cat([background, labels], dim=1), target, known, ignored)


def _dice_cross_entropy(log_probabilities: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    judged = (~ignored).float()
    count = judged.flatten(1).sum(1).clamp(min=1.0)
    of_target = log_probabilities.gather(1, target[:, None]).squeeze(1)
    cross_entropy = -(of_target * judged).flatten(1).sum(1) / count

    probabilities = log_probabilities.exp() * judged[:, None]
    reference = torch.zeros_like(probabilities).scatter_(1, target[:, None], judged[:, None])
    shared = (probabilities * reference).flatten(2).sum(2)
    total = probabilities.flatten(2).sum(2) + reference.flatten(2).sum(2)
    dice_loss = 1.0 - (2.0 * shared + SMOOTH) / (total + SMOOTH)
    counted = F.pad(known, (1, 0), value=True).float()
    dice_loss = (dice_loss * counted).sum(1) / counted.sum(1)
    return (dice_loss + cross_entropy).mean()
