"""Each rule finds what it imports in its own environment, made of `envs/*.yaml` alone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml


def commands_by_environment(repository: Path) -> dict[str, list[str]]:
    """By environment the subcommands that rules run in it; every rule that runs one has one."""
    found = defaultdict(list)
    for path in (repository / "rules").glob("*.smk"):
        for rule in re.split(r"^ *(?=(?:rule|checkpoint) \w+:)", path.read_text(), flags=re.MULTILINE):
            if command := re.search(r"\"flairflow ([\w-]+)", rule):
                environment = re.search(r"conda:\s+\"\.\./envs/(\w+)\.yaml\"", rule)
                assert environment, f"no environment: {rule}"
                found[environment.group(1)].append(command.group(1))
    return found


def pins(repository: Path, environment: str) -> list[str]:
    dependencies = yaml.safe_load((repository / f"envs/{environment}.yaml").read_text())["dependencies"]
    packages: list[str] = next(item["pip"] for item in dependencies if isinstance(item, dict))
    return [package.split("==")[0] for package in packages]


def imported(repository: Path, commands: list[str], packages: list[str]) -> str:
    """What could not be imported."""
    command = [sys.executable, str(repository / "tests/workflow/restricted.py"), ",".join(commands), *packages]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600).stderr


@pytest.mark.parametrize("environment", ["images", "network"])
def test_rules_import_what_they_run_in_their_own_environment(repository: Path, environment: str) -> None:
    commands = commands_by_environment(repository)
    assert sorted(commands) == ["images", "network"] and sum(map(len, commands.values())) >= 15
    assert imported(repository, commands[environment], pins(repository, environment)) == ""


def test_a_package_that_is_missing_is_noticed(repository: Path) -> None:
    without = [package for package in pins(repository, "network") if package != "connected-components-3d"]
    assert "pseudolabel: flairflow.inference.pseudolabels: No module named 'cc3d'" in imported(
        repository, ["pseudolabel"], without
    )
