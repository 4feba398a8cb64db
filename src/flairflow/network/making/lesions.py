"""Making the default lesion model: WMH and ISL by one network."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flairflow.config.models import NetworkSettings
from flairflow.network.making.examples import Brains, Material
from flairflow.network.making.loop import Recipe, learn
from flairflow.training.network import build_network, supervise

NETWORK = NetworkSettings(filters=(16, 32, 64, 128, 160), deep_supervision=1)
SPACING, PATCH, PATCHES = 1.5, 80, 2
FORGIVEN = 100.0  # voxels


def make_lesion_network(material: Material, recipe: Recipe, work: Path) -> dict[str, Tensor]:
    """Train it on drawn brains; its weights. A run that was killed goes on from the folder `work`."""
    network = build_network(NETWORK, images=1, channels=3)
    examples = Brains(material, recipe.seed, SPACING, PATCH, PATCHES)

    def loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        images, classes = batch
        return supervise(network(images), lambda logits: lesion_loss(logits, classes))

    return learn(network, examples, loss, recipe, work)


def lesion_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy and soft Dice loss of WMH and ISL, of logits (B, 3, X, Y, Z) and class numbers (B, X, Y, Z).

    As `training.losses.multiclass_loss`, but FORGIVEN voxels are added above and below in the Dice: where there is no
    lesion, a small false one costs little and a large one much.
    """
    logits = logits.float()
    probabilities = logits.softmax(dim=1)[:, 1:].flatten(2)
    reference = torch.stack([classes == 1, classes == 2], dim=1).float().flatten(2)
    shared = (probabilities * reference).sum(2)
    dice = (2.0 * shared + FORGIVEN) / (probabilities.sum(2) + reference.sum(2) + FORGIVEN)
    return F.cross_entropy(logits, classes) + (1.0 - dice).mean()
