"""Making the default lesion model: WMH and ISL by one network."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flairflow.config.models import NetworkSettings
from flairflow.network.architecture import build_network, supervise
from flairflow.training.default_models.examples import Brains, Material
from flairflow.training.default_models.loop import Recipe, learn

NETWORK = NetworkSettings(filters=(16, 32, 64, 128, 160), deep_supervision=1)
SPACING, PATCH, PATCHES = 1.5, 80, 4
WEIGHT = 3.0  # of a lesion's voxel in the cross-entropy, healthy ones having 1


def make_lesion_network(material: Material, recipe: Recipe, work: Path) -> dict[str, Tensor]:
    """Train it on drawn brains; its weights. A run that was killed goes on from the folder `work`."""
    network = build_network(NETWORK, images=1, channels=3)
    examples = Brains(material, recipe.seed, SPACING, PATCH, PATCHES)

    def loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        images, classes = batch
        return supervise(network(images), lambda logits: lesion_loss(logits, classes))

    return without_weights(learn(network, examples, loss, recipe, work))


def without_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A network's weights with its logits as if each voxel had counted alike in the cross-entropy.

    Where a class counts w times, the odds that are learnt are w times the true ones: log w is taken off again.
    """
    name = "output_block.conv.conv.bias"
    off = torch.tensor([0.0, math.log(WEIGHT), math.log(WEIGHT)])
    return weights | {name: weights[name] - off}


def lesion_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy, a lesion's voxel counting WEIGHT times, and the soft Dice loss of the lesions that are there.

    Of logits (B, 3, X, Y, Z) and class numbers (B, X, Y, Z). Where a patch has none of a label, the cross-entropy alone
    holds against false ones: with a Dice of empty masks, networks that see one patch at a time learn to find nothing.
    """
    logits = logits.float()
    weights = torch.tensor([1.0, WEIGHT, WEIGHT], device=logits.device)
    probabilities = logits.softmax(dim=1)[:, 1:].flatten(2)
    reference = torch.stack([classes == 1, classes == 2], dim=1).float().flatten(2)
    volume = reference.sum(2)
    dice = (2.0 * (probabilities * reference).sum(2) + 1.0) / (probabilities.sum(2) + volume + 1.0)
    there = (volume > 0).float()
    lost = ((1.0 - dice) * there).sum() / there.sum().clamp(min=1.0)
    return F.cross_entropy(logits, classes, weight=weights) + lost
