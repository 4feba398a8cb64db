"""A cheap look at the datasets, to see whether an index would find something new. Light: the Snakefile imports it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from flairflow.cohort.bids_files import PARTICIPANT, walk
from flairflow.config.models import Config, Dataset

# Up to so many participants (or rows of a manifest) every image is looked at, which takes a fifth of a second.
MAX_PARTICIPANTS = 2000


def archive_state(config: Config) -> tuple[str, list[str]]:
    """A short hash of what an index depends on, by contents of tables and times of folders and images, and by dataset
    what was not looked at. Simulated datasets are left out: a rule makes them."""
    state = hashlib.sha256()
    unseen = []
    for name, dataset in config.datasets.items():
        if config.simulation and dataset.root.is_relative_to(config.simulation.root):
            continue
        tables = (dataset.manifest, dataset.split_list, dataset.withdrawn, dataset.root / "participants.tsv")
        for table in tables:
            state.update(table.read_bytes() if table and table.is_file() else b"none")
        for line in _manifest(dataset.manifest, dataset.root) if dataset.manifest else _folders(dataset):
            if line:
                state.update(line.encode(errors="surrogateescape"))
            else:
                seen = "the manifest alone is" if dataset.manifest else "only the times of participants' folders are"
                unseen.append(
                    f"{name}: more than {MAX_PARTICIPANTS} participants, so {seen} looked at for changes; after files "
                    "were fixed, or added in the folders below, say -R index"
                )
    return state.hexdigest()[:16], unseen


def _folders(dataset: Dataset) -> Iterator[str]:
    """A line for everything that would show a change; "" once where images are not looked at."""
    patterns = [pattern for source in dataset.labels.values() for pattern in (source, source.ignore_mask) if pattern]
    patterns += [dataset.brain_mask] if dataset.brain_mask else []
    shallow = False
    for folder in dict.fromkeys(["", *(pattern.folder for pattern in patterns)]):
        root = dataset.root / folder
        names = sorted(entry.name for entry in _entries(root) if PARTICIPANT.match(entry.name))
        if len(names) > MAX_PARTICIPANTS:
            shallow = True
            yield from _times(root, names)
        else:
            yield from names
            yield from _times(root, walk(root).files)
    if shallow:
        yield ""


def _manifest(manifest: Path, root: Path) -> Iterator[str]:
    text = manifest.read_text(encoding="utf-8", errors="replace") if manifest.is_file() else ""
    if text.count("\n") > MAX_PARTICIPANTS:
        yield ""
    else:
        yield from _times(root, re.findall(r"[^\t,;\"\r\n]+\.nii(?:\.gz)?", text))


def _times(root: Path, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        try:
            # An absolute path of a manifest stays one.
            found = (root / name).stat()
        except OSError:
            yield f"{name} none"
        else:
            yield f"{name} {found.st_mtime_ns} {found.st_size}"


def _entries(root: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root) as entries:
            return list(entries)
    except OSError:
        return []
