"""A temperature for a trained network, fitted on the validation scans (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from flairflow.errors import ConfigError
from flairflow.network.activation import Activation
from flairflow.network.device import arrange, choose_device, resolve_precision
from flairflow.network.model import Model
from flairflow.network.sliding_window import predict_logits
from flairflow.training.data.patches import read_known
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.strategy import Task, fully_annotated

log = logging.getLogger(__name__)

# Of each scan this many voxels at most, drawn evenly from the brain.
VOXELS = 20_000
LOWEST, HIGHEST = 0.05, 20.0


def calibrate(model: Model, entry: str, task: Task, scans: Sequence[PreparedScan], inputs: str) -> Model:
    """The same network with a temperature, as a model of `entry`; `inputs` stands for the network and the scans."""
    temperature, likelihood = fit_temperature(model, task, scans)
    log.info("temperature %.3f: negative log-likelihood %.5f before, %.5f after", temperature, *likelihood.values())
    plan = model.plan.model_copy(update={"strategy": entry, "temperature": temperature})
    record = model.record.model_copy(update={"inputs": inputs, "calibration": likelihood})
    return Model(model.weights, plan, record)


def fit_temperature(model: Model, task: Task, scans: Sequence[PreparedScan]) -> tuple[float, dict[str, float]]:
    """The temperature that minimises the mean negative log-likelihood of brain voxels, and that mean as `before`
    (temperature 1) and `after`.

    Voxels are those of the scans in which all the network's classes are annotated; every scan weighs the same. With a
    sigmoid the likelihoods of the classes are averaged. Raises ConfigError when there is no such scan.
    """
    known = [scan for scan in scans if fully_annotated(scan.annotated, task)]
    drawn = list(_drawn_voxels(model, task, known))
    if not drawn:
        raise ConfigError(
            f"strategies: no validation scan has masks of {', '.join(task.classes)}, so no temperature can be fitted; "
            "leave the entry with 'calibrates' out"
        )

    def mean(temperature: float) -> float:
        return float(np.mean([nll(logits, target, model.plan.activation, temperature) for logits, target in drawn]))

    found = minimize_scalar(lambda log: mean(float(np.exp(log))), bounds=np.log([LOWEST, HIGHEST]), method="bounded")
    temperature = float(np.exp(found.x))
    return temperature, {"before": mean(1.0), "after": mean(temperature)}


def nll(logits: Tensor, target: Tensor, activation: Activation, temperature: float) -> float:
    """Mean negative log-likelihood of N voxels: logits (N, channels), class numbers (N); a sigmoid's classes are
    averaged."""
    scaled = logits / temperature
    if activation == "softmax":
        return float(torch.nn.functional.cross_entropy(scaled, target))
    of_class = torch.nn.functional.one_hot(target, scaled.shape[1] + 1)[:, 1:].float()
    return float(torch.nn.functional.binary_cross_entropy_with_logits(scaled, of_class))


def _drawn_voxels(model: Model, task: Task, scans: Sequence[PreparedScan]) -> Iterator[tuple[Tensor, Tensor]]:
    device, plan = choose_device(), model.plan
    network, precision = arrange(model.network(), device), resolve_precision(model.record.precision, device)
    for number, scan in enumerate(scans):
        image, brain, target, _, ignored = read_known(scan, task)
        logits = predict_logits(network, image, plan.patch, plan.overlap, precision).cpu()
        voxels = np.flatnonzero((brain & ~ignored).numpy())
        if len(voxels):
            some = np.random.default_rng(number).permutation(voxels)[:VOXELS]
            yield logits.flatten(1)[:, some].T.float(), target.flatten()[some]
