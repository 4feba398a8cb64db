"""Which checkpoint is best: a score on whole validation scans that also sees false positives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from flairflow.config.models import TrainingSettings
from flairflow.images.grid import Array
from flairflow.network.activation import Activation
from flairflow.network.sliding_window import predict_probabilities
from flairflow.training.data.patches import read_known
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.strategy import Task

# With this much false lesion in a scan that has none, its score is one half.
TOLERATED_ML = 1.0


def validate(
    network: nn.Module,
    activation: Activation,
    task: Task,
    scans: Sequence[PreparedScan],
    settings: TrainingSettings,
    precision: str,
    voxel_ml: float,
) -> dict[str, float]:
    """The score of each class: its mean over the scans where all its labels are annotated; NaN if there is none.

    Predictions outside the brain are dropped, as when segmenting.
    """
    scores = []
    for scan in scans:
        image, brain, reference, known, ignored = read_known(scan, task)
        probabilities = predict_probabilities(network, activation, image, settings.patch, settings.overlap, precision)
        predicted = probabilities.argmax(dim=0).cpu() * brain
        scores.append(_scan_scores(predicted, reference, ignored, known, task, voxel_ml))
    return {name: _mean([score[name] for score in scores if name in score]) for name in task.classes}


def validates(annotated: Sequence[str], task: Task) -> bool:
    """Whether a scan with these annotated labels has a score of any class in `validate`."""
    return any(set(labels) <= set(annotated) for labels in task.classes.values())


def selection_score(scores: Mapping[str, float]) -> float:
    """One number from the scores of the classes: the mean of those there are; NaN if there is none."""
    return _mean([score for score in scores.values() if not math.isnan(score)])


def class_score(predicted: Array, reference: Array, voxel_ml: float) -> float:
    """Score in [0, 1] of one mask. Reference with voxels: Dice, 2 |P and R| / (|P| + |R|). Empty reference:
    1 / (1 + v / 1 ml) for v ml predicted: 1 if nothing is, 0.5 at 1 ml, falling further with every false voxel."""
    if not reference.any():
        return 1.0 / (1.0 + float(predicted.sum()) * voxel_ml / TOLERATED_ML)
    return float(2.0 * (predicted & reference).sum() / (int(predicted.sum()) + int(reference.sum())))


def _scan_scores(
    predicted: Tensor, reference: Tensor, ignored: Tensor, known: Tensor, task: Task, voxel_ml: float
) -> dict[str, float]:
    judged = ~ignored.numpy()
    return {
        name: class_score((predicted == number).numpy() & judged, (reference == number).numpy() & judged, voxel_ml)
        for number, name in enumerate(task.classes, start=1)
        if known[number - 1] and _is_judged(reference == number, ignored)
    }


def _is_judged(lesion: Tensor, ignored: Tensor) -> bool:
    """Whether a mask says something: a lesion that is ignored as a whole does not mean that there is none."""
    return not bool(lesion.any()) or bool((lesion & ~ignored).any())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
