"""Instance normalisation for channels-last volumes on the CPU, slab by slab: torch's own copies them out and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# Voxels at a time: a slab of them stays in the cache between its sum and its sum of squares.
SLAB = 4096


def normalise_in_slabs(network: nn.Module) -> None:
    """Put `SlabInstanceNorm` in the place of every affine `InstanceNorm3d` of a network; the weights stay."""
    for name, layer in network.named_children():
        if type(layer) is nn.InstanceNorm3d and layer.affine and not layer.track_running_stats:
            replacement = SlabInstanceNorm(layer.num_features, eps=layer.eps, affine=True)
            replacement.weight, replacement.bias = layer.weight, layer.bias
            setattr(network, name, replacement)
        else:
            normalise_in_slabs(layer)


class SlabInstanceNorm(nn.InstanceNorm3d):
    """`torch.nn.InstanceNorm3d` with another way of computing it where a volume lies on the CPU.

    With AVX2 alone a forward pass takes some 0.9 of the time, and so does an update (benchmarks/network_speed.py).
    Sums of slabs are added up in float64.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.is_cuda:
            return super().forward(input)
        volume = input.contiguous(memory_format=torch.channels_last_3d)
        normalised: Tensor = _Normalise.apply(volume, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        return normalised


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, volume: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        voxels = _voxels(volume)
        count = voxels.shape[1]
        kind = torch.float64 if volume.dtype == torch.float64 else torch.float32
        # Sums of squares lose the spread of values far from zero: they are taken about a first guess of the mean.
        guess = voxels[:, :SLAB].to(kind).mean(1)
        total, squares = _sums(None, voxels, guess)
        off = total / count
        mean = guess + off
        rate = ((squares / count - off * off).clamp_(min=0) + eps).rsqrt()
        scale, shift = (rate * weight).to(kind), (bias - mean * rate * weight).to(kind)
        result = torch.empty_like(volume)
        places = _voxels(result)
        for start in range(0, count, SLAB):
            part = slice(start, start + SLAB)
            places[:, part] = torch.addcmul(shift[:, None], voxels[:, part].to(kind), scale[:, None])
        ctx.save_for_backward(volume, weight, mean, rate)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        volume, weight, mean, rate = ctx.saved_tensors
        voxels = _voxels(volume)
        slopes = _voxels(gradients[0].contiguous(memory_format=torch.channels_last_3d))
        count = voxels.shape[1]
        kind = torch.float64 if volume.dtype == torch.float64 else torch.float32
        total, products = _sums(slopes, voxels, mean.to(kind))
        # Of the normalised volume: sum of slope times value.
        along = products * rate
        # weight * rate * (slope - mean slope - value * mean of slope times value)
        factor = rate * weight
        of_value = -factor * rate * along / count
        constant = (-factor * total / count - of_value * mean).to(kind)
        factor, of_value = factor.to(kind), of_value.to(kind)
        result = torch.empty_like(volume)
        places = _voxels(result)
        for start in range(0, count, SLAB):
            part = slice(start, start + SLAB)
            by_value = torch.addcmul(constant[:, None], voxels[:, part].to(kind), of_value[:, None])
            places[:, part] = by_value.addcmul_(slopes[:, part].to(kind), factor[:, None])
        return result, along.sum(0).to(weight.dtype), total.sum(0).to(weight.dtype), None


def _voxels(volume: Tensor) -> Tensor:
    """A view (B, X * Y * Z, C) of a channels-last volume (B, C, X, Y, Z)."""
    return volume.permute(0, 2, 3, 4, 1).reshape(volume.shape[0], -1, volume.shape[1])


def _sums(slopes: Tensor | None, voxels: Tensor, about: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the slopes, and of their products with the voxels less `about` (B, C): float64 (B, C). Without slopes the
    voxels less `about` take their place."""
    total = torch.zeros(about.shape, dtype=torch.float64)
    products = torch.zeros_like(total)
    for start in range(0, voxels.shape[1], SLAB):
        value = voxels[:, start : start + SLAB].to(about.dtype) - about[:, None]
        slope = value if slopes is None else slopes[:, start : start + SLAB].to(about.dtype)
        total += slope.sum(1)
        products += (slope * value).sum(1)
    return total, products
