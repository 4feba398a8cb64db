"""`flairflow check`: what a configuration would do, and whether it can. Nothing is written."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from flairflow.cohort.check_folders import nearest_folder
from flairflow.cohort.find_scans import discover
from flairflow.cohort.scan import Scan
from flairflow.cohort.withdrawn import without_withdrawn
from flairflow.config import Config, read_config
from flairflow.config.line_numbers import with_lines
from flairflow.errors import ConfigError, in_short
from flairflow.status.forecast import Forecast, forecast
from flairflow.status.preconditions import check_all
from flairflow.training.ensemble_members import model_folders


def show_check(path: Path) -> None:
    """Print roots, scans found, models and their training, room and time. Raises ConfigError, with the lines of the
    file, for what would end a run at its start or leave nothing to do."""
    try:
        config = read_config(path)
        check_all(config)
        for line in _lines(path, config):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except ConfigError as error:
        raise ConfigError(with_lines(str(error), [path])) from None


def _lines(path: Path, config: Config) -> Iterator[str]:
    yield _line("configuration", f"{path}: labels {', '.join(config.labels)}; images {', '.join(config.images)}")
    there = "is there" if config.results.exists() else "will be made"
    yield _line("results", f"{config.results} ({there}, can be written)")
    scans: list[Scan] = []
    for name, dataset in config.datasets.items():
        if config.simulation and dataset.root.is_relative_to(config.simulation.root) and not dataset.root.is_dir():
            yield _line(name, f"{dataset.root}: will be simulated")
            continue
        found, left_out = discover(name, dataset, config)
        if dataset.withdrawn:
            found = without_withdrawn(name, found, dataset.withdrawn)
        scans += found
        yield _line(name, f"{dataset.root}: {_found(config, found)}")
        if odd := [one.reason for one in left_out if not one.expected]:
            reasons = Counter(odd).most_common()
            yield _line("", f"not understood: {in_short([f'{count} x {reason}' for reason, count in reasons])}")
    for name in config.ensembles:
        for text in _model(config, name):
            yield _line(f"{'* ' * (name == config.segmenter)}{name}", text)
    yield _line("", f"* delivers the masks of all scans: {config.segmenter}")
    if not any(scan.included for scan in scans):
        if config.simulation:
            return
        raise ConfigError("config: datasets: no scan can be used")
    yield from _taken(config, forecast(config, scans))


def _found(config: Config, scans: Sequence[Scan]) -> str:
    used = [scan for scan in scans if scan.included]
    parts = [f"{len({scan.participant for scan in used})} participants", f"{len(used)} {config.reference} images"]
    parts += [f"{sum(bool(scan.images[x]) for scan in used)} {x}" for x in config.images[1:]]
    for label in config.labels:
        counts = Counter(scan.masks[label].annotation for scan in used)
        known = [f"{counts['mask']} masks"] * bool(counts["mask"]) + [f"{counts['none']} none"] * bool(counts["none"])
        parts.append(f"{label}: {' + '.join(known) or 'unknown'}")
    if len(used) < len(scans):
        reasons = Counter(scan.reason for scan in scans if not scan.included)
        parts.append(f"{len(scans) - len(used)} not used: {in_short([reason for reason, _ in reasons.most_common()])}")
    return ", ".join(parts)


def _model(config: Config, name: str) -> Iterator[str]:
    folders = model_folders(config, name)
    if not config.models:
        updates = "as many as its epochs take" if config.training.epochs else f"{config.training.updates} updates each"
        yield f"to be trained: {len(folders)} networks, {updates}"
        return
    for folder in folders:
        plan, record = (
            json.loads((folder / file).read_text(encoding="utf-8")) for file in ("plan.json", "record.json")
        )
        spacing = plan["preprocessing"]["spacing"]
        text = f"{folder}: {', '.join(plan['classes'])} from {', '.join(plan['images'])} at {spacing:g} mm"
        if "training_scans" in record:
            masks = ", ".join(f"{label} in {count}" for label, count in record.get("annotated", {}).items())
            text += f"; learnt from {record['training_scans']} scans ({masks}), {record.get('updates', '?')} updates"
            best = record.get("best_score")
            text += f", best validation score {best:.3f}" if best is not None else ""
        yield text


def _taken(config: Config, of: Forecast) -> Iterator[str]:
    yield _line("scans", ", ".join(f"{count} {split}" for split, count in of.by_split.items()))
    place = nearest_folder(config.results)
    free = shutil.disk_usage(place).free
    short = "" if of.bytes < free else ": NOT ENOUGH"
    yield _line("room", f"about {_size(of.bytes)} will be written, {_size(free)} are free at {place}{short}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield _line(
        "time",
        f"about {_time(of.hours)} on two CPU cores, {_time(of.hours_with_gpu)} with a GPU, one job at a time "
        f"(this machine: {cores} cores); jobs side by side take as much less",
    )
    if max(of.longest_training):
        longest, gpu = of.longest_training
        yield _line("", f"the longest training: {_time(longest)} on two CPU cores, {_time(gpu)} with a GPU")


def _line(what: str, text: str) -> str:
    return f"{what:14} {text}"


def _size(count: float) -> str:
    return f"{count / 1e9:.3g} GB" if count > 1e8 else f"{count / 1e6:.2g} MB"


def _time(hours: float) -> str:
    return f"{hours / 24:.0f} days" if hours > 72 else f"{hours:.1f} h" if hours > 1 else f"{60 * hours:.0f} min"
