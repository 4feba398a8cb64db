"""What Lightning drives: the network with its loss, optimiser, data, validation and checkpoint."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from flairflow.config.models import TrainingSettings
from flairflow.files import atomic, write_text
from flairflow.paths import CHECKPOINT
from flairflow.training.device import arrange
from flairflow.training.network import build_network, network_weights, supervise
from flairflow.training.patches import Patches
from flairflow.training.scans import PreparedScan
from flairflow.training.selection import selection_score, validate
from flairflow.training.strategies import Strategy, Task

log = logging.getLogger(__name__)

LAST = CHECKPOINT
LOG_LINES_PER_INTERVAL = 5


@dataclass
class Progress:
    """What a killed run must not lose beside weights and optimiser. Plain values: it is part of `last.ckpt`."""

    best_update: int = 0
    best_score: float | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


class Learner(pl.LightningModule):  # type: ignore[misc]
    def __init__(
        self,
        strategy: Strategy,
        task: Task,
        settings: TrainingSettings,
        seed: int,
        training: Sequence[PreparedScan],
        validation: Sequence[PreparedScan],
        images: int,
        spacing: float,
        work: Path,
        precision: str,
        workers: int,
    ) -> None:
        super().__init__()
        self.strategy, self.task, self.settings = strategy, task, settings
        self.validation = [scan for scan in validation if set(scan.annotated) & set(task.classes)]
        self.work, self.precision_name, self.workers = work, precision, workers
        self.voxel_ml = spacing**3 / 1000.0
        self.patches = Patches(training, task.labels, settings, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = build_network(settings.network, images, strategy.channels(task))
        self.progress = Progress()
        self.losses: list[Tensor] = []
        self.started = time.monotonic()
        self.updates_at_start = 0

    def configure_optimizers(self) -> dict[str, Any]:
        settings = self.settings
        optimiser = torch.optim.SGD(
            self.network.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            weight_decay=settings.weight_decay,
        )
        decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda update: (1 - update / settings.updates) ** 0.9)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": decay, "interval": "step"}}

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The patches of the next validation interval: they follow from the updates done, not from what ran before."""
        per_update = self.settings.batch * self.settings.accumulate
        return DataLoader(
            self.patches.window(self.global_step * per_update, self.settings.validate_every * per_update),
            batch_size=self.settings.batch,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
        )

    def on_fit_start(self) -> None:
        arrange(self.network, self.device)

    def on_train_start(self) -> None:
        self.started, self.updates_at_start = time.monotonic(), self.global_step

    def on_train_epoch_start(self) -> None:
        self.network.train()

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        output = self.network(arrange(batch["image"], self.device))
        target, known, ignored = self.strategy.targets(batch["bits"], batch["ignore"], batch["annotated"], self.task)
        loss = supervise(output, lambda logits: self.strategy.loss(logits, target, known, ignored))
        self.losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        every = max(self.settings.validate_every // LOG_LINES_PER_INTERVAL, 1)
        if self.losses and self.global_step % every == 0 and len(self.losses) >= self.settings.accumulate:
            self._log_losses()

    def on_train_epoch_end(self) -> None:
        scores = validate(
            self.network,
            self.strategy,
            self.task,
            self.validation,
            self.settings,
            self.precision_name,
            self.voxel_ml,
        )
        score, best = selection_score(scores), self.progress.best_score
        # Without a score (no validation scans) the last weights are the best known.
        if math.isnan(score) or best is None or score > best:
            self.progress.best_score = None if math.isnan(score) else score
            self.progress.best_update = self.global_step
            self.progress.best_weights = network_weights(self.network)
        self._note({"score": score} | {f"score_{name}": value for name, value in scores.items()})
        log.info("update %d: validation %s", self.global_step, ", ".join(f"{k} {v:.3f}" for k, v in scores.items()))
        self._write_log()
        with atomic(self.work / LAST) as partial:
            self.trainer.save_checkpoint(partial)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["progress"] = asdict(self.progress)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.progress = Progress(**checkpoint["progress"])

    def _log_losses(self) -> None:
        loss = float(torch.stack(self.losses).mean())
        if not math.isfinite(loss):
            raise RuntimeError(f"the loss is {loss} at update {self.global_step}: try a smaller learning_rate")
        self.losses = []
        done = self.global_step - self.updates_at_start
        speed = done / (time.monotonic() - self.started)
        log.info(
            "update %d of %d: loss %.3f, %.1f samples/s, %.0f s left",
            self.global_step,
            self.settings.updates,
            loss,
            speed * self.settings.batch * self.settings.accumulate,
            (self.settings.updates - self.global_step) / speed,
        )
        self._note({"loss": loss, "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"]})

    def _note(self, values: dict[str, float]) -> None:
        values = {name: value for name, value in values.items() if not math.isnan(value)}
        history = self.progress.history
        if history and history[-1]["update"] == self.global_step:
            history[-1].update(values)
        else:
            history.append({"update": self.global_step, **values})
        self.logger.log_metrics(values, step=self.global_step)

    def _write_log(self) -> None:
        history = self.progress.history
        columns = list(dict.fromkeys(name for row in history for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_text(self.work / "log.csv", text.getvalue())
