"""What the training stage says when it trains a model again."""

from __future__ import annotations

from pathlib import Path

import pytest

from flairflow.training.stage import _say_what_changed


def test_a_model_trained_again_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = tmp_path / "scans.json"
    _say_what_changed(record, {"a": "1", "b": "1"}, "model")
    assert not caplog.records
    _say_what_changed(record, {"a": "1", "b": "1"}, "model")
    assert not caplog.records
    _say_what_changed(record, {"b": "2", "c": "1", "d": "1"}, "model")
    assert "model is trained again" in caplog.text
    assert "2 new (c, d); 1 gone (a); 1 changed (b)" in caplog.text
