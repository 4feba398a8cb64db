"""Making the network that finds the brain."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from flairflow.brain_mask.network import BrainPlan, build_brain_network
from flairflow.training.default_models.examples import Material, WholeHeads
from flairflow.training.default_models.loop import Recipe, learn

FILTERS = (8, 24, 48, 96, 128)


def make_brain_network(
    material: Material, recipe: Recipe, work: Path, spacing: float
) -> tuple[dict[str, Tensor], BrainPlan]:
    """Train it on drawn heads; its weights and plan. A run that was killed goes on from the folder `work`."""
    plan = BrainPlan(filters=FILTERS, spacing=spacing)
    network = build_brain_network(plan.filters)
    examples = WholeHeads(material, recipe.seed, spacing)

    def loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        given, truth = batch
        return distance_loss(network(given).float()[:, 0], truth, plan.limit)

    return learn(network, examples, loss, recipe, work), plan


def distance_loss(answer: Tensor, truth: Tensor, limit: float) -> Tensor:
    """Of signed distances in mm (B, X, Y, Z), cut at `limit`: absolute error, near the surface counted more, and the
    soft Dice loss of the inside. Where the truth is NaN nothing is asked."""
    asked = ~torch.isnan(truth)
    truth = torch.where(asked, truth, -limit).clamp(-limit, limit)
    weight = asked * (0.2 + torch.exp(-truth.abs() / 3.0))
    # Beyond the limit any answer of the right sign will do.
    capped = torch.where(truth.abs() >= limit, answer.clamp(-limit, limit), answer)
    error = (weight * (capped - truth).abs()).sum() / weight.sum()
    inside, reference = answer.sigmoid() * asked, (truth > 0) * asked
    dice = 1.0 - (2.0 * (inside * reference).sum() + 1.0) / (inside.sum() + reference.sum() + 1.0)
    return error / limit * 5.0 + dice
