"""The stages: for each, its version and the settings it uses. Their hash decides what a changed setting redoes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from flairflow.config.models import Config


def settings(config: Config, stage: str) -> dict[str, Any]:
    """The version of a stage and everything of the configuration that its results depend on."""
    version, used = _STAGES[stage]
    values: dict[str, Any] = json.loads(json.dumps(used(config), default=str))
    return {"version": version} | values


@cache
def settings_hash(config: Config, stage: str) -> str:
    """A short hash of `settings`, the `params.settings` of the stage's rule and part of every fingerprint."""
    return fingerprint(settings(config, stage))


def fingerprint(*parts: Any) -> str:
    """A short hash of JSON-able parts, equal for equal parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def reference_stage(config: Config) -> str:
    """The stage that leaves the known masks on the grid on which predictions are scored."""
    return "register" if config.evaluation.grid == "native" else "preprocess"


def _dump(model: Any) -> Any:
    return None if model is None else model.model_dump(mode="json")


# A version is raised when a stage's code changes what it makes.
_STAGES: dict[str, tuple[int, Callable[[Config], dict[str, Any]]]] = {
    "simulate": (3, lambda config: {"simulation": _dump(config.simulation)}),
    "index": (
        4,
        lambda config: {
            "datasets": {name: _dump(dataset) for name, dataset in config.datasets.items()},
            "index": _dump(config.index),
            "labels": config.labels,
            "images": config.images,
            "seed": config.seed,
            "brain_mask": config.preprocessing.brain_mask,
        },
    ),
    "register": (
        6,
        lambda config: {
            "registration": _dump(config.registration),
            "brain_mask": config.preprocessing.brain_mask,
            "labels": config.labels,
            "images": config.images,
            "seed": config.seed,
        },
    ),
    "preprocess": (
        5,
        lambda config: {"preprocessing": _dump(config.preprocessing), "labels": config.labels, "images": config.images},
    ),
    "train": (
        3,
        lambda config: {
            # What the networks of an entry start from is among the entry's own settings.
            "training": {key: value for key, value in _dump(config.training).items() if key != "init"},
            "labels": config.labels,
            "precedence": config.precedence,
            "images": config.images,
            "spacing": config.preprocessing.spacing,
        },
    ),
    "pseudolabel": (3, lambda config: {"seed": config.seed}),
    "segment": (5, lambda config: {"segmentation": {"probabilities": config.segmentation.probabilities}}),
    # The same of a scan that is scored, which also gets what that needs.
    "segment_scored": (
        4,
        lambda config: {"segment": settings(config, "segment"), "evaluation": _dump(config.evaluation)},
    ),
    # The same three stages in one pass; what it segments is not scored.
    "segment_archive": (
        5,
        lambda config: {
            "register": settings(config, "register"),
            "preprocess": settings(config, "preprocess"),
            "segmentation": {"probabilities": config.segmentation.probabilities},
        },
    ),
    "thresholds": (2, lambda config: {"labels": config.labels, "precedence": config.precedence}),
    "evaluate": (
        5,
        lambda config: {
            "labels": config.labels,
            "precedence": config.precedence,
            "evaluation": _dump(config.evaluation),
        },
    ),
    "metrics": (
        1,
        lambda config: {
            "labels": config.labels,
            "compared": config.compared,
            "imported": list(config.compare.imported),
        },
    ),
    "volumes": (3, lambda config: {"labels": config.labels, "segmenter": config.segmenter}),
    "compare": (
        7,
        lambda config: {
            "labels": config.labels,
            "compared": config.compared,
            "compare": _dump(config.compare),
            "segmenter": config.segmenter,
        },
    ),
    "report": (
        7,
        lambda config: {
            "report": _dump(config.report),
            "labels": config.labels,
            "segmenter": config.segmenter,
            "ensembles": config.ensembles,
        },
    ),
    "default_models": (1, lambda config: {"default_models": _dump(config.default_models)}),
    "tidy": (1, lambda config: {"keep": sorted(config.keep)}),
}
