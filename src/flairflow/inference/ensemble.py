"""Several models as one: the mean of their probabilities."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from flairflow.errors import ConfigError
from flairflow.images.grid import Array
from flairflow.inference.sliding_window import predict_probabilities
from flairflow.training.device import arrange, choose_device, resolve_precision
from flairflow.training.model_folder import load_model, model_hash
from flairflow.training.strategies import strategy


class Ensemble:
    """Models of one kind, loaded once, for any number of scans.

    `labels`, `precedence`, `images`, `preprocessing` and `spacing` (mm) say what it predicts and from what; `hash` (16
    hexadecimal digits) stands for its weights and plans.
    """

    def __init__(self, folders: Sequence[Path], precision: str = "auto") -> None:
        """Raises ConfigError when there is no model, a folder is unusable, or two do not belong together."""
        if not folders:
            raise ConfigError("an ensemble needs at least one model folder")
        models = [load_model(folder) for folder in folders]
        plan = models[0].plan
        for folder, model in zip(folders, models, strict=True):
            for name in ("labels", "precedence", "classes", "images", "preprocessing"):
                mine, first = getattr(model.plan, name), getattr(plan, name)
                if mine != first:
                    raise ConfigError(f"{folder}: its {name} {mine} are not those of {folders[0]}, {first}")
        self.labels, self.precedence, self.images = plan.labels, plan.precedence, plan.images
        self.preprocessing, self.spacing = plan.preprocessing, plan.preprocessing.spacing
        self.device = choose_device()
        self.precision = resolve_precision(precision, self.device)
        self.members = [(arrange(model.network(), self.device), model.plan) for model in models]
        self.hash = hashlib.sha256("".join(sorted(map(model_hash, folders))).encode()).hexdigest()[:16]

    def predict(self, images: Array) -> Array:
        """Images, float32 (C, X, Y, Z), z-scored on the grid of `spacing` -> probabilities, float32 (1 + L, X, Y, Z).

        Background comes first, then the labels in their order; the decision is the largest. Raises ValueError when
        the number of images is not that of the models.
        """
        if images.ndim != 4 or len(images) != len(self.images):
            raise ValueError(f"expected {len(self.images)} images (C, X, Y, Z), got an array of shape {images.shape}")
        volume = torch.from_numpy(np.ascontiguousarray(images, np.float32))
        total = torch.zeros(())
        for network, plan in self.members:
            total = (
                total
                + predict_probabilities(
                    network, strategy(plan.strategy), volume, plan.patch, plan.overlap, self.precision
                ).cpu()
            )
        mean: Array = (total / len(self.members)).numpy()
        return mean
