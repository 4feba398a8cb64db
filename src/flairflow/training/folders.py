"""Where an ensemble's models lie, and whether given ones fit the configuration. Light: the rules ask."""

from __future__ import annotations

import json
from pathlib import Path

from flairflow.config.models import Config
from flairflow.errors import ConfigError
from flairflow.paths import Results
from flairflow.training.strategies import strategy


def model_folders(config: Config, ensemble: str) -> list[Path]:
    """The members of an ensemble: given models as they are, those of a strategy one per part and seed."""
    if ensemble in config.models:
        return list(config.models[ensemble])
    results = Results(config.results)
    parts = strategy(ensemble).parts(config.labels)
    return [results.model(ensemble, part, seed) for part in parts for seed in config.seeds]


def teacher(config: Config, name: str) -> str | None:
    """The strategy whose ensemble fills in missing masks for the strategy `name`; None if it learns without."""
    return config.pseudolabels.teacher if strategy(name).taught else None


def check_given_models(config: Config) -> None:
    """Raises ConfigError when given models were made for other labels, images or voxels than the configuration says."""
    for name, folders in config.models.items():
        for folder in folders:
            try:
                plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
                theirs = plan["labels"], plan["images"], plan["preprocessing"]["spacing"]
            except (OSError, ValueError, KeyError) as error:
                raise ConfigError(f"config: models.{name}: {folder} is no usable model folder ({error!r})") from None
            ours = list(config.labels), list(config.images), config.preprocessing.spacing
            for key, own, model in zip(("labels", "images", "preprocessing.spacing"), ours, theirs, strict=True):
                if own != model:
                    raise ConfigError(f"config: {key} is {own}, but models.{name} ({folder}) was trained with {model}")
