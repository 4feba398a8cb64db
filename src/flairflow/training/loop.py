"""Training one network, by Lightning. The same for every strategy; resumes from where it was killed."""

from __future__ import annotations

import logging
import shutil
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import Tensor

from flairflow.config.models import PreprocessingSettings, TrainingSettings
from flairflow.errors import ConfigError
from flairflow.files import remove_partial, write_text
from flairflow.network.device import choose_device, device_name, resolve_precision, share_threads
from flairflow.network.model import Model
from flairflow.network.plan import Init, Plan, Record
from flairflow.paths import CHECKPOINT
from flairflow.training.budget import with_budget
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.learner import Learner
from flairflow.training.strategy import Part, Task

log = logging.getLogger(__name__)

TENSORBOARD = "tensorboard"


def train(
    entry: str,
    name: str,
    part: Part,
    labels: Sequence[str],
    precedence: Sequence[str],
    images: Sequence[str],
    preprocessing: PreprocessingSettings,
    settings: TrainingSettings,
    seed: int,
    training: Sequence[PreparedScan],
    validation: Sequence[PreparedScan],
    work: Path,
    fingerprint: str,
    threads: int,
    budget: int = 1,
    start: dict[str, Tensor] | None = None,
    updates_before: int = 0,
    init: Init | None = None,
) -> Model:
    """Train one network of an entry, its part `name`, and return the best of its checkpoints.

    Training scans that the part does not learn from are left out; validation scans count where they are annotated.
    preprocessing : how the scans were prepared: goes into the plan, so that others can be prepared alike.
    work          : a folder for `last.ckpt` (written at each validation; a killed run goes on from it and ends with
                    the same weights), `log.csv` and a TensorBoard log.
    fingerprint   : stands for settings, scans and seed; what a run with another one left in `work` is discarded.
    threads       : cores for torch and the loader's workers together.
    budget        : how many times the configured updates it gets (`training.budget`).
    start         : the weights of a network like it that it goes on from, but for the output heads. The optimiser is
                    built after.
    init          : the model of other data that `start` is of, if it is: its heads are taken over where it says so.
    updates_before: what was spent on `start` and on teachers: goes into the record.
    Raises ConfigError when no training scan is left.
    """
    task = Task(tuple(labels), tuple(precedence), part.classes)
    learnt = [scan for scan in training if part.learns_from(scan.annotated, task)]
    if not learnt:
        raise ConfigError(
            f"strategies: {entry} ({name}) can learn from none of the {len(training)} training scans: "
            f"none has the masks it needs ({', '.join(task.classes)})"
        )
    for label in task.class_labels:
        if not any(label in scan.annotated for scan in learnt):
            raise ConfigError(
                f"labels: {label} is annotated in no training scan, so nothing tells it from background; "
                "give a dataset that has it, or leave it out of 'labels'"
            )
    _start_anew_unless_same(work, fingerprint)
    settings = with_budget(settings, len(learnt), budget, part.share_of_epochs)
    device = choose_device()
    precision = resolve_precision(settings.precision, device)
    workers = share_threads(threads, device)
    learner = Learner(
        part,
        task,
        settings,
        seed,
        learnt,
        validation,
        len(images),
        preprocessing.spacing,
        work,
        precision,
        workers,
        start,
        keep_heads=init is not None and init.heads,
    )
    last = work / CHECKPOINT
    log.info(
        "%s %s (%s, seed %d): %d training scans, %d to validate on every %d updates; %.3g million weights; "
        "%d patches of %d^3 voxels an update; %s, precision %s, %d loader workers",
        "resuming" if last.exists() else "training",
        entry,
        name,
        seed,
        len(learnt),
        len(learner.validation),
        settings.validate_every,
        sum(weights.numel() for weights in learner.network.parameters()) / 1e6,
        settings.batch * settings.accumulate,
        settings.patch,
        device_name(device),
        precision,
        workers,
    )
    with warnings.catch_warnings():
        # Lightning suggests more workers than the rule has threads for, and explains its own internals.
        warnings.simplefilter("ignore")
        _trainer(settings, work, device, precision).fit(
            learner, ckpt_path=last if last.exists() else None, weights_only=True
        )
    plan = Plan(
        strategy=entry,
        part=name,
        labels=task.labels,
        precedence=task.precedence,
        classes=tuple(task.classes),
        activation=part.activation,
        images=tuple(images),
        preprocessing=preprocessing,
        network=settings.network,
        patch=settings.patch,
        overlap=settings.overlap,
    )
    progress = learner.progress
    record = Record(
        seed=seed,
        updates=settings.updates,
        updates_before=updates_before,
        init=init,
        best_update=progress.best_update,
        best_score=progress.best_score,
        history=tuple(progress.history),
        training_scans=len(learnt),
        validation_scans=len(learner.validation),
        annotated={label: sum(label in scan.annotated for scan in learnt) for label in task.labels},
        inputs=fingerprint,
        precision=precision,
        versions={name: version(name) for name in ("flairflow", "torch", "monai", "lightning")},
    )
    return Model(progress.best_weights, plan, record)


def _start_anew_unless_same(work: Path, fingerprint: str) -> None:
    remove_partial(work / CHECKPOINT)
    mark = work / "fingerprint.txt"
    if not mark.exists() or mark.read_text(encoding="utf-8") != fingerprint:
        (work / CHECKPOINT).unlink(missing_ok=True)
        shutil.rmtree(work / TENSORBOARD, ignore_errors=True)
        write_text(mark, fingerprint)


def _trainer(settings: TrainingSettings, work: Path, device: torch.device, precision: str) -> pl.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        # Else Lightning reads the SLURM variables of the job it is in and takes over its signals.
        plugins=[LightningEnvironment()],
        precision={"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[precision],
        # One Lightning epoch is one validation interval.
        max_epochs=settings.updates // settings.validate_every,
        reload_dataloaders_every_n_epochs=1,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip,
        benchmark=device.type == "cuda",
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        logger=TensorBoardLogger(work, name=TENSORBOARD, version=""),
        default_root_dir=work,
    )
