"""A network applied to a whole scan, window by window."""

from __future__ import annotations

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from flairflow.training.device import arrange, autocast
from flairflow.training.strategies import Strategy


@torch.inference_mode()
def predict_probabilities(
    network: nn.Module, strategy: Strategy, images: Tensor, patch: int, overlap: float, precision: str
) -> Tensor:
    """Probabilities, float32 (1 + K, X, Y, Z) with background first, for images, float32 (C, X, Y, Z), of any size.

    Windows of `patch` voxels a side overlap by the share `overlap`; their logits are averaged with Gaussian weights
    before they become probabilities. The network is left in evaluation mode, the result on its device.
    """
    device = next(network.parameters()).device
    network.eval()

    def logits(windows: Tensor) -> Tensor:
        with autocast(precision, device):
            output: Tensor = network(arrange(windows, device))
        return output.float()

    averaged = sliding_window_inference(
        images[None].to(device),
        (patch, patch, patch),
        sw_batch_size=2,
        predictor=logits,
        overlap=overlap,
        mode="gaussian",
    )
    return strategy.probabilities(averaged)[0]
