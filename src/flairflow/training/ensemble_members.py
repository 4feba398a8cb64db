"""Where the models of an ensemble lie, and those that one model needs first. Light: the rules ask."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from flairflow.config.models import Config
from flairflow.config.named_models import model_folder, read_plan
from flairflow.errors import ConfigError
from flairflow.network.activation import tell_apart
from flairflow.paths import MODEL_FILES, Results
from flairflow.training.configured_strategies import Entry, ensemble_parts, entry
from flairflow.training.strategy import Part

# Keys of a plan that what its jobs ask for follows from.
REQUESTED = ("preprocessing", "network", "activation", "patch", "overlap")
# Parts of a file that are looked at to tell it from others.
SAMPLES, SAMPLE_BYTES = 64, 2**16


def model_folders(config: Config, ensemble: str) -> list[Path]:
    """The members of an ensemble: given models as they are, those of an entry one per part and seed."""
    if ensemble in config.models:
        return [model_folder(folder) for folder in config.models[ensemble]]
    owner, parts = ensemble_parts(config, ensemble)
    return [Results(config.results).model(owner.name, part, seed) for part in parts for seed in config.seeds]


def given_models(config: Config, ensemble: str = "") -> str:
    """What stands for the contents of the models that are given for an ensemble, or for all; "" where none are. Where
    they lie does not matter: a model that was moved is the same."""
    names = [ensemble] if ensemble in config.models else list(config.models) if not ensemble else []
    return " ".join(_identity(folder) for name in names for folder in model_folders(config, name))


def _identity(folder: Path) -> str:
    stats = [(folder / name).stat() for name in MODEL_FILES]
    return _looked_at(folder, tuple((stat.st_size, stat.st_mtime_ns) for stat in stats))


@lru_cache
def _looked_at(folder: Path, _stats: tuple[tuple[int, int], ...]) -> str:
    """Of plan, record and samples of the weights: no two trainings have the same ones, and every job asks."""
    digest = hashlib.sha256()
    for name in MODEL_FILES:
        size = (folder / name).stat().st_size
        digest.update(f"{name} {size}".encode())
        with (folder / name).open("rb") as file:
            for place in range(0, size, max(size // SAMPLES, SAMPLE_BYTES)):
                file.seek(place)
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def fold_folders(config: Config, ensemble: str) -> dict[int | None, list[Path]]:
    """The members of a teacher by the fold of persons that they teach; None: they teach all."""
    owner, parts = ensemble_parts(config, ensemble)
    by_fold: dict[int | None, list[Path]] = {}
    for name, part in parts.items():
        folders = [Results(config.results).model(owner.name, name, seed) for seed in config.seeds]
        by_fold.setdefault(part.fold[0] if part.fold else None, []).extend(folders)
    return by_fold


def model_before(config: Config, name: str, part: str, seed: int | str) -> Path | None:
    """The model whose weights the part of an entry takes or goes on from."""
    results, owner = Results(config.results), entry(config, name)
    if owner.calibrates:
        return results.model(owner.calibrates, part, seed)
    start = owner.parts[part].starts_from
    return results.model(name, start, seed) if start else None


def init_folder(owner: Entry) -> Path | None:
    """The model folder that the first networks of an entry start from, if they do. Raises ConfigError where the default
    model is meant and not there."""
    return model_folder(owner.init) if owner.init else None


def keeps_heads(plan: Mapping[str, Any], part: Part) -> bool:
    """Whether a network of this plan gives what a part gives, so that its output heads can go on too."""
    return list(plan["classes"]) == list(part.classes) and plan["activation"] == part.activation


def check_inits(config: Config) -> None:
    """Raises ConfigError where networks are to start from a model that is not like them."""
    inits = {f"strategies.{name}.init": entry(config, name).init for name in config.strategies}
    for key, init in {"training.init": config.training.init, **inits}.items():
        if init is None:
            continue
        try:
            plan = read_plan(model_folder(init), "network", "images", "classes", "activation")
        except ConfigError as error:
            raise ConfigError(f"config: {key}: {error}") from None
        ours = {"training.network.filters": config.training.network.filters, "images": config.images}
        theirs = plan["network"].get("filters"), plan["images"]
        for (what, own), other in zip(ours.items(), theirs, strict=True):
            if list(own) != other:
                raise ConfigError(
                    f"config: {key}: networks can only start from one like them: {what} is {list(own)}, but {init} has "
                    f"{other}; say so under {what}, or leave `init` out"
                )


def check_given_models(config: Config) -> None:
    """Raises ConfigError when given models were made for other labels, images or voxels than the configuration says,
    or those of a name do not make an ensemble."""
    for name, folders in config.models.items():
        kinds = set()
        for folder in folders:
            try:
                plan = read_plan(model_folder(folder), "labels", "images", "classes", *REQUESTED)
                theirs = plan["labels"], plan["images"], plan["preprocessing"]["spacing"]
            except (ConfigError, KeyError, TypeError) as error:
                raise ConfigError(f"config: models.{name}: {error}") from None
            if missing := [file for file in MODEL_FILES if not (model_folder(folder) / file).is_file()]:
                raise ConfigError(
                    f"config: models.{name}: {folder} is no usable model folder ({', '.join(missing)} missing)"
                )
            kinds.add(tuple(plan["classes"]))
            ours = list(config.labels), list(config.images), config.preprocessing.spacing
            for key, own, model in zip(("labels", "images", "preprocessing.spacing"), ours, theirs, strict=True):
                if own != model:
                    raise ConfigError(f"config: {key} is {own}, but models.{name} ({folder}) was trained with {model}")
        if not tell_apart(kinds, config.labels):
            raise ConfigError(
                f"config: models.{name}: networks of {' and '.join(', '.join(kind) for kind in sorted(kinds))} make no "
                f"ensemble for {', '.join(config.labels)}: each label must be known to networks of one kind"
            )
