"""What starting from the default model saves: Dice by updates, by annotated scans, and on two real scans.

    python benchmarks/warm_start.py FOLDER [DATA_FOLDER]

Everything is written to FOLDER. Strategy `marginal`; the learning rate of the preset `laptop` for random weights, the
demonstration's for those of the default model; no validation, so the last weights count. DATA_FOLDER holds `ms_mni`
(docs/real.md): one scan teaches, the other is scored, and the other way round.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from flairflow.cohort.index import read_scans
from flairflow.cohort.sharding import shard_names, stage_rows
from flairflow.config import read_config
from flairflow.config.models import Config
from flairflow.config.named_models import default_model
from flairflow.files import write_text
from flairflow.network.device import choose_device, resolve_precision
from flairflow.network.model import Model, load_model, model_hash
from flairflow.network.plan import Init
from flairflow.network.sliding_window import predict_probabilities
from flairflow.paths import Results
from flairflow.training.configured_strategies import entry, task_of
from flairflow.training.data.patches import read_known
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.ensemble_members import keeps_heads
from flairflow.training.loop import train
from flairflow.training.train import prepared_scan

UPDATES = 400
# Participants of the simulated cohort, and the shares of its training scans and of UPDATES that are tried.
PARTICIPANTS, SHARES = 24, (1, 2, 4, 8)
RATES = {"random": 0.05, "default": 0.02}
MASK = {"folder": "derivatives/manual", "suffix": "mask"}
SIMULATED = {
    "labels": ["WMH", "ISL"],
    "datasets": {
        "both": {"root": "cohort/both", "labels": {n: MASK | {"entities": {"label": n}} for n in ("WMH", "ISL")}}
    },
    "index": {"splits": {"train": 2 / 3, "validation": 0.0, "test": 1 / 3}},
    "simulation": {
        "root": "cohort",
        "seed": 7,
        "datasets": {
            "both": {"participants": PARTICIPANTS, "labels": ["WMH", "ISL"], "voxel_size": [2, 2, 2], "scanners": 2}
        },
    },
}
# In multiple sclerosis nothing is a stroke: a mask that is not there is an empty one.
LESION = {"folder": "derivatives/consensus", "entities": {"label": "lesion", "desc": "consensus"}}
REAL: dict[str, Any] = {
    "labels": ["WMH", "ISL"],
    "datasets": {"ms": {"labels": {"WMH": LESION, "ISL": {"folder": "derivatives/none", "absent": "none"}}}},
}
SHARED = {
    "strategies": ["marginal"],
    "training": {"init": "default", "patch": 64, "batch": 1, "updates": UPDATES, "validate_every": UPDATES},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path, nargs="?", help="folder of ms_mni; without it the real scans are left out")
    options = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')}"
    print(f"{machine}; default model {model_hash(default_model())}\n")
    simulated(options.folder.resolve() / "simulated")
    if options.data:
        real(options.folder.resolve() / "real", options.data.resolve() / "ms_mni")


def simulated(folder: Path) -> None:
    """Dice on the test participants of a simulated cohort, by updates and by training scans."""
    config, scans = prepared(folder, SIMULATED)
    training, test = scans["train"], scans["test"]
    trials = [("random", len(training), UPDATES), ("default", len(training), 0)]
    trials += [("default", len(training), UPDATES // share) for share in SHARES[1:]]
    for share in SHARES[1:]:
        trials += [("random", len(training) // share, UPDATES), ("default", len(training) // share, UPDATES // 4)]
    print(f"{len(test)} simulated test participants: mean Dice of the scans that have the lesion\n")
    print("| start | training scans | updates | WMH | ISL | CPU s |\n| --- | --: | --: | --: | --: | --: |", flush=True)
    for start, count, updates in trials:
        began = time.process_time()
        model = trained(config, start, training[:count], updates, folder)
        spent = time.process_time() - began
        wmh, isl = np.nanmean([dice(model, config, scan) for scan in test], axis=0)
        print(f"| {start} | {count} | {updates} | {wmh:.3f} | {isl:.3f} | {spent:.0f} |", flush=True)


def real(folder: Path, data: Path) -> None:
    """Dice of WMH on each of the two scans of `ms_mni`, learnt from the other one."""
    datasets = {"ms": REAL["datasets"]["ms"] | {"root": str(data)}}
    config, by_split = prepared(folder, REAL | {"datasets": datasets})
    scans = sorted((scan for split in by_split.values() for scan in split), key=lambda scan: scan.scan)
    names = " | ".join(scan.scan.rpartition("-")[2] for scan in scans)
    print(f"\nReal scans (ms_mni), each learnt from the other: Dice of WMH\n\n| start | updates | {names} |")
    print("| --- | --: |" + " --: |" * len(scans), flush=True)
    trials = [("random", UPDATES), ("default", 0), *(("default", UPDATES // share) for share in reversed(SHARES[1:]))]
    for start, updates in trials:
        found = []
        for scan in scans:
            others = [other for other in scans if other is not scan]
            found.append(dice(trained(config, start, others, updates, folder), config, scan)[0])
        print(f"| {start} | {updates} | " + " | ".join(f"{value:.3f}" for value in found) + " |", flush=True)


def prepared(folder: Path, values: dict[str, Any]) -> tuple[Config, dict[str, list[PreparedScan]]]:
    """Simulate, where there is something to simulate, index, register and preprocess; the scans by their split."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.yaml"
    write_text(file, yaml.safe_dump(values | SHARED, sort_keys=False))
    os.chdir(folder)
    config = read_config(file)
    results = Results(config.results)
    if config.simulation:
        flairflow("simulate", file)
    flairflow("index", file)
    for shard in shard_names(results):
        flairflow("register", file, "--shard", shard)
        flairflow("preprocess", file, "--shard", shard)
    rows = stage_rows(results, "preprocess")
    by_split: dict[str, list[PreparedScan]] = {}
    for scan in read_scans(results.cohort, config.labels, config.images):
        if scan.scan in rows and rows[scan.scan].status == "ok":
            by_split.setdefault(scan.split, []).append(prepared_scan(scan, rows[scan.scan], results))
    return config, by_split


def flairflow(stage: str, config: Path, *arguments: str) -> None:
    command = [sys.executable, "-c", "import sys; from flairflow.cli import main; sys.exit(main(sys.argv[1:]))"]
    command += [stage, "--config", str(config), "--threads", "1", *arguments]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def trained(config: Config, start: str, training: Sequence[PreparedScan], updates: int, folder: Path) -> Model:
    """A network after so many updates from random weights or the default model's; after none that model itself."""
    default = load_model(default_model())
    if not updates:
        return default
    owner = entry(config, "marginal")
    part = owner.parts["all"]
    heads = keeps_heads(default.plan.model_dump(mode="json"), part)
    settings = {"updates": updates, "validate_every": updates, "learning_rate": RATES[start]}
    name = f"{start}-{updates}-{len(training)}-{training[0].scan}"
    work = folder / "work" / name
    work.mkdir(parents=True, exist_ok=True)
    init = Init(model="default", hash=model_hash(default_model()), updates=default.record.updates, heads=heads)
    return train(
        entry="marginal",
        name="all",
        part=part,
        labels=config.labels,
        precedence=config.precedence,
        images=config.images,
        preprocessing=config.preprocessing,
        settings=config.training.model_copy(update=settings),
        seed=0,
        training=training,
        validation=[],
        work=work,
        fingerprint=f"{name} {init.hash}",
        threads=1,
        start=default.weights if start == "default" else None,
        init=init if start == "default" else None,
    )


def dice(model: Model, config: Config, scan: PreparedScan) -> list[float]:
    """Of each label, on the network's grid; NaN where the scan has no such lesion."""
    task = task_of(config, entry(config, "marginal").parts["all"])
    image, brain, reference, _, ignored = read_known(scan, task)
    precision = resolve_precision(config.training.precision, choose_device())
    network, plan = model.network(), model.plan
    predicted = predict_probabilities(network, plan.activation, image, plan.patch, plan.overlap, precision)
    predicted = predicted.argmax(dim=0)
    judged = brain & ~ignored
    values = []
    for number in range(1, 1 + len(config.labels)):
        found, known = (predicted == number) & judged, (reference == number) & judged
        both = 2 * torch.count_nonzero(found & known) / (torch.count_nonzero(found) + torch.count_nonzero(known))
        values.append(float(both) if known.any() else np.nan)
    return values


if __name__ == "__main__":
    main()
