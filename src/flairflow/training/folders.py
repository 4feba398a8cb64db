"""Where an ensemble's models lie. Light: the rules ask."""

from __future__ import annotations

from pathlib import Path

from flairflow.config.models import Config
from flairflow.paths import Results
from flairflow.training.strategies import strategy


def model_folders(config: Config, ensemble: str) -> list[Path]:
    """The members of an ensemble: given models as they are, those of a strategy one per part and seed."""
    if ensemble in config.models:
        return list(config.models[ensemble])
    results = Results(config.results)
    parts = strategy(ensemble).parts(config.labels)
    return [results.model(ensemble, part, seed) for part in parts for seed in config.seeds]
