"""What Lightning drives: the network with its loss, optimiser, data, validation and checkpoint."""

from __future__ import annotations

import csv
import io
import logging
import math
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
from flairflow.network.activation import channels
from flairflow.network.architecture import build_network, load_body, network_weights, supervise
from flairflow.network.device import arrange
from flairflow.paths import CHECKPOINT
from flairflow.training.data.patches import Patches
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.pace import Pace, is_round
from flairflow.training.selection import selection_score, validate, validates
from flairflow.training.strategy import Annotations, Part, Task

log = logging.getLogger(__name__)

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
        part: Part,
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
        start: dict[str, Tensor] | None,
        keep_heads: bool = False,
    ) -> None:
        super().__init__()
        self.part, self.task, self.settings = part, task, settings
        self.validation = [scan for scan in validation if validates(scan.annotated, task)]
        self.work, self.precision_name, self.workers = work, precision, workers
        self.voxel_ml = spacing**3 / 1000.0
        self.patches = Patches(training, task, settings, seed, part.centred_on_filled)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = build_network(settings.network, images, channels(part.activation, len(task.classes)))
        if start is not None:
            load_body(self.network, start, keep_heads)
        self.progress = Progress()
        self.losses: list[Tensor] = []
        self.pace, self.updates_at_start = Pace(), 0

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
        self.pace, self.updates_at_start = Pace(), self.global_step

    def on_train_epoch_start(self) -> None:
        self.network.train()

    def on_train_batch_start(self, *_: object) -> None:
        # A GPU that has work in its queue lacks nothing yet.
        busy = self.device.type == "cuda" and not torch.cuda.current_stream().query()
        self.pace.lap("working" if busy else "waiting")

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        output = self.network(arrange(batch["image"], self.device))
        given = Annotations(batch["bits"], batch["ignore"], batch["annotated"], batch["teacher"])
        target, known, ignored = self.part.targets(given, self.task)
        loss = supervise(output, lambda logits: self.part.loss(logits, target, known, ignored))
        self.losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        self.pace.lap("working")
        if self.global_step == self.updates_at_start + self.pace.updates:
            return  # between the steps of an update
        self.pace.finish_update()
        # Counted from the last validation: a run that goes on from there has the same history as one never stopped.
        every = max(self.settings.validate_every // LOG_LINES_PER_INTERVAL, 1)
        if self.global_step % self.settings.validate_every % every == 0:
            self._note({"loss": self._say_loss(), "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"]})
            self.losses = []
        elif is_round(self.pace.updates):
            self._say_loss()

    def on_train_epoch_end(self) -> None:
        scores = validate(
            self.network,
            self.part.activation,
            self.task,
            self.validation,
            self.settings,
            self.precision_name,
            self.voxel_ml,
        )
        self.pace.finish_validation()
        score, best = selection_score(scores), self.progress.best_score
        # Without a score (no validation scans) the last weights are the best known.
        if math.isnan(score) or best is None or score > best:
            self.progress.best_score = None if math.isnan(score) else score
            self.progress.best_update = self.global_step
            self.progress.best_weights = network_weights(self.network)
        self._note({"score": score} | {f"score_{name}": value for name, value in scores.items()})
        log.info("update %d: validation %s", self.global_step, ", ".join(f"{k} {v:.3f}" for k, v in scores.items()))
        self._write_log()
        with atomic(self.work / CHECKPOINT) as partial:
            self.trainer.save_checkpoint(partial)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["progress"] = asdict(self.progress)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.progress = Progress(**checkpoint["progress"])

    def _say_loss(self) -> float:
        """Log a line and return the mean loss since the history's last row."""
        loss = float(torch.stack(self.losses).mean())
        if not math.isfinite(loss):
            raise RuntimeError(f"the loss is {loss} at update {self.global_step}: try a smaller learning_rate")
        settings, done = self.settings, self.global_step
        pace = self.pace.describe(
            settings.batch * settings.accumulate,
            updates_left=settings.updates - done,
            validations_left=settings.updates // settings.validate_every - (done - 1) // settings.validate_every,
        )
        log.info("update %d of %d: loss %.3f%s", done, settings.updates, loss, pace)
        return loss

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
