"""The network: MONAI's DynUNet as in Phitidis et al. 2026, the weights of it, and its supervised heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from flairflow.config.models import NetworkSettings
from flairflow.network.instance_norm import normalise_in_slabs

# DynUNet's names of the layers that give logits.
HEADS = ("output_block.", "deep_supervision_heads.")


def build_network(settings: NetworkSettings, images: int, channels: int) -> nn.Module:
    """A residual 3D DynUNet: `images` sequences in, `channels` logits out, a level per entry of `settings.filters`.

    In training its output is (B, 1 + deep_supervision, channels, X, Y, Z), the full head first and the others brought
    to its size; in evaluation (B, channels, X, Y, Z).
    """
    network: nn.Module = DynUNet(**network_arguments(settings, images, channels))
    normalise_in_slabs(network)
    return network


def network_arguments(settings: NetworkSettings, images: int, channels: int) -> dict[str, Any]:
    """The arguments of MONAI's DynUNet for `build_network`, as plain values."""
    levels = len(settings.filters)
    return {
        "spatial_dims": 3,
        "in_channels": images,
        "out_channels": channels,
        "kernel_size": [3] * levels,
        "strides": [1] + [2] * (levels - 1),
        "upsample_kernel_size": [2] * (levels - 1),
        "filters": list(settings.filters),
        "norm_name": ["INSTANCE", {"affine": True}],
        "res_block": True,
        "deep_supervision": settings.deep_supervision > 0,
        "deep_supr_num": max(settings.deep_supervision, 1),
    }


def supervise(output: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean of `loss` over the heads of a training output, with weights 1, 1/2, 1/4, ... (normalised to sum 1)."""
    heads = output.unbind(1) if output.dim() == 6 else (output,)
    weights = [0.5**i for i in range(len(heads))]
    losses = [weight / sum(weights) * loss(head) for weight, head in zip(weights, heads, strict=True)]
    return torch.stack(losses).sum()


def network_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights on the CPU, each once: DynUNet lists its blocks a second time under `skip_layers`."""
    return {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in network.state_dict().items()
        if not name.startswith("skip_layers.")
    }


def load_body(network: nn.Module, weights: dict[str, Tensor], heads: bool = False) -> None:
    """Put `network_weights` into a network that has other output heads, which stay as they are; with `heads` into one
    that gives the same, which may have more or fewer deep heads. Raises RuntimeError where the rest does not fit."""
    own = {name: tensor for name, tensor in network_weights(network).items() if name.startswith(HEADS)}
    taken = {name: tensor for name, tensor in weights.items() if not name.startswith(HEADS) or (heads and name in own)}
    load_network_weights(network, own | taken)


def load_network_weights(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put `network_weights` into a network of the same shape. Raises RuntimeError where they do not fit."""
    outcome = network.load_state_dict(weights, strict=False)
    missing = [name for name in outcome.missing_keys if not name.startswith("skip_layers.")]
    if missing or outcome.unexpected_keys:
        raise RuntimeError(f"weights do not fit the network: missing {missing}, unexpected {outcome.unexpected_keys}")
