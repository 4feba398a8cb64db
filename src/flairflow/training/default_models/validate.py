"""How well the networks in the box do on drawn heads that they were not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flairflow.brain_mask.network import MARGIN, brain_mask, find_brain
from flairflow.images.grid import Array, Image
from flairflow.network.model import Model
from flairflow.simulation.heads.draw import draw_whole_head
from flairflow.training.default_models.examples import Material, drawn_brain
from flairflow.training.default_models.lesions import SPACING


def brain_scores(model: Path, held: Material, seed: int, count: int) -> dict[str, float]:
    """Dice of the brain over drawn heads: mean and worst."""
    scores = []
    for number in range(count):
        generator = np.random.default_rng([seed, 3, number])
        anatomy = held.anatomies[number % len(held.anatomies)]
        head = draw_whole_head(generator, anatomy, held.shapes)
        mask = brain_mask(find_brain(Image(head.image, head.grid.affine), model), head.grid)
        scores.append(_dice(mask, head.surface > -MARGIN))
    return {"heads": float(count), "dice": round(float(np.mean(scores)), 4), "worst": round(min(scores), 4)}


def lesion_scores(model: Model, held: Material, seed: int, count: int) -> dict[str, float]:
    """Over drawn brains: Dice of each label where it is there, and false ml of it where it is not."""
    from flairflow.network.sliding_window import predict_probabilities

    network, plan = model.network().float(), model.plan
    dice: dict[str, list[float]] = {label: [] for label in plan.labels}
    false: dict[str, list[float]] = {label: [] for label in plan.labels}
    for number in range(count):
        generator = np.random.default_rng([seed, 4, number])
        anatomy = held.anatomies[number % len(held.anatomies)]
        image, classes = drawn_brain(generator, anatomy, held.shapes, SPACING)
        with torch.inference_mode():
            shares = predict_probabilities(
                network, plan.activation, torch.from_numpy(image)[None], plan.patch, plan.overlap, "32", 1.0
            )
        found = shares.numpy().argmax(axis=0)
        for index, label in enumerate(plan.labels, start=1):
            if (classes == index).any():
                dice[label].append(_dice(found == index, classes == index))
            else:
                false[label].append(float((found == index).sum()) * SPACING**3 / 1000)
    scores = {f"dice_{label}": values for label, values in dice.items()}
    scores |= {f"false_ml_{label}": values for label, values in false.items()}
    # What was never met has no mean.
    return {"brains": float(count)} | {name: round(float(np.mean(each)), 4) for name, each in scores.items() if each}


def _dice(found: Array, true: Array) -> float:
    total = float(found.sum() + true.sum())
    return 2.0 * float((found & true).sum()) / total if total else 1.0
