"""What an update and a forward pass of a network cost, by memory layout and way of normalising, side by side.

    python benchmarks/network_speed.py [--filters 16 32 64 128 160] [--patch 80] [--precision 32 bf16]

CPU seconds of one thread, the least of three. As on a processor with AVX2 alone:
ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python benchmarks/network_speed.py
"""

from __future__ import annotations

import argparse
import os
import platform
import time

import torch
from monai.networks.nets import DynUNet

from flairflow.config.models import NetworkSettings
from flairflow.network.architecture import network_arguments
from flairflow.network.device import autocast
from flairflow.network.instance_norm import normalise_in_slabs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 32, 64, 128, 160])
    parser.add_argument("--patch", type=int, default=80)
    parser.add_argument("--precision", nargs="+", default=["32"], choices=["32", "bf16"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "all that the processor has")
    print(f"{platform.machine()}, instructions: {isa}, {time.strftime('%Y-%m-%d')}")
    print(f"{'precision':9} {'layout':13} {'norm':6} {'forward s':>9} {'update s':>9} {'loss':>12}")
    for precision in given.precision:
        for layout in ("contiguous", "channels-last"):
            for norm in ("torch", "slabs"):
                forward, update, loss = cost(tuple(given.filters), given.patch, precision, layout, norm)
                print(f"{precision:9} {layout:13} {norm:6} {forward:9.2f} {update:9.2f} {loss:12.6f}")


def cost(filters: tuple[int, ...], patch: int, precision: str, layout: str, norm: str) -> tuple[float, float, float]:
    """CPU seconds of a forward pass and of an update, and the loss, the same for all but for its last digits."""
    torch.manual_seed(0)
    network = DynUNet(**network_arguments(NetworkSettings(filters=filters, deep_supervision=1), 1, 3))
    images = torch.randn(1, 1, patch, patch, patch)
    if norm == "slabs":
        normalise_in_slabs(network)
    if layout == "channels-last":
        network = network.to(memory_format=torch.channels_last_3d)
        images = images.contiguous(memory_format=torch.channels_last_3d)
    best = (float("inf"), float("inf"))
    for _ in range(3):
        network.zero_grad()
        began = time.process_time()
        with autocast(precision, torch.device("cpu")):
            answer = network(images)
        done = time.process_time()
        loss = answer.float().square().mean()
        loss.backward()
        ended = time.process_time()
        best = min(best[0], done - began), min(best[1], ended - began)
    return *best, float(loss.detach())


if __name__ == "__main__":
    main()
