"""Memory of one training step and of one predicted pair of windows, against what jobs ask for (`resources`).

    python benchmarks/network_memory.py [FILTERS HEADS PATCH BATCH]...

FILTERS is a list with commas. Without arguments: the laptop's network at 48^3 and 96^3, the paper's at 64^3 and 96^3.
Every measurement has a process of its own; MB are what it holds more than before the network was built. On a CPU.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import torch
from torch.nn.functional import cross_entropy

from flairflow.config.models import NetworkSettings
from flairflow.network.architecture import build_network, supervise
from flairflow.network.device import arrange, autocast, resolve_precision
from flairflow.resources.network_cost import Network, predicting, training

CASES = [
    ("16,32,64,96", "1", "48", "2"),
    ("16,32,64,96", "1", "96", "2"),
    ("32,64,128,256,320,320", "3", "64", "1"),
    ("32,64,128,256,320,320", "3", "96", "1"),
]
CHANNELS, WINDOWS = 3, 2


def main() -> None:
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("train", "predict"):
        measure(arguments[0], *arguments[1:])
        return
    cases = [tuple(arguments[i : i + 4]) for i in range(0, len(arguments), 4)] or CASES
    print(f"{'':8} {'filters':24} heads patch batch precision   MB used  by formula", flush=True)
    for case in cases:
        for what in ("train", "predict"):
            subprocess.run([sys.executable, __file__, what, *case], check=True)


def measure(what: str, filters: str, heads: str, patch: str, batch: str) -> None:
    levels, edge = tuple(map(int, filters.split(","))), int(patch)
    plan = Network(levels, int(heads), 1, CHANNELS, edge, 0.5)
    device, before = torch.device("cpu"), peak_mb()
    precision = resolve_precision("auto", device)
    settings = NetworkSettings(filters=levels, deep_supervision=int(heads))
    network = arrange(build_network(settings, 1, CHANNELS), device)
    count = int(batch) if what == "train" else WINDOWS
    images = arrange(torch.randn(count, 1, edge, edge, edge), device)
    if what == "train":
        optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        target = torch.randint(0, CHANNELS, (count, edge, edge, edge))
        with autocast(precision, device):
            loss = supervise(network(images), lambda logits: cross_entropy(logits.float(), target))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        asked = training(plan, count, 0, 0, 0)[0]
    else:
        network.eval()
        with torch.inference_mode(), autocast(precision, device):
            network(images).float()
        asked = predicting([plan], 0)[0]
    used = peak_mb() - before
    print(
        f"{what:8} {filters:24} {heads:>5} {patch:>5} {count:>5} {precision:>9} {used:9.0f} {asked / 1e6:11.0f}",
        flush=True,
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
