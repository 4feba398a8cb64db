"""What `flairflow segment` is asked to do, looked at before anything is loaded: which images, named how, to where."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from flairflow.config.models import PreprocessingSettings
from flairflow.config.named_models import is_default
from flairflow.errors import ConfigError

log = logging.getLogger(__name__)

GIVEN = "provided"
KINDS = re.compile(r"\.(nii|nii\.gz|mgz|mgh)$", re.IGNORECASE)
# Where brain masks can come from without a configuration.
SOURCES = tuple(word for word in get_args(PreprocessingSettings.model_fields["brain_mask"].annotation) if word != GIVEN)
# Ends of names, without their kind, of what is no image of a head but was made of one.
MADE = re.compile(r"(^|[_-])(mask|dseg|seg|probseg|label|labels|lesion|lesions|roi|xfm)$", re.IGNORECASE)


@dataclass(frozen=True)
class Input:
    """An image to segment, what its outputs are named after, and why it cannot be, if that is known already."""

    path: Path
    name: str
    reason: str = ""


def sort_out(models: Sequence[Path], images: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Models and images as they were meant: after `--model M` come images as often as further models, and a model
    folder can be told from anything else. Raises ConfigError where a model is no model folder."""
    first, further = list(models[:1]), models[1:]
    found = [*first, *(path for path in further if _is_model(path))]
    for path in first:
        if not _is_model(path):
            raise ConfigError(f"--model: {path} is no model folder (it needs weights.safetensors and plan.json)")
    others = [path for path in (*further, *images) if path not in found]
    if misplaced := [str(path) for path in others if path.is_dir() and (path / "plan.json").is_file()]:
        raise ConfigError(f"{', '.join(misplaced)}: a model folder; put --model before it")
    return found, others


def check_sequences(sequences: Sequence[str]) -> None:
    """Raises ConfigError where a model reads more than the one image that it is given here."""
    if len(sequences) > 1:
        raise ConfigError(f"--model: it reads {', '.join(sequences)}: use the workflow, which registers them")


def find_inputs(given: Sequence[Path], out: Path) -> list[Input]:
    """The images, named apart; of a folder those in it, at any depth. Files that are not there stay: they become a row.

    A folder gives its FLAIRs, if names tell, else every image in it that is no mask; nothing below `out` or a folder
    `derivatives`. Raises ConfigError where a folder has none.
    """
    if not given:
        raise ConfigError("no image is given: name FLAIR images (NIfTI), or folders of them")
    found: dict[Path, None] = {}
    for path in given:
        found |= dict.fromkeys(_images_in(path, out) if path.is_dir() else [path])
    return _named_apart(list(found))


def brain_masks(given: Sequence[str], inputs: Sequence[Input], usual: str) -> tuple[str, dict[Path, Path]]:
    """Where brain masks come from, one of SOURCES, and the masks that are given instead, by image.

    given : what --brain-mask says: one of SOURCES, or a file for each image, in the order of the images.
    usual : how the model's training scans got theirs.
    Raises ConfigError where these are not as many files as images, or one is not there.
    """
    if len(given) <= 1 and set(given) <= set(SOURCES):
        return (given[0] if given else usual if usual in SOURCES else SOURCES[0]), {}
    files = [Path(word) for word in given]
    if missing := [str(path) for path in files if not path.is_file()]:
        raise ConfigError(f"--brain-mask: {', '.join(missing)}: neither a file nor one of {', '.join(SOURCES)}")
    if len(files) != len(inputs):
        raise ConfigError(
            f"--brain-mask: {len(files)} file(s) for {len(inputs)} image(s); give it once per image, in their order"
        )
    return GIVEN, {image.path: file for image, file in zip(inputs, files, strict=True)}


def likely_device(wanted: str) -> str:
    """What the network will run on, for people, without loading torch to know. Raises ConfigError where `wanted` means
    nothing."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", wanted):
        raise ConfigError(f"--device: {wanted!r} is none of auto, cpu, cuda, cuda:0, cuda:1, ...")
    if wanted != "auto":
        return wanted
    return "the GPU, if torch finds it," if any(Path("/dev").glob("nvidia[0-9]*")) else "the CPU"


def output_stem(path: Path) -> str:
    """What the outputs of an image are named after: `sub-01_FLAIR.nii.gz` gives `sub-01`."""
    stem = KINDS.sub("", path.name)
    return stem.rsplit("_", 1)[0] if stem.startswith("sub-") else stem


def check_writable(folder: Path) -> None:
    """Make the folder. Raises ConfigError, before any work is done, where nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise ConfigError(
            f"--out: {folder} cannot be written ({problem.strerror}); name a folder that can be"
        ) from None


def _is_model(path: Path) -> bool:
    return is_default(path) or (path.is_dir() and (path / "plan.json").is_file())


def _images_in(folder: Path, out: Path) -> list[Path]:
    every = [path for path in _files_below(folder, {out.resolve()}) if KINDS.search(path.name)]
    heads = [path for path in every if not MADE.search(KINDS.sub("", path.name))]
    flairs = [path for path in heads if "flair" in path.name.lower()]
    chosen = flairs or heads
    if not chosen:
        raise ConfigError(f"{folder}: no image in it (.nii, .nii.gz, .mgz or .mgh; DICOM has to be converted first)")
    left = len(every) - len(chosen)
    what = "FLAIR images, by their names" if flairs else "images (no name says FLAIR, so all that are no masks)"
    log.info("%s: %d %s%s", folder, len(chosen), what, f"; {left} other files are left out" if left else "")
    return chosen


def _files_below(folder: Path, left_out: set[Path]) -> list[Path]:
    """All files below a folder, through links too, but no folder twice; sorted."""
    found, seen = [], set(left_out)
    for at, folders, files in os.walk(folder, followlinks=True):
        real = Path(at).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "derivatives")
        found += [Path(at) / name for name in files if not name.startswith(".")]
    return sorted(found)


def _named_apart(paths: Sequence[Path]) -> list[Input]:
    """Images by the stems of their files; where these are the same, with as many folders above as tell them apart. Of
    two in one folder the first has the name."""
    first: dict[tuple[Path, str], Path] = {}
    for path in paths:
        first.setdefault((path.parent.resolve(), output_stem(path).casefold()), path)
    names = {path: output_stem(path) for path in first.values()}
    for depth in range(3):
        times = Counter(name.casefold() for name in names.values())
        for path, name in names.items():
            above = path.resolve().parents
            if times[name.casefold()] > 1 and depth < len(above) and above[depth].name:
                names[path] = f"{above[depth].name}_{name}"
    owners = {path: first[path.parent.resolve(), output_stem(path).casefold()] for path in paths}
    return [
        Input(path, names[owner])
        if owner == path
        else Input(path, path.name, f"has the name of {owner}, which is segmented, in the same folder")
        for path, owner in owners.items()
    ]
