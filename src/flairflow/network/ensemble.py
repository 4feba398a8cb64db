"""Several models as one: the mean of their probabilities; models of different labels are joined."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flairflow.errors import ConfigError
from flairflow.images.grid import Array
from flairflow.network.activation import tell_apart, with_background
from flairflow.network.device import PRECISIONS, arrange, choose_device, precision_name, resolve_precision
from flairflow.network.model import load_model, model_hash
from flairflow.network.sliding_window import predict_probabilities


class Ensemble:
    """Models that belong together, loaded once, for any number of scans.

    Models with a softmax over all labels are averaged. Else each label has the mean of the models that know it, and
    background what the surest label leaves: then the largest label above one half is decided for.

    `labels`, `precedence`, `images`, `preprocessing` and `spacing` (mm) say what it predicts and from what; `hash` (16
    hexadecimal digits) stands for its weights and plans, `provenance` for all that its masks depend on beside the scan:
    those and the precision it computes in.
    """

    def __init__(self, folders: Sequence[Path], precision: str = "auto", device: str = "auto") -> None:
        """Raises ConfigError when there is no model, a folder is unusable, two do not belong together, no model, or
        models of different kinds, know a label, there is no such device, or it cannot compute in `precision`."""
        if not folders:
            raise ConfigError("an ensemble needs at least one model folder")
        models = [load_model(folder) for folder in folders]
        plan = models[0].plan
        for folder, model in zip(folders, models, strict=True):
            for name in ("labels", "precedence", "images", "preprocessing"):
                mine, first = getattr(model.plan, name), getattr(plan, name)
                if mine != first:
                    raise ConfigError(f"{folder}: its {name} {mine} are not those of {folders[0]}, {first}")
        self.labels, self.precedence, self.images = plan.labels, plan.precedence, plan.images
        self.preprocessing, self.spacing = plan.preprocessing, plan.preprocessing.spacing
        self.device = choose_device(device)
        self.precision = resolve_precision(precision, self.device)
        if precision not in ("auto", self.precision):
            raise ConfigError(
                f"segmentation.precision: {precision_name(precision)} needs a GPU, and there is none here; "
                "take fp32 or bf16, or auto"
            )
        self._automatic = precision == "auto"
        if self.precision == "32" and self.device.type == "cuda":
            # Convolutions would round to 10 bits there: not the numbers that a CPU computes with by the same name.
            torch.backends.cudnn.allow_tf32 = False
        self.members = [(arrange(model.network(), self.device), model.plan) for model in models]
        _check_labels({model.plan.classes for model in models}, plan.labels, folders)
        self.hash = hashlib.sha256("".join(sorted(map(model_hash, folders))).encode()).hexdigest()[:16]

    @property
    def provenance(self) -> dict[str, str]:
        """What its predictions depend on, as sidecars say it."""
        return {"ModelHash": self.hash, "Precision": precision_name(self.precision)}

    @property
    def as_good(self) -> list[dict[str, str]]:
        """The `provenance` of all predictions that need not be made again: with an automatic precision, in any."""
        precisions = PRECISIONS if self._automatic else (self.precision,)
        return [{"ModelHash": self.hash, "Precision": precision_name(precision)} for precision in precisions]

    def predict(self, images: Array) -> Array:
        """Images, float32 (C, X, Y, Z), z-scored on the grid of `spacing` -> probabilities, float32 (1 + L, X, Y, Z).

        Background comes first, then the labels in their order; the decision is the largest. Raises ValueError when
        the number of images is not that of the models.
        """
        if images.ndim != 4 or len(images) != len(self.images):
            raise ValueError(f"expected {len(self.images)} images (C, X, Y, Z), got an array of shape {images.shape}")
        volume = torch.from_numpy(np.ascontiguousarray(images, np.float32))
        sums: dict[tuple[str, ...], Tensor] = {}
        for network, plan in self.members:
            predicted = predict_probabilities(
                network, plan.activation, volume, plan.patch, plan.overlap, self.precision, plan.temperature
            ).cpu()
            sums[plan.classes] = sums[plan.classes] + predicted if plan.classes in sums else predicted
        means = {
            classes: total / sum(plan.classes == classes for _, plan in self.members) for classes, total in sums.items()
        }
        if self.labels in means and all(plan.activation == "softmax" for _, plan in self.members):
            whole: Array = means[self.labels].numpy()
            return whole
        by_label = {label: mean[1 + i] for classes, mean in means.items() for i, label in enumerate(classes)}
        joined: Array = with_background(torch.stack([by_label[label] for label in self.labels])[None])[0].numpy()
        return joined


def _check_labels(kinds: set[tuple[str, ...]], labels: Sequence[str], folders: Sequence[Path]) -> None:
    if not tell_apart(kinds, labels):
        together = " and ".join(", ".join(classes) for classes in sorted(kinds))
        raise ConfigError(
            f"{', '.join(map(str, folders))}: models of {together} do not make an ensemble for {', '.join(labels)}: "
            "each label must be known to models of one kind"
        )
