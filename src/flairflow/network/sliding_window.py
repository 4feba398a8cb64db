"""A network applied to a whole scan, window by window."""

from __future__ import annotations

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from flairflow.network.activation import Activation, probabilities
from flairflow.network.device import arrange, autocast


def predict_probabilities(
    network: nn.Module,
    activation: Activation,
    images: Tensor,
    patch: int,
    overlap: float,
    precision: str,
    temperature: float = 1.0,
) -> Tensor:
    """Probabilities, float32 (1 + K, X, Y, Z) with background first, for images, float32 (C, X, Y, Z), of any size:
    what `predict_logits` gives, divided by the temperature, as probabilities."""
    logits = predict_logits(network, images, patch, overlap, precision)
    return probabilities(logits[None], activation, temperature)[0]


@torch.inference_mode()
def predict_logits(network: nn.Module, images: Tensor, patch: int, overlap: float, precision: str) -> Tensor:
    """Logits, float32 (channels, X, Y, Z), for images, float32 (C, X, Y, Z), of any size.

    Windows of `patch` voxels a side overlap by the share `overlap`; their logits are averaged with Gaussian weights.
    The network is left in evaluation mode, the result on its device.
    """
    device = next(network.parameters()).device
    network.eval()

    def logits(windows: Tensor) -> Tensor:
        with autocast(precision, device):
            output: Tensor = network(arrange(windows, device))
        return output.float()

    averaged: Tensor = sliding_window_inference(
        images[None].to(device),
        (patch, patch, patch),
        sw_batch_size=2,
        predictor=logits,
        overlap=overlap,
        mode="gaussian",
    )
    return averaged[0]
