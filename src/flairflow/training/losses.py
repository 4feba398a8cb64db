"""Losses under partial labels: Dice + cross-entropy of networks with a softmax, or with a sigmoid per class.

Pure functions of one output head: nothing they are given is changed, and all is computed in float32, whatever the
logits come in. B items, K classes:

logits  : float (B, 1 + K, X, Y, Z), background first, for a softmax; (B, K, X, Y, Z), without it, for sigmoids.
target  : int64 (B, X, Y, Z), class numbers, 0 background; a class whose mask is missing never occurs in it.
known   : bool (B, K), whether the mask of a class exists. An empty mask exists.
ignored : bool (B, X, Y, Z), voxels that count for nothing.

Every item of a batch is judged by itself and the loss is the mean over the items, unless a function says otherwise. A
batch in which nothing is known has a finite loss and no gradient. Where all is known, all softmax losses are
`multiclass_loss`.
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
    return soft_multiclass_loss(logits, _one_hot(target, logits.shape[1]), ignored)


def soft_multiclass_loss(logits: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
    """`multiclass_loss` of soft labels: `target` is float (B, 1 + K, X, Y, Z), a distribution over classes per voxel.

    The overlap in the Dice is the smaller of probability and target, so that the loss is least where they are equal
    (Dice semimetric loss, Wang et al., arXiv 2303.16296); with their product it would be least for hard predictions.
    """
    counted = torch.ones(logits.shape[:2], device=logits.device)
    return _dice_cross_entropy(F.log_softmax(logits.float(), dim=1), target.float(), counted, ignored)


def marginal_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    """The same after the probabilities of missing classes are added to background's (Shi et al., arXiv 2007.03868).

    A missing class then has no term of its own.
    """
    log_probabilities = F.log_softmax(logits.float(), dim=1)
    background, classes = log_probabilities[:, :1], log_probabilities[:, 1:]
    missing = classes.masked_fill(known[:, :, None, None, None], float("-inf"))
    merged = torch.logsumexp(torch.cat([background, missing], dim=1), dim=1, keepdim=True)
    counted = F.pad(known, (1, 0), value=True).float()
    reference = _one_hot(target, logits.shape[1])
    return _dice_cross_entropy(torch.cat([merged, classes], dim=1), reference, counted, ignored)


def marginal_exclusion_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    """`marginal_loss` + the exclusion loss of the missing classes (Shi et al., arXiv 2007.03868).

    Classes do not overlap, so the voxels known to be one class are the exclusion zone of those that are missing. With
    the probability p of a missing class, sums over the zone E and N voxels that are not ignored, its term is
    2 sum(p) / (sum(p) + |E|) + sum(log(1 + p)) / N, of which the mean over the missing classes is taken. In the paper
    the first denominator sums p over all voxels, which would reward a missing class for being predicted outside of the
    zone, where nothing is known of it; this one does not.
    """
    return marginal_loss(logits, target, known, ignored) + _exclusion(logits, target, known, ignored)


def class_adaptive_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    """`multiclass_loss` in which the missing classes of an item, and its background if any is missing, weigh nothing.

    Strategy 4 of Phitidis et al. 2026. The cross-entropy is divided by the sum of the weights of its voxels, as torch's
    is. Of an item with a missing class it thus sees only the voxels of known classes and no false positives, which
    are left to the Dice.
    """
    counted = torch.cat([known.all(dim=1, keepdim=True), known], dim=1).float()
    reference = _one_hot(target, logits.shape[1])
    return _dice_cross_entropy(F.log_softmax(logits.float(), dim=1), reference, counted, ignored)


def class_conditional_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    """Soft Dice loss of the foreground + binary cross-entropy, for one sigmoid channel per class.

    Mean over the known classes of an item, then over the items that know a class. Strategy 3 of Phitidis et al. 2026,
    and with one class the loss of a binary model.
    """
    cross_entropy, shared, total, voxels = _binary_sums(logits, target, ignored)
    loss = _dice_loss(shared, total) + cross_entropy / voxels.clamp(min=1.0)
    return _mean(_mean(loss, known), known.any(dim=1))


def masked_sigmoid_loss(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    """Batch Dice loss + binary cross-entropy, for one sigmoid channel per class (MultiTalent, arXiv 2303.14444).

    The items are not judged one by one: the sums of a class's Dice run over all items that know it, then the mean over
    the classes that some item knows is taken. The cross-entropy is the mean over all voxels of known classes.
    """
    cross_entropy, shared, total, voxels = _binary_sums(logits, target, ignored)
    counted = known.float()
    dice_loss = _dice_loss((shared * counted).sum(0), (total * counted).sum(0))
    cross_entropy = (cross_entropy * counted).sum() / (voxels * counted).sum().clamp(min=1.0)
    return _mean(dice_loss, known.any(dim=0)) + cross_entropy


def _dice_cross_entropy(log_probabilities: Tensor, reference: Tensor, counted: Tensor, ignored: Tensor) -> Tensor:
    """Of tensors (B, C, X, Y, Z), with the weights of the classes in `counted`, (B, C)."""
    judged = _judged(ignored)
    probabilities = log_probabilities.exp() * judged
    reference = reference * judged
    volume = _sum(reference)
    cross_entropy = -(_sum(reference * log_probabilities) * counted).sum(1)
    cross_entropy = cross_entropy / (volume * counted).sum(1).clamp(min=SMOOTH)
    # Of a one-hot reference the minimum is the product.
    dice_loss = _dice_loss(_sum(torch.minimum(probabilities, reference)), _sum(probabilities) + volume)
    return (_mean(dice_loss, counted) + cross_entropy).mean()


def _exclusion(logits: Tensor, target: Tensor, known: Tensor, ignored: Tensor) -> Tensor:
    zone = ((target > 0) & ~ignored)[:, None].float()
    inside = logits.float().softmax(dim=1)[:, 1:] * zone
    overlap = _sum(inside)
    dice = 2.0 * overlap / (overlap + _sum(zone) + SMOOTH)
    cross_entropy = _sum(inside.log1p()) / _sum(_judged(ignored)).clamp(min=1.0)
    return _mean(dice + cross_entropy, ~known).mean()


def _binary_sums(logits: Tensor, target: Tensor, ignored: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums over the voxels that are not ignored, per item and class, (B, K): of the binary cross-entropy, of the
    product of probability and reference, of their sum; and the number of these voxels, (B, 1)."""
    logits = logits.float()
    judged = _judged(ignored)
    reference = _one_hot(target, 1 + logits.shape[1])[:, 1:] * judged
    probabilities = logits.sigmoid() * judged
    cross_entropy = F.binary_cross_entropy_with_logits(logits, reference, reduction="none") * judged
    total = _sum(probabilities) + _sum(reference)
    return _sum(cross_entropy), _sum(probabilities * reference), total, _sum(judged)


def _dice_loss(shared: Tensor, total: Tensor) -> Tensor:
    return 1.0 - (2.0 * shared + SMOOTH) / (total + SMOOTH)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """The mean over the last axis of the values that count; 0 where none does."""
    weights = counted.float()
    return (values * weights).sum(-1) / weights.sum(-1).clamp(min=1.0)


def _sum(volumes: Tensor) -> Tensor:
    # Not einsum or matmul: autocast would run those in half precision.
    return volumes.flatten(2).sum(2)


def _one_hot(target: Tensor, channels: int) -> Tensor:
    """Class numbers (B, X, Y, Z) as float (B, channels, X, Y, Z)."""
    empty = torch.zeros(target.shape[0], channels, *target.shape[1:], device=target.device)
    return empty.scatter_(1, target[:, None], 1.0)


def _judged(ignored: Tensor) -> Tensor:
    return (~ignored)[:, None].float()
