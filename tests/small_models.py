"""Plans and records of small models that have learnt nothing, with what a test says of them."""

from __future__ import annotations

from typing import Any

from flairflow.config.models import NetworkSettings, PreprocessingSettings
from flairflow.network.plan import Plan, Record


def small_plan(network: NetworkSettings, **changes: Any) -> Plan:
    """The plan of a network that tells the labels A and B in a FLAIR."""
    values: dict[str, Any] = {
        "strategy": "marginal",
        "part": "all",
        "labels": ("A", "B"),
        "precedence": ("B", "A"),
        "classes": ("A", "B"),
        "activation": "softmax",
        "images": ("FLAIR",),
        "preprocessing": PreprocessingSettings(spacing=1.0),
        "patch": 16,
        "overlap": 0.25,
    }
    return Plan(network=network, **(values | changes))


def small_record(**changes: Any) -> Record:
    """The record of a training of one update."""
    values: dict[str, Any] = {
        "seed": 0,
        "updates": 1,
        "best_update": 1,
        "best_score": None,
        "history": (),
        "training_scans": 1,
        "validation_scans": 0,
        "annotated": {},
        "inputs": "",
        "precision": "32",
        "versions": {},
    }
    return Record(**(values | changes))
