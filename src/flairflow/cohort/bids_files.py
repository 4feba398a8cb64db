"""The image files below the participants' folders of a BIDS dataset, and what lies there and cannot be looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# What holds voxels, whether it is read here or not.
IMAGE = re.compile(
    r"\.(nii|img|hdr|mgh|mgz|mnc|nrrd|nhdr|mha|mhd|dcm|ima|par|rec)(\.(gz|bz2|xz|zst|zip))?$", re.IGNORECASE
)
PARTICIPANT = re.compile(r"sub[-_ ]", re.IGNORECASE)


@dataclass
class Walked:
    """`folders`: the participants', by name. `files`: images below them. `faults`: reason by what else is there. Paths
    are relative to the dataset's root."""

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


def walk(root: Path) -> Walked:
    """Look through a dataset. Links are followed, but not round in circles. Nothing is opened."""
    found = Walked()
    for entry in _entries(str(root), "", found):
        if not PARTICIPANT.match(entry.name):
            continue
        if entry.is_dir():
            found.folders.append(entry.name)
            _below(entry.path, entry.name, (entry.path,), found)
        elif IMAGE.search(entry.name):
            found.faults[entry.name] = "lies beside the participants' folders, not in one"
    found.files.sort()
    return found


def _below(folder: str, relative: str, parents: tuple[str, ...], found: Walked) -> None:
    for entry in _entries(folder, relative, found):
        path = f"{relative}/{entry.name}"
        if not entry.is_dir():
            if IMAGE.search(entry.name):
                found.files.append(path)
        elif entry.name.startswith("."):
            found.faults[path] = "hidden folder, not looked into"
        elif entry.is_symlink() and any(Path(entry.path).samefile(parent) for parent in parents):
            found.faults[path] = "link to a folder above it"
        else:
            _below(entry.path, path, (*parents, entry.path), found)


def _entries(folder: str, relative: str, found: Walked) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        # A derivative dataset that is not there has no files.
        if relative or not isinstance(error, FileNotFoundError):
            found.faults[relative or "."] = f"folder that cannot be read ({error.strerror})"
