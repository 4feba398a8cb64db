"""Instance normalisation in slabs against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flairflow.config.models import NetworkSettings
from flairflow.network.architecture import build_network, load_network_weights, network_weights
from flairflow.network.instance_norm import SLAB, SlabInstanceNorm


@pytest.mark.parametrize("shape", [(2, 5, 7, 9, 3), (1, 3, 20, 18, 17)])
@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_values_and_gradients_are_torchs(shape: tuple[int, ...], shift: float) -> None:
    torch.manual_seed(0)
    given = torch.randn(shape, dtype=torch.float64) * 2 + shift
    ours, theirs = SlabInstanceNorm(shape[1], affine=True).double(), nn.InstanceNorm3d(shape[1], affine=True).double()
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    wanted = torch.randn(shape, dtype=torch.float64)
    results = []
    for layer in (ours, theirs):
        volume = given.clone().requires_grad_()
        answer = layer(volume)
        (answer * wanted).sum().backward()  # type: ignore[no-untyped-call]
        results.append((answer, volume.grad, layer.weight.grad, layer.bias.grad))
    for mine, torchs in zip(*results, strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-7, atol=1e-7)


def test_more_voxels_than_a_slab_in_single_precision() -> None:
    """Far from zero, sums in single precision would lose the spread."""
    torch.manual_seed(0)
    given = torch.randn(1, 4, 24, 24, 24) + 100.0
    assert given[0, 0].numel() > 3 * SLAB
    exact = nn.InstanceNorm3d(4, affine=True).double()(given.double())
    torch.testing.assert_close(SlabInstanceNorm(4, affine=True)(given).double(), exact, rtol=1e-4, atol=5e-4)


def test_half_precision_goes_through() -> None:
    given = torch.randn(1, 2, 6, 6, 6).bfloat16().requires_grad_()
    answer = SlabInstanceNorm(2, affine=True)(given)
    assert answer.dtype == torch.bfloat16
    answer.float().square().mean().backward()  # type: ignore[no-untyped-call]
    assert given.grad is not None and torch.isfinite(given.grad).all()


def test_networks_have_it_everywhere_and_weights_fit_both_ways() -> None:
    network = build_network(NetworkSettings(filters=(4, 8, 8), deep_supervision=0), 1, 2).eval()
    norms = [layer for layer in network.modules() if isinstance(layer, nn.InstanceNorm3d)]
    assert norms and all(isinstance(layer, SlabInstanceNorm) for layer in norms)
    from monai.networks.nets import DynUNet

    from flairflow.network.architecture import network_arguments

    plain = DynUNet(**network_arguments(NetworkSettings(filters=(4, 8, 8), deep_supervision=0), 1, 2)).eval()
    load_network_weights(plain, network_weights(network))
    given = torch.randn(1, 1, 16, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(network(given), plain(given), rtol=1e-4, atol=1e-4)
