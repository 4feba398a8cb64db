"""The training loop of the models in the box: drawn examples without end, averaged weights, checkpoints."""

from __future__ import annotations

import csv
import io
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from flairflow.files import atomic, write_text
from flairflow.network.device import autocast, choose_device, resolve_precision

log = logging.getLogger(__name__)

# Averaged weights see some this many updates.
AVERAGED = 300
EVERY = 50  # updates between lines of the log


@dataclass(frozen=True)
class Recipe:
    """How long and how fast. The rate falls to 0 over the last `falling` share of the updates; `minutes` between
    checkpoints; `batch` items are drawn for an update."""

    updates: int
    rate: float = 1e-3
    batch: int = 1
    falling: float = 0.3
    decay: float = 1e-4
    minutes: float = 3.0
    seed: int = 0
    workers: int = 1


def learn(
    network: nn.Module,
    examples: Dataset[tuple[Tensor, ...]],
    loss: Callable[[nn.Module, tuple[Tensor, ...]], Tensor],
    recipe: Recipe,
    work: Path,
) -> dict[str, Tensor]:
    """Train a network on `examples`, whose i-th item is the same whenever it is drawn; its averaged weights.

    A run that was killed goes on from `work`/last.ckpt, written every few minutes, with the examples that it had not
    seen; a longer one goes on from a shorter one. `work`/log.csv has the loss. Lists of patches in an item are used one
    after the other, each as an update.
    """
    device = choose_device()
    precision = resolve_precision("auto", device)
    network.to(device).train()
    average = {name: tensor.detach().clone().float() for name, tensor in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    done, lines = _resume(work, network, optimiser, average, device)
    kept, losses = time.monotonic(), []
    for batch in _batches(examples, recipe, done):
        for group in optimiser.param_groups:
            group["lr"] = _rate(done, recipe)
        with autocast(precision, device):
            error = loss(network, tuple(part.to(device) for part in batch))
        optimiser.zero_grad(set_to_none=True)
        error.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if torch.isfinite(norm):
            optimiser.step()
        done += 1
        share = max(1.0 / AVERAGED, 1.0 / (done + 1))
        with torch.no_grad():
            for name, tensor in network.state_dict().items():
                average[name].lerp_(tensor.float(), share)
        losses.append(float(error.detach()))
        if done % EVERY == 0:
            lines.append({"update": done, "loss": round(float(np.mean(losses)), 5)})
            log.info("update %d of %d: loss %.4f", done, recipe.updates, lines[-1]["loss"])
            losses = []
        if time.monotonic() - kept > 60 * recipe.minutes or done == recipe.updates:
            _keep(work, network, optimiser, average, done, lines)
            kept = time.monotonic()
    return {name: tensor.cpu() for name, tensor in average.items()}


def _rate(done: int, recipe: Recipe) -> float:
    warm = min((done + 1) / 50, 1.0)
    left = (recipe.updates - done) / max(recipe.falling * recipe.updates, 1.0)
    return recipe.rate * min(warm, left, 1.0)


def _batches(examples: Dataset[tuple[Tensor, ...]], recipe: Recipe, done: int) -> Iterator[tuple[Tensor, ...]]:
    """Batches for the updates that are left. An item is a tuple of tensors (patches, ...): each patch is seen once."""
    patches = examples[0][0].shape[0]
    first, last = done * recipe.batch // patches, -(-recipe.updates * recipe.batch // patches)
    loader = DataLoader(
        examples,
        batch_size=None,
        sampler=range(first, last),
        num_workers=recipe.workers,
        prefetch_factor=4 if recipe.workers else None,
        worker_init_fn=_single_thread,
    )
    waiting: list[tuple[Tensor, ...]] = []
    generator = np.random.default_rng([recipe.seed, done])
    for item in loader:
        waiting += list(zip(*item, strict=True))
        # Patches of one head do not follow each other.
        while len(waiting) >= max(8 * patches, recipe.batch):
            yield _taken(waiting, recipe.batch, generator)
    while len(waiting) >= recipe.batch:
        yield _taken(waiting, recipe.batch, generator)


def _taken(waiting: list[tuple[Tensor, ...]], count: int, generator: np.random.Generator) -> tuple[Tensor, ...]:
    taken = [waiting.pop(int(generator.integers(len(waiting)))) for _ in range(count)]
    return tuple(torch.stack(parts) for parts in zip(*taken, strict=True))


def _single_thread(number: int) -> None:
    torch.set_num_threads(1)


def _keep(
    work: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    done: int,
    lines: list[dict[str, float]],
) -> None:
    work.mkdir(parents=True, exist_ok=True)
    state = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average,
        "done": done,
        "lines": lines,
    }
    with atomic(work / "last.ckpt") as partial:
        torch.save(state, partial)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["update", "loss"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(work / "log.csv", text.getvalue())


def _resume(
    work: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    device: torch.device,
) -> tuple[int, list[dict[str, float]]]:
    if not (work / "last.ckpt").exists():
        return 0, []
    state = torch.load(work / "last.ckpt", map_location=device, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    average.update(state["average"])
    log.info("going on after update %d", state["done"])
    return int(state["done"]), list(state["lines"])
