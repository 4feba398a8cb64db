"""The network's supervised heads."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from flairflow.config.models import NetworkSettings
from flairflow.network.architecture import build_network


def test_heads_come_from_ever_coarser_levels() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSettings(filters=(4, 8, 8, 8, 8), deep_supervision=3), 1, 3)
    image = torch.randn(2, 1, 32, 32, 32)
    output = network(image)
    assert output.shape == (2, 4, 3, 32, 32, 32)
    for depth, head in enumerate(output.unbind(1)):
        # A head of level n has a value per block of 2^n voxels a side, and no fewer.
        for size, constant in ((2**depth, True), (2 ** (depth + 1), False)):
            blocks = F.interpolate(F.avg_pool3d(head, size), scale_factor=size)
            assert torch.allclose(blocks, head, atol=1e-5) == constant, (depth, size)
    assert torch.allclose(network.eval()(image), output[:, 0], atol=1e-5), "segmenting uses the full head"


def test_every_head_trains_its_level() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSettings(filters=(4, 8, 8, 8), deep_supervision=2), 1, 2)
    heads = network(torch.randn(1, 1, 16, 16, 16)).unbind(1)
    without_full_head = torch.stack([head.square().mean() for head in heads[1:]]).sum()
    without_full_head.backward()  # type: ignore[no-untyped-call]
    trained = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert {"deep_supervision_heads.0.conv.conv.weight", "deep_supervision_heads.1.conv.conv.weight"} <= trained
    assert not any(name.startswith("output_block") for name in trained)
