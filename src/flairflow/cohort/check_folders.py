"""Whether the folders that a configuration names are there and can be used, before anything runs. Light, and quick with
any archive: the rules ask."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flairflow.config.models import Config, Dataset
from flairflow.errors import ConfigError

# Folders of participants that are looked into for an image: after so many without one it is left to the index.
LOOKED_INTO = 1000


def check_places(config: Config) -> None:
    """Raises ConfigError that lists, by key, every root or list that is not there, every root without a scan, and a
    results folder that cannot be written. Datasets that the workflow simulates need not be there."""
    faults = []
    if problem := _not_writable(config.results):
        faults.append(f"results: {config.results} cannot be written ({problem})")
    for name, dataset in config.datasets.items():
        if not (config.simulation and dataset.root.is_relative_to(config.simulation.root)):
            faults += [f"datasets.{name}.{fault}" for fault in _faults(dataset, config.reference)]
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise ConfigError(f"config: {len(faults)} fault(s), nothing was run\n{listed}")


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the first above it that there is."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _faults(dataset: Dataset, reference: str) -> Iterator[str]:
    for key in ("manifest", "split_list", "withdrawn"):
        path = getattr(dataset, key)
        if path and not path.is_file():
            yield f"{key}: {path} is not a file" if path.exists() else f"{key}: {path} is not there"
    root = dataset.root
    if not root.is_dir():
        known = nearest_folder(root)
        beside = f"; there is {known}" if known != Path(known.anchor) else ""
        yield f"root: {root} is not a folder" if root.exists() else f"root: {root} is not there{beside}"
    elif not os.access(root, os.R_OK | os.X_OK):
        yield f"root: {root} cannot be read by you"
    elif not dataset.manifest and (problem := _without_image(root, reference)):
        yield f"root: {problem}"


def _without_image(root: Path, reference: str) -> str:
    """Why there is no scan below a root; "" where there is one, or may be."""
    ends = (f"_{reference}.nii", f"_{reference}.nii.gz")
    participants = 0
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith("sub-") and entry.is_dir():
                participants += 1
                for _, _, names in os.walk(entry.path, followlinks=True):
                    if any(name.endswith(ends) for name in names):
                        return ""
                if participants == LOOKED_INTO:
                    return ""
    if participants:
        return f"{root} has {participants} folders sub-*, but no {reference} image (sub-*/**/*{ends[1]}) in any of them"
    inner = next((path.parent for path in sorted(root.glob("*/sub-*"))), None)
    hint = f"; is {inner} meant?" if inner else ""
    return f"{root} holds no folder of a participant (sub-*){hint} Archives that are not BIDS need a `manifest`"


def _not_writable(folder: Path) -> str:
    """Why nothing can be written in a folder, or in the one where it would be made; nothing is left behind."""
    place = nearest_folder(folder)
    if not place.is_dir():
        return f"{place} is no folder"
    try:
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as problem:
        return f"{place}: {problem.strerror}"
