"""The target `paper` at full size without the data: every scan of the published lists, and all jobs that would run.

    python benchmarks/paper.py FOLDER --lists LISTS --results RESULTS

LISTS holds the published split lists, RESULTS the published scores per scan (docs/paper.md). In FOLDER this writes
twelve datasets of tiny images with exactly those participants and masks, indexes them with configs/paper.yaml as it
stands, and plans `snakemake paper` without running it. Prints times, jobs by rule, and how many scans each network
learns from, which must be as many as its published list has; ends with 1 where they are not.

Which masks a training scan has follows from the lists, for a test scan from its scores (NaN: no reference). Of
validation scans nothing is published: they get the masks that most training scans of their dataset have.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flairflow.cohort.index import read_scans
from flairflow.comparison.published.import_splits import import_splits
from flairflow.comparison.published.scan_ids import read_list
from flairflow.config import Config, read_config
from flairflow.config.models import LabelSource
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image
from flairflow.paths import Results
from flairflow.tables import read_table, records
from flairflow.training.budget import with_budget
from flairflow.training.configured_strategies import entry, task_of

REPOSITORY = Path(__file__).resolve().parents[1]
RENAMED = {"WMH": "WMH2017"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lists", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    options = parser.parse_args()
    config = read_config(REPOSITORY / "configs" / "paper.yaml")
    shutil.copytree(REPOSITORY / "configs", options.folder / "configs", dirs_exist_ok=True)
    lists = {"train": "train_all", "validation": "val_main", "test": "test_main"}
    found = {split: [options.lists / f"{name}.csv"] for split, name in lists.items()}
    seconds = {}
    started = time.perf_counter()
    import_splits(found, options.folder / "splits", RENAMED)
    make_cohort(options.folder, config, known_masks(config, options.lists, options.results))
    seconds["cohort written"] = time.perf_counter() - started
    started = time.perf_counter()
    snakemake(options.folder, "--until", "index")
    seconds["indexed"] = time.perf_counter() - started
    started = time.perf_counter()
    planned = snakemake(options.folder, "paper", "-n", "-q", "rules")
    seconds["planned"] = time.perf_counter() - started
    for name, duration in seconds.items():
        print(f"{name:24} {duration:7.1f} s")
    # Snakemake says it twice.
    for rule, count in dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE)).items():
        print(f"{rule:24} {count:>7} jobs")
    sys.exit(not right_numbers(options.folder, config, options.lists))


def known_masks(config: Config, lists: Path, results: Path) -> dict[str, dict[str, bool]]:
    """By id and label, where a mask is known, whether it may have a lesion."""
    known: dict[str, dict[str, bool]] = {}
    for label in config.labels:
        for scan in read_list(lists / f"train_{label}.csv"):
            known.setdefault(scan, {})[label] = True
    usual: dict[str, Counter[tuple[str, ...]]] = {}
    for scan, masks in known.items():
        usual.setdefault(scan.split("_")[0], Counter())[tuple(masks)] += 1
    for scan in read_list(lists / "val_main.csv"):
        known[scan] = dict.fromkeys(usual[scan.split("_")[0]].most_common(1)[0][0], True)
    tested = set(read_list(lists / "test_main.csv"))
    for path in sorted(results.glob("*.json")):
        for scan, metrics in json.loads(path.read_text(encoding="utf-8")).items():
            if scan in tested:
                lesions = {label: value for label, value in metrics["n_gt"].items() if not math.isnan(value)}
                known.setdefault(scan, {}).update({label: value > 0 for label, value in lesions.items()})
    return known


def make_cohort(folder: Path, config: Config, known: Mapping[str, Mapping[str, bool]]) -> None:
    """The datasets of the configuration, hard links to three files, with the participants of its split lists."""
    # Voxels of 4 mm: large enough not to be taken for a broken header, and nothing reads them but the index.
    grid, image = np.diag([4.0, 4.0, 4.0, 1.0]), np.random.default_rng(0).uniform(1, 100, (8, 8, 8)).astype(np.float32)
    files = {"image": image, "lesion": (image > 90).astype(np.uint8), "none": np.zeros((8, 8, 8), np.uint8)}
    for name, data in files.items():
        write_image(folder / "files" / f"{name}.nii.gz", Image(data, grid))

    def link(name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.hardlink_to(folder / "files" / f"{name}.nii.gz")

    for dataset in config.datasets.values():
        assert dataset.split_list is not None
        for row in records(read_table(folder / dataset.split_list, text=True)):
            subject = f"sub-{row['participant']}"
            anat = Path(subject, "anat")
            link("image", folder / dataset.root / anat / f"{subject}_{config.reference}.nii.gz")
            for label, lesion in known[row["id"]].items():
                source = dataset.labels[label]
                if source.absent == "none":
                    continue
                name = "_".join([subject, *(f"{key}-{value}" for key, value in source.entities.items())])
                link("lesion" if lesion else "none", folder / dataset.root / mask_path(source, anat, name))
                if source.drawn_on:
                    other = folder / dataset.root / subject / "dwi" / f"{subject}_{source.drawn_on}.nii.gz"
                    link("image", other)


def mask_path(source: LabelSource, anat: Path, name: str) -> Path:
    return Path(source.folder) / anat / f"{name}_{source.suffix}.nii.gz"


def snakemake(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "2"]
    command += ["--directory", str(folder), "--configfile", str(REPOSITORY / "configs" / "paper.yaml")]
    command += ["--profile", str(REPOSITORY / "profiles" / "local"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout + done.stderr


def right_numbers(folder: Path, config: Config, lists: Path) -> bool:
    """Whether every network learns from as many scans as the published list that it stands for has; prints them all."""
    scans = read_scans(Results(folder / config.results).cohort, config.labels, config.images)
    print(f"{'scans':24} {sum(scan.included for scan in scans):7}, of {len(scans)} found")
    training = [scan for scan in scans if scan.split == "train"]
    every, right = tuple(config.labels), True
    print(f"{'network':36} {'scans':>7} {'listed':>7} {'updates':>9}")
    for name in config.strategies:
        owner = entry(config, name)
        if owner.calibrates:
            continue  # Trains nothing.
        for part, network in owner.parts.items():
            task = task_of(config, network)
            learnt = sum(network.learns_from(scan.annotated, task) for scan in training)
            # What is learnt from: all scans, those with every mask, or those with the masks of the network's labels.
            partly = any(network.learns_from((label,), task) for label in every) and len(task.class_labels) == len(
                every
            )
            kind = "all" if partly else "multiclass" if set(task.class_labels) == set(every) else task.class_labels[0]
            listed = len(read_list(lists / f"train_{kind}.csv"))
            updates = with_budget(config.training, learnt, owner.budget, network.share_of_epochs).updates
            print(f"{f'{name} ({part})':36} {learnt:7} {listed:7} {updates:9}")
            right = right and learnt == listed
    return right


if __name__ == "__main__":
    main()
