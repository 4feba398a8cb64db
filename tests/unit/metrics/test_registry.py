"""What METRICS says of each metric is what is computed, and what docs/metrics.md says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flairflow.metrics.compute import Scores, score_probabilities
from flairflow.metrics.registry import COLUMNS, METRICS, Metric, Value
from masks import random_masks, scores

EMPTY = np.zeros((22, 19, 14), bool)
BRAIN = ~EMPTY


def all_scores(prediction: np.ndarray, reference: np.ndarray) -> Scores:
    probabilities = np.where(prediction, 0.75, 0.125).astype(np.float32)
    counted = np.ones_like(reference)
    return scores(prediction, reference) | score_probabilities(probabilities, reference, counted, BRAIN)


def test_every_metric_is_computed_and_every_computed_one_described() -> None:
    prediction, reference = random_masks(3)
    found = all_scores(prediction, reference) | all_scores(prediction, EMPTY)
    assert set(found) == set(METRICS) < set(COLUMNS)
    assert all(name == metric.name for name, metric in METRICS.items())


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_empty_masks(metric: Metric) -> None:
    prediction, reference = random_masks(3)
    assert all_scores(prediction, reference)[metric.name] is not None or metric.where == "free"
    cases: list[tuple[Value, np.ndarray, np.ndarray]] = [
        (metric.missed, EMPTY, reference),
        (metric.false, prediction, EMPTY),
        (metric.nothing, EMPTY, EMPTY),
    ]
    for stated, ours, theirs in cases:
        value = all_scores(ours, theirs)[metric.name]
        if stated == "formula":
            assert value is not None
        else:
            assert value == stated
    nowhere = {"lesion": (metric.false, metric.nothing), "free": (metric.missed,), "all": ()}[metric.where]
    assert all(value is None for value in nowhere)
    assert metric.where == "lesion" or metric.false is not None
    assert metric.where != "all" or metric.missed is not None


def test_the_documentation_says_the_same(repository: Path) -> None:
    text = (repository / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [documented(metric) for metric in METRICS.values()]


def documented(metric: Metric) -> str:
    """The row of docs/metrics.md."""

    def shown(value: Value) -> str:
        return "n/a" if value is None else value if isinstance(value, str) else f"{value:g}"

    empties = " | ".join(shown(value) for value in (metric.missed, metric.false, metric.nothing))
    better = metric.better or "-"
    return (
        f"| `{metric.name}` | {metric.description} | {metric.units or '-'} | {better} | {empties} | {metric.source} |"
    )


def test_describing_metrics_imports_nothing_heavy() -> None:
    code = "import sys, flairflow.metrics.registry; print([m for m in ('cc3d', 'scipy', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
