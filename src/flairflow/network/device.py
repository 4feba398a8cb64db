"""What the machine can do: device, precision, threads."""

from __future__ import annotations

import logging
from typing import TypeVar

import torch
from torch import Tensor, nn

from flairflow.errors import ConfigError

log = logging.getLogger(__name__)

# What `resolve_precision` resolves to.
PRECISIONS = ("32", "bf16", "16")
Movable = TypeVar("Movable", Tensor, nn.Module)


def choose_device(wanted: str = "auto") -> torch.device:
    """The device of this name; with "auto" a GPU where there is one. Raises ConfigError where torch has none such."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"{wanted}: torch finds {torch.cuda.device_count()} GPUs here; choose another device")
    return device


def device_name(device: torch.device) -> str:
    """The device for people: a GPU by its name, a CPU with the threads torch uses."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({torch.get_num_threads()} threads)"


def resolve_precision(wanted: str, device: torch.device) -> str:
    """The configured precision ("auto", "32", "bf16", "16") as "32", "bf16" or "16" for this device.

    "auto" is bf16 where the hardware computes in it and 32 elsewhere: on a CPU with avx512_bf16 an update of the laptop
    network takes 0.12 s against 0.27 s, on one without it bf16 is emulated and slower. "16" needs CUDA.
    """
    if wanted == "16" and device.type != "cuda":
        log.info("precision 16 needs a GPU; using the automatic choice instead")
        wanted = "auto"
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "32"


def precision_name(precision: str) -> str:
    """A resolved precision as people call it: fp32, bf16 or fp16."""
    return precision if precision.startswith("bf") else f"fp{precision}"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context for a forward pass in a resolved precision."""
    kind = torch.float16 if precision == "16" else torch.bfloat16
    return torch.autocast(device.type, kind, enabled=precision != "32")


def arrange(thing: Movable, device: torch.device) -> Movable:
    """A network or a batch (B, C, X, Y, Z) on the device, in the memory layout that is fast there."""
    # oneDNN convolves channels-last volumes in bf16 1.5 times faster; with CUDA the usual layout is the safe choice.
    layout = torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format
    moved: Movable = thing.to(device, memory_format=layout)  # type: ignore[call-overload]
    return moved


def share_threads(threads: int, device: torch.device) -> int:
    """Give torch its part of `threads` and return the number of loader workers that the rest is for."""
    workers = max(threads - 1, 0) if device.type == "cuda" else max((threads - 1) // 4, 0)
    torch.set_num_threads(max(threads - workers, 1))
    return workers
