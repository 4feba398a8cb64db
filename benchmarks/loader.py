"""How many patches a second the loader gives, and how long training waits for them.

    python benchmarks/loader.py [--threads N] [--repeats N] [--quick]

1. Patches/s of flairflow's `Patches`, of MONAI's `CacheDataset` and of TorchIO's `Queue`, for the same scans, patch
   sizes, shares of labels and workers, without augmentation and with flairflow's on each patch (TorchIO's queue hands
   patches out in the main process, so they are augmented there). Each has a process of its own, and they take turns.
   `memory` is what that process alone holds more than before it made its dataset, `start` the time to its first batch.
2. Updates/s of `flairflow.training.loop.train` and the share of the time it waits for patches: the preset `laptop`
   with all augmentation, the demonstration's and none, and with other numbers of torch threads and loader workers; with
   a GPU the preset `paper` at 160^3, bf16 against fp16, and the memory it takes.

The scans are smooth random fields with blobs of two labels, of the size and file types that `preprocess` writes.
Rates are medians over the repeats, with the lowest and highest; compare those of one run only.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import yaml
from monai.data import CacheDataset, list_data_collate, set_track_meta
from monai.transforms import (
    ClassesToIndicesd,
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandCropByLabelClassesd,
    SpatialPadd,
)
from torch import Tensor
from torch.utils.data import DataLoader
from torchio import LabelMap, LabelSampler, Pad, Queue, ScalarImage, Subject, SubjectsDataset

from flairflow.config.load import preset_values
from flairflow.config.models import AugmentationSettings, PreprocessingSettings, TrainingSettings
from flairflow.images.grid import Grid, Image
from flairflow.images.nifti import write_image
from flairflow.network.device import choose_device, device_name, share_threads
from flairflow.preprocessing.prepare import INTENSITY_STEP, standardise
from flairflow.simulation.fields import smooth_noise
from flairflow.training import loop
from flairflow.training.data.augmentation import Augmentation
from flairflow.training.data.patches import Patches, shape_of
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.learner import Learner
from flairflow.training.strategies import strategy
from flairflow.training.strategy import Task, one_class_each

REPOSITORY = Path(__file__).resolve().parents[1]
LABELS = ("first", "second")
STRATEGY = "marginal"
BRAIN_MM = (150, 190, 150)
# Of each volume the TorchIO queue takes as many patches as the paper's did.
PATCHES_PER_VOLUME = 2
OFF = AugmentationSettings(**dict.fromkeys(AugmentationSettings.model_fields, 0.0))


@dataclass
class Source:
    """A dataset whose patches `change` augments, and how to start a pass over its batches with a number of workers."""

    change: Change | Patches
    batches: Callable[[int], Iterable[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few scans and updates: to see that it runs")
    arguments = parser.parse_args()
    # As the command line does, for the processes started from here.
    os.environ.update(OMP_NUM_THREADS=str(arguments.threads), OMP_WAIT_POLICY="PASSIVE")
    device = choose_device()
    torch.set_num_threads(arguments.threads)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {device_name(device)}, Python {platform.python_version()},",
        end="",
    )
    print(f" torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}, load {os.getloadavg()[0]:.1f} before", flush=True)
    with tempfile.TemporaryDirectory() as name:
        small = make_scans(Path(name) / "small", 16 if arguments.quick else 40, 2.0)
        large = make_scans(Path(name) / "large", 6 if arguments.quick else 12, 1.0)
        compare_loaders(small, preset_settings("laptop"), arguments.repeats)
        compare_loaders(large, preset_settings("paper"), arguments.repeats)
        compare_trainings(small, laptop_runs(arguments.threads, 20 if arguments.quick else 60), arguments.repeats)
        if device.type == "cuda":
            compare_trainings(large, paper_runs(arguments.threads), arguments.repeats)
        else:
            print("paper at 160^3, bf16 against fp16: not run, there is no GPU")
    print(f"load {os.getloadavg()[0]:.1f} after")


def make_scans(folder: Path, count: int, spacing: float) -> list[PreparedScan]:
    """Scans as `preprocess` writes them (int16 z-scores, uint8 masks), and beside them `classes.nii` for the others:
    0 outside the brain, 1 brain, 2 and 3 the labels."""
    shape = tuple(round(extent / spacing) for extent in BRAIN_MM)
    grid = Grid((shape[0], shape[1], shape[2]), np.diag([spacing, spacing, spacing, 1.0]))
    axes = np.meshgrid(*(np.linspace(-1.0, 1.0, size) for size in shape), indexing="ij")
    brain = np.sum([axis**2 for axis in axes], axis=0) < 0.97
    scans = []
    for number in range(count):
        generator = np.random.default_rng(number)
        signal = smooth_noise(generator, grid, 12.0) + generator.normal(size=shape).astype(np.float32) / 2
        first, second = (smooth_noise(generator, grid, length) > least for length, least in ((8.0, 2.5), (25.0, 2.2)))
        bits = (first + 2 * second).astype(np.uint8) * brain
        place = folder / f"scan{number}"
        write_image(place / "image.nii", Image(standardise(signal, brain), grid.affine), slope=INTENSITY_STEP)
        write_image(place / "brain.nii", Image(brain, grid.affine))
        write_image(place / "bits.nii", Image(bits, grid.affine))
        classes = np.where(bits > 1, 3, bits + brain).astype(np.uint8)
        write_image(place / "classes.nii", Image(classes, grid.affine))
        files = ((place / "image.nii",), place / "brain.nii", place / "bits.nii")
        scans.append(PreparedScan(place.name, *files, None, LABELS))
    return scans


def preset_settings(preset: str) -> TrainingSettings:
    """The training settings of a preset."""
    return TrainingSettings(**preset_values(preset)["training"])


def compare_loaders(scans: list[PreparedScan], settings: TrainingSettings, repeats: int) -> None:
    """Print patches/s, memory and start of each loader, without a worker and with one."""
    # Whole passes of the queue, so that none of its patches is left over for the next repeat.
    count = len(scans) * PATCHES_PER_VOLUME * (4 if settings.patch < 100 else 1)
    shape = " x ".join(map(str, shape_of(scans[0])))
    print(f"\nPatches of {settings.patch}^3 from {len(scans)} scans of {shape} voxels, {count} a repeat")
    print(f"{'workers':>7} {'loader':20} {'no augmentation, /s':>23} {'all augmentation, /s':>23}", end="")
    print(f" {'memory MB':>10} {'start s':>8}", flush=True)
    servers = {make.__name__: Server(serve_patches, make, scans, settings) for make in MAKERS}
    facts = {name: server.answer() for name, server in servers.items()}
    rates: dict[tuple[int, str, bool], list[float]] = {
        (workers, name, on): [] for workers in (0, 1) for name in servers for on in (False, True)
    }
    for _ in range(repeats):
        for workers, name, on in rates:
            rates[workers, name, on].append(count / servers[name].ask((workers, on, count)))
    for server in servers.values():
        server.end()
    for workers, name in itertools.product((0, 1), servers):
        off, on = (spread(rates[workers, name, on]) for on in (False, True))
        memory, start = facts[name]
        print(f"{workers:7} {name:20} {off:>23} {on:>23} {memory / 1e6:10.0f} {start:8.2f}", flush=True)


def flairflow_patches(scans: list[PreparedScan], settings: TrainingSettings) -> Source:
    task = Task(LABELS, LABELS[::-1], one_class_each(LABELS))
    patches = Patches(scans, task, settings, seed=0).window(0, 100 * len(scans))
    return Source(patches, lambda workers: DataLoader(patches, settings.batch, num_workers=workers))


def monai_cache(scans: list[PreparedScan], settings: TrainingSettings) -> Source:
    """Whole scans in memory, with the voxels of each class, and random crops of them."""
    keys, change = ["image", "brain", "classes"], Change()
    files = [{"image": scan.images[0], "brain": scan.brain, "classes": classes_of(scan)} for scan in scans]
    steps = [
        LoadImaged(keys),
        EnsureChannelFirstd(keys, channel_dim="no_channel"),
        SpatialPadd(keys, settings.patch),
        ClassesToIndicesd("classes", num_classes=4),
        RandCropByLabelClassesd(
            keys,
            "classes",
            settings.patch,
            list(shares(settings).values()),
            num_classes=4,
            indices_key="classes_cls_indices",
        ),
        change,
    ]
    cached = CacheDataset(files, Compose(steps), progress=False)

    def batches(workers: int) -> DataLoader[Any]:
        return DataLoader(cached, settings.batch, shuffle=True, num_workers=workers, collate_fn=list_data_collate)

    return Source(change, batches)


def torchio_queue(scans: list[PreparedScan], settings: TrainingSettings) -> Source:
    """Whole scans are read one after the other; some patches of each go into a queue, which holds those of a pass."""
    change = Change()
    missing = [max(settings.patch - size, 0) for size in shape_of(scans[0])]
    subjects = [
        Subject(image=ScalarImage(scan.images[0]), brain=LabelMap(scan.brain), classes=LabelMap(classes_of(scan)))
        for scan in scans
    ]
    queue = Queue(
        SubjectsDataset(subjects, Pad([part for size in missing for part in (size // 2, size - size // 2)])),
        max_length=len(scans) * PATCHES_PER_VOLUME,
        samples_per_volume=PATCHES_PER_VOLUME,
        sampler=LabelSampler(settings.patch, "classes", shares(settings)),
        start_background=False,
    )

    def together(patches: list[Any]) -> Any:
        return list_data_collate(
            [change({name: patch[name].data for name in ("image", "brain", "classes")}) for patch in patches]
        )

    def batches(workers: int) -> DataLoader[Any]:
        if queue.num_workers != workers:
            queue.num_workers, queue._subjects_iterable = workers, None
        return DataLoader(queue, settings.batch, num_workers=0, collate_fn=together)

    return Source(change, batches)


MAKERS = (flairflow_patches, monai_cache, torchio_queue)


class Change:
    """What flairflow does to a patch after reading it, for the patches of others."""

    augmentation: Augmentation

    def __call__(self, patch: dict[str, Tensor]) -> dict[str, Tensor]:
        masks = torch.cat([patch["brain"], patch["classes"], torch.zeros_like(patch["brain"])]).to(torch.uint8)
        image, masks = self.augmentation(patch["image"], masks, int(torch.randint(2**31, ())))
        return {"image": image * masks[0], "classes": masks[1], "ignore": masks[2]}


def serve_patches(
    connection: Connection,
    make: Callable[[list[PreparedScan], TrainingSettings], Source],
    scans: list[PreparedScan],
    settings: TrainingSettings,
) -> None:
    """Send the memory held after a pass and the time to the first batch; then for each (workers, augmentation on,
    patches) the seconds they take."""
    # A loader's worker has one thread, so without a worker there is to be no more either.
    torch.set_num_threads(1)
    set_track_meta(False)
    changes = {on: Augmentation(AugmentationSettings() if on else OFF, settings.patch) for on in (False, True)}
    before, began = own_memory(), time.perf_counter()
    source = make(scans, settings)
    source.change.augmentation = changes[False]
    # A whole pass, so that nothing is left over in a queue.
    batches = iter(source.batches(0))
    next(batches)
    start = time.perf_counter() - began
    for _ in itertools.islice(batches, len(scans) * PATCHES_PER_VOLUME // settings.batch - 1):
        pass
    connection.send((own_memory() - before, start))
    while (asked := connection.recv()) != "end":
        workers, on, left = asked
        source.change.augmentation = changes[on]
        began = time.perf_counter()
        while left > 0:
            for batch in source.batches(workers):
                left -= len(batch["image"])
                if left <= 0:
                    break
        connection.send(time.perf_counter() - began)


@dataclass(frozen=True)
class Run:
    """A short training. torch, workers : threads and loader workers; None: as flairflow shares them."""

    name: str
    settings: TrainingSettings
    threads: int
    torch: int | None = None
    workers: int | None = None


def laptop_runs(threads: int, updates: int) -> list[Run]:
    """The preset `laptop` with each augmentation, and with each way to share the threads."""
    preset = preset_settings("laptop").model_copy(update={"updates": updates, "validate_every": updates // 2})
    demo = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))["training"]["augmentation"]
    none, some = (preset.model_copy(update={"augmentation": kind}) for kind in (OFF, AugmentationSettings(**demo)))
    runs = [
        Run("laptop, no augmentation", none, threads),
        Run("laptop, the demonstration's", some, threads),
        Run("laptop, all augmentation", preset, threads),
    ]
    for torch_threads, workers in sorted({(threads, 0), (threads, 1), (max(threads - 1, 1), 1)}):
        runs.append(Run(f"torch {torch_threads}, workers {workers}", preset, threads, torch_threads, workers))
    return runs


def paper_runs(threads: int) -> list[Run]:
    """The preset `paper`, for a GPU."""
    preset = preset_settings("paper").model_copy(update={"updates": 10, "validate_every": 10})
    kinds = ("16", "bf16", "32")
    return [Run(f"paper, {kind}", preset.model_copy(update={"precision": kind}), threads) for kind in kinds]


def compare_trainings(scans: list[PreparedScan], runs: list[Run], repeats: int) -> None:
    """Print updates/s and the share of waiting of each run."""
    print(f"\n{'training':30} {'torch':>5} {'workers':>7} {'precision':>9} {'updates/s':>23} {'waiting %':>17}", end="")
    print(f" {'GPU GB':>7}", flush=True)
    server = Server(serve_trainings, scans)
    found: dict[str, list[Trained]] = {run.name: [] for run in runs}
    for _ in range(repeats):
        for run in runs:
            found[run.name].append(server.ask(run))
    for name, trained in found.items():
        one, memory = trained[0], max(run.gpu_bytes for run in trained)
        rates, waits = spread([run.rate for run in trained]), spread([100 * run.waiting for run in trained])
        print(f"{name:30} {one.torch:5} {one.workers:7} {one.precision:>9} {rates:>23} {waits:>17}", end="")
        print(f" {memory / 1e9:7.1f}" if memory else f" {'-':>7}", flush=True)
    server.end()


@dataclass(frozen=True)
class Trained:
    torch: int
    workers: int
    precision: str
    rate: float
    waiting: float
    gpu_bytes: int


def serve_trainings(connection: Connection, scans: list[PreparedScan]) -> None:
    """For each `Run` send what came of it."""
    with tempfile.TemporaryDirectory() as work:
        for number in itertools.count():
            run = connection.recv()
            if run == "end":
                return
            connection.send(train_shortly(run, scans, Path(work) / str(number)))


def train_shortly(run: Run, scans: list[PreparedScan], work: Path) -> Trained:
    """Train as `flairflow train` does, without validation scans, and look at the learner's pace."""
    learners: list[Learner] = []

    class Watched(Learner):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            learners.append(self)

    def share(threads: int, device: torch.device) -> int:
        workers = share_threads(threads, device)
        torch.set_num_threads(run.torch or torch.get_num_threads())
        return workers if run.workers is None else run.workers

    loop.Learner, loop.share_threads = Watched, share  # type: ignore[misc]
    device = choose_device()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    loop.train(
        entry=STRATEGY,
        name="all",
        part=strategy(STRATEGY).parts(LABELS, None)["all"],
        labels=LABELS,
        precedence=LABELS[::-1],
        images=("FLAIR",),
        preprocessing=PreprocessingSettings(spacing=1.0),
        settings=run.settings,
        seed=0,
        training=scans,
        validation=[],
        work=work,
        fingerprint="",
        threads=run.threads,
    )
    pace, workers = learners[0].pace, learners[0].workers
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    precision = learners[0].precision_name
    return Trained(torch.get_num_threads(), workers, precision, 1 / pace.per_update, pace.waiting, memory)


class Server:
    """A process of its own that `work(connection, *arguments)` runs in, and answers from."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        # Not forked: what this process holds, and its threads, are not to be there too.
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        method = multiprocessing.get_start_method()
        self.process = context.Process(target=serve, args=(method, work, other, *arguments))
        self.process.start()
        other.close()

    def ask(self, what: Any) -> Any:
        self.connection.send(what)
        return self.answer()

    def answer(self) -> Any:
        return self.connection.recv()

    def end(self) -> None:
        self.connection.send("end")
        self.process.join()


def serve(method: str, work: Callable[..., None], *arguments: Any) -> None:
    """Run `work` with the usual way to start workers, not that which this process was started in."""
    multiprocessing.set_start_method(method, force=True)
    work(*arguments)


def shares(settings: TrainingSettings) -> dict[int, float]:
    """How often patches are centred on each class: as flairflow's."""
    labels = (1 - settings.background_share) / 2
    return {0: 0.0, 1: settings.background_share, 2: labels, 3: labels}


def classes_of(scan: PreparedScan) -> Path:
    return scan.brain.with_name("classes.nii")


def own_memory() -> int:
    """Bytes that this process alone holds."""
    held: int = psutil.Process().memory_full_info().uss
    return held


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


if __name__ == "__main__":
    main()
