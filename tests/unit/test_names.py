"""Labels and strategies are data: no module knows one by name but those that are about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flairflow.config.models import Config
from flairflow.training import strategies

ABOUT_LABELS = ("training/default_models/", "simulation/", "config/simulation.py")


def modules(repository: Path) -> list[Path]:
    source = repository / "src" / "flairflow"
    return [
        *source.rglob("*.py"),
        *source.rglob("*.html"),
        repository / "Snakefile",
        *(repository / "rules").glob("*.smk"),
    ]


def test_no_label_is_known_by_name(repository: Path) -> None:
    for path in modules(repository):
        if not any(about in path.as_posix() for about in ABOUT_LABELS):
            assert not re.search(r"\b(WMH|ISL)\b", path.read_text()), path


def test_no_strategy_is_known_by_name_but_as_a_default(repository: Path) -> None:
    defaults = Config.model_fields["strategies"].default
    assert {*defaults, strategies.DEFAULT_TEACHER} <= set(strategies.names())
    quoted = re.compile("|".join(f"[\"'](?:{name})[\"']" for name in strategies.names()))
    # What may name one: the default entries; and a folder, and intermediates that are kept, bear the name of what a
    # teacher predicts.
    about = re.compile(r"StrategySettings\(\)|Intermediate|keep|self\.root /|lambda what")
    for path in modules(repository):
        found = [line for line in path.read_text().splitlines() if quoted.search(line)]
        if path.parent.name != "strategies":
            assert all(about.search(line) for line in found), (path, found)
        else:
            own = f'"{path.stem}"' if path.stem != "__init__" else f'"{strategies.DEFAULT_TEACHER}"'
            assert all(set(quoted.findall(line)) == {own} for line in found), (path, found)


def test_no_path_of_a_machine_stands_in_the_tree(repository: Path) -> None:
    for path in [*modules(repository), *(repository / "tests").rglob("*.py"), repository / "README.md"]:
        assert not re.search(r"(^|[^A-Za-z0-9_.-])/(work|farm|home|root)/", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize("name", strategies.names())
def test_every_strategy_is_a_small_file(repository: Path, name: str) -> None:
    path = repository / "src/flairflow/training/strategies" / f"{name}.py"
    assert len(path.read_text().splitlines()) < 150
