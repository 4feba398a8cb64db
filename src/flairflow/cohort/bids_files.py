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
# Reasons of what is not looked at.
NOWHERE = "link that leads nowhere"
UNPRINTABLE = "its name has characters that are no text, which no table can hold"
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
        if _is_folder(entry):
            found.folders.append(entry.name)
            _below(entry.path, entry.name, (entry.path,), found)
        elif IMAGE.search(entry.name):
            found.faults[entry.name] = "lies beside the participants' folders, not in one"
        elif _leads_nowhere(entry):
            found.faults[entry.name] = NOWHERE
    found.files.sort()
    return found


def _below(folder: str, relative: str, parents: tuple[str, ...], found: Walked) -> None:
    for entry in _entries(folder, relative, found):
        path = f"{relative}/{entry.name}"
        if not _is_folder(entry):
            if IMAGE.search(entry.name):
                found.files.append(path)
            elif _leads_nowhere(entry):
                found.faults[path] = NOWHERE
        elif entry.name.startswith("."):
            found.faults[path] = "hidden folder, not looked into"
        elif entry.is_symlink() and any(Path(entry.path).samefile(parent) for parent in parents):
            found.faults[path] = "link to a folder above it"
        else:
            _below(entry.path, path, (*parents, entry.path), found)


def _entries(folder: str, relative: str, found: Walked) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        # A derivative dataset that is not there has no files.
        if relative or not isinstance(error, FileNotFoundError):
            found.faults[relative or "."] = f"folder that cannot be read ({error.strerror})"
        return
    for entry in listed:
        if entry.name.isprintable():
            yield entry
        elif PARTICIPANT.match(entry.name) or relative:
            shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in entry.name)
            found.faults[f"{relative}/{shown}".lstrip("/")] = UNPRINTABLE


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    # A link that leads to itself.
    except OSError:
        return False


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110 (a Path raises at a link to itself)
