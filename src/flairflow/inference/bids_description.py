"""What makes a folder of results a BIDS derivative dataset, and a folder of such datasets one that validators pass."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flairflow import __version__
from flairflow.files import write_text
from flairflow.paths import SOFTWARE

BIDS_VERSION = "1.10.0"


def describe_datasets(folder: Path, roots: Mapping[str, Path], of: Sequence[str], what: str) -> None:
    """Describe a folder in which every dataset has a folder of its own, and those of the datasets in `of`.

    Each of these is the root of a BIDS derivative dataset: two datasets may have the same participants, so the folder
    above them, which names them to validators as what to look at by itself, is none that holds participants.
    roots : where the datasets lie, by name.
    """
    listed = "".join(f"- `{name}/`: of the dataset at {_link(root, folder)}\n" for name, root in sorted(roots.items()))
    text = f"# {what.capitalize()}\n\nMade by {SOFTWARE} {__version__}. Each folder is a BIDS derivative dataset:"
    _write(folder, _description(what), f"{text}\n\n{listed}")
    _write_if_new(folder / ".bidsignore", "".join(f"{name}\n{name}/**\n" for name in sorted(roots)))
    for name in of:
        link = _link(roots[name], folder / name)
        known = _source(roots[name])
        extra: dict[str, Any] = {"DatasetLinks": {name: link}, "SourceDatasets": [{"URL": link}]}
        extra |= {key: known[key] for key in ("Authors", "License") if known.get(key)}
        text = f"# {name}: {what}\n\nMade by {SOFTWARE} {__version__} of the dataset at {link} (from this folder).\n\n"
        text += (
            "A sidecar beside each image says what it is, which files it was made of (`Sources`) and by which model;\n"
        )
        text += "`Flag` in it is what to look at before the image is used.\n"
        _write(folder / name, _description(f"{name}: {what}") | extra, text)


def _description(name: str) -> dict[str, Any]:
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": SOFTWARE, "Version": __version__}],
    }


def _link(root: Path, folder: Path) -> str:
    """The way from a folder to a dataset, as a URI: results may be moved together with what they are of."""
    return quote(os.path.relpath(root.absolute(), folder.absolute()))


def _source(root: Path) -> dict[str, Any]:
    """What a dataset says of itself; nothing where it does not, or not in a way that is understood."""
    try:
        known = json.loads((root / "dataset_description.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(folder: Path, description: Mapping[str, Any], readme: str) -> None:
    _write_if_new(folder / "dataset_description.json", json.dumps(description, indent=2) + "\n")
    _write_if_new(folder / "README.md", readme)


def _write_if_new(path: Path, text: str) -> None:
    """Leave a file alone that says the same already: many jobs describe the same folder."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
