"""The model cards in the package, from the data's manifests, the models' records, and what the benchmark measured.

    python benchmarks/real/cards.py DATA_FOLDER

writes them again with the figures that they have; `run.py --write` measures and renews the figures too.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flairflow.config.named_models import DEFAULT, MODELS
from flairflow.files import write_text

CARD = "MODEL_CARD.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
# What of the benchmark tells of which model, by the titles of `run.py`.
FIGURES = {
    "brain": ("Brains",),
    DEFAULT: (
        "Lesions where they are known",
        "Every other FLAIR",
        "The same head as another file",
        "One person twice, and two persons",
    ),
}
HERE = Path(__file__).parent
STROKES = "neurolabusc/StrokeOutcomeOptimizationProjectDemo"


def renew_cards(data: Path, figures: Mapping[str, str]) -> None:
    """Write the card of each model that is in the package. figures : Markdown by the titles of FIGURES; without any, a
    card keeps those it has."""
    for name, titles in FIGURES.items():
        folder = MODELS / name
        if not (folder / "plan.json").is_file():
            print(f"{folder}: no model there, so no card")
            continue
        path = folder / CARD
        measured = "\n\n".join(f"### {title}\n\n{figures[title]}" for title in titles if title in figures)
        write_text(path, card(name, folder, data, measured or _figures_of(path)))
        print(f"written: {path}")


def card(name: str, folder: Path, data: Path, figures: str) -> str:
    """The text of a model's card: its own words, and the parts that are the same for all."""
    own, shared = ((HERE / f"card-{part}.md").read_text(encoding="utf-8") for part in (name, "shared"))
    parts = {"record": _record(folder), "data": _data(data), "figures": f"{BEGIN}\n\n{figures}\n\n{END}"}
    return own + "\n" + re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], shared)


def _record(folder: Path) -> str:
    """What the record and the plan say in single values, as a table."""
    rows = []
    for file in ("record.json", "plan.json"):
        path = folder / file
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for key, value in values.items():
            inner = value if isinstance(value, dict) else {"": value}
            rows += [(f"{key} {name}".strip(), _plain(part)) for name, part in inner.items()]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows if value)])


def _plain(value: object) -> str:
    """A single value, or a list of such; nothing of what is longer."""
    if isinstance(value, list):
        return " ".join(map(str, value)) if not any(isinstance(part, list | dict) for part in value) else ""
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else str(value)


def _data(data: Path) -> str:
    """What was learnt from, with repository, commit and licence as the manifests have them."""
    heads = _rows(data / "heads" / "manifest.tsv")
    maps = [row for row in heads if "label map" in row["role"]]
    ((source, licence),) = {(row["source"].split(":")[0], row["licence"]) for row in maps}
    real = _rows(data / "real" / "manifest.tsv")
    masks = [row for row in real if row["path"].startswith("masks_only/mni_1mm/")]
    (shapes,) = {row["source"].split(":")[0] for row in masks}
    strokes = len(list((data / "heads" / "stroke_masks").glob("*.nii.gz")))
    lines = [
        ("what", "how many", "from", "licence"),
        ("---", "--:", "---", "---"),
        ("label maps of whole heads", len(maps), source, licence),
        ("shapes of stroke lesions, drawn by hand", strokes, STROKES, "BSD-2-Clause"),
        ("shapes of white matter lesions, consensus of three raters", len(masks), shapes, "CC-BY"),
        (
            "tissue maps of MNI152 (ICBM 2009a)",
            1,
            "nilearn",
            "BSD-3-Clause; the template's own terms permit use with notice",
        ),
    ]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _figures_of(path: Path) -> str:
    """The figures that a card has."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.search(f"{BEGIN}\n\n(.*?)\n\n{END}", text, re.DOTALL)
    return found[1] if found else "Not measured yet."


if __name__ == "__main__":
    renew_cards(Path(sys.argv[1]), {})
