"""The Snakefile: it parses cheaply, refuses faulty configurations in words, and agrees with its environments."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

RULES = {
    "all",
    "train",
    "simulate",
    "index",
    "register",
    "preprocess",
    "train_model",
    "segment",
    "segment_archive",
    "volumes",
    "pseudolabel",
    "thresholds",
    "evaluate",
    "metrics",
    "compare",
    "report",
    "tidy",
}


def snakemake(folder: Path, *arguments: str, repository: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile"), "--cores", "2"]
    return subprocess.run(
        [*command, "--directory", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    (tmp_path / "data").mkdir()
    path.write_text("labels: [A]\ndatasets:\n  ds: {root: data, labels: {A: {}}}\n")
    return path


def test_the_demo_is_planned_by_the_literal_commands(tmp_path: Path, repository: Path) -> None:
    for arguments in ([], ["--profile", str(repository / "profiles/local")], ["--profile", str(repository / "slurm")]):
        configured = ["--configfile", str(repository / "config.yaml")]
        done = snakemake(tmp_path, "-n", *configured, *arguments, repository=repository)
        assert done.returncode == 0, done.stderr
        assert "simulate" in done.stdout + done.stderr


def test_a_dry_run_leaves_nothing_behind(tmp_path: Path, config_file: Path, repository: Path) -> None:
    done = snakemake(tmp_path, "-n", "--configfile", str(config_file), repository=repository)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "results").exists()


def test_the_rules_are_those_of_the_design(tmp_path: Path, config_file: Path, repository: Path) -> None:
    listed = snakemake(tmp_path, "--list-rules", "--configfile", str(repository / "config.yaml"), repository=repository)
    assert set((listed.stdout + listed.stderr).split()) >= RULES


def test_a_faulty_configuration_ends_in_words_not_in_a_traceback(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("labels: [A]\nstrategies: [magic]\ndatasets:\n  ds: {root: data, labels: {A: {}}}\n")
    done = snakemake(tmp_path, "-n", "--configfile", str(path), repository=repository)
    assert done.returncode != 0
    assert (
        "strategies: magic: 'magic' is none of class_adaptive, class_conditional, marginal,"
        in done.stdout + done.stderr
    )
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "labels: [A, B]\ndatasets:\n  ds: {root: data, labels: {A: {}}}\n",
            "multiclass learns from masks that no dataset has",
        ),
        (
            "labels: [A]\nstrategies:\n  pseudolabels: {teacher: pseudolabels}\ndatasets:\n"
            "  ds: {root: data, labels: {A: {}}}\n",
            "strategies: pseudolabels needs pseudolabels: nothing can be trained first",
        ),
        (
            "labels: [A, B]\nstrategies:\n  pseudolabels: {teacher: multiclass}\ndatasets:\n"
            "  ds: {root: data, labels: {A: {}}}\n",
            "multiclass learns from masks that no dataset has",
        ),
        (
            "labels: [A]\nstrategies:\n  phased: {papre: true}\ndatasets:\n  ds: {root: data, labels: {A: {}}}\n",
            "strategies.phased.papre: no such key; here there are strategy, calibrates, budget, paper",
        ),
        ("labels: [A]\ndatasets:\n  ds: {root: data}\nmodels: {m: [nowhere]}\n", "nowhere is no usable model folder"),
        ("labels: [B]\ndatasets:\n  ds: {root: data}\nmodels: {m: [model]}\n", "labels is ['B'], but models.m (model)"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(tmp_path: Path, repository: Path, text: str, says: str) -> None:
    (tmp_path / "model").mkdir()
    plan = {"labels": ["A"], "images": ["FLAIR"], "preprocessing": {"spacing": 2.0}}
    (tmp_path / "model" / "plan.json").write_text(json.dumps(plan))
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    done = snakemake(tmp_path, "-n", "--configfile", str(path), repository=repository)
    assert done.returncode != 0
    assert says in done.stdout + done.stderr


def test_given_models_are_inputs_wherever_they_lie(tmp_path: Path, config_file: Path, repository: Path) -> None:
    """Even where this workflow once trained them: nothing trains them again or removes them."""
    folder = tmp_path / "results/models/marginal/all/seed-0"
    folder.mkdir(parents=True)
    plan = {"labels": ["A"], "images": ["FLAIR"], "preprocessing": {"spacing": 2.0}}
    for name in ("weights.safetensors", "plan.json", "record.json"):
        (folder / name).write_text(json.dumps(plan))
    config_file.write_text(f"{config_file.read_text()}models: {{mine: [results/models/marginal/all/seed-0]}}\n")
    rules = snakemake(tmp_path, "--list-rules", "--configfile", str(config_file), repository=repository)
    listed = set((rules.stdout + rules.stderr).split())
    assert "segment" in listed and not {"train_model", "pseudolabel"} & listed
    planned = snakemake(tmp_path, "-n", "--configfile", str(config_file), repository=repository)
    assert planned.returncode == 0, planned.stderr


def test_parsing_imports_nothing_heavy(tmp_path: Path, config_file: Path, repository: Path) -> None:
    """Every cluster job parses the Snakefile again."""
    probe = tmp_path / "probe.smk"
    text = (repository / "Snakefile").read_text().replace('include: "', f'include: "{repository}/')
    heavy = [
        "torch",
        "monai",
        "lightning",
        "ants",
        "nibabel",
        "nilearn",
        "scipy",
        "matplotlib",
        "bids2table",
        "cc3d",
        "safetensors",
        "torchio",
    ]
    probe.write_text(f"{text}\nimport sys\nprint('HEAVY', [m for m in {heavy} if m in sys.modules])\n")
    command = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(probe), "--configfile", str(config_file)]
    done = subprocess.run([*command, "--directory", str(tmp_path)], capture_output=True, text=True, check=False)
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr


def test_a_rule_only_wires(repository: Path) -> None:
    for path in sorted((repository / "rules").glob("*.smk")):
        text = path.read_text()
        assert not re.search(r"^\s+(run|script|notebook):", text, re.MULTILINE), path
        for shell in re.findall(r"shell:\n((?:\s+\".*\"\n)+)", text):
            assert shell.strip().startswith('"flairflow '), shell
        for rule in re.split(r"^\s*(?:rule|checkpoint) ", text, flags=re.MULTILINE)[1:]:
            assert "log:" in rule, rule
            assert "mem_mb=" in rule and "runtime=" in rule, rule
    assert len((repository / "Snakefile").read_text().splitlines()) < 80


def test_environments_are_pinned_like_the_lock_file(repository: Path) -> None:
    locked = set((repository / "requirements.lock").read_text().splitlines())
    assert "torch==2.13.0" in locked
    for path in (repository / "envs").glob("*.yaml"):
        dependencies: list[Any] = yaml.safe_load(path.read_text())["dependencies"]
        pins = next(item["pip"] for item in dependencies if isinstance(item, dict))
        assert set(pins) <= locked, path
        assert path.with_name(f"{path.stem}.post-deploy.sh").exists()


def test_packages_that_training_names_are_in_its_environment(repository: Path) -> None:
    environment = (repository / "envs/network.yaml").read_text()
    names: set[str] = set()
    for path in (repository / "src/flairflow/training").rglob("*.py"):
        text = path.read_text()
        if "from importlib.metadata import version" in text:
            names |= set(re.findall(r"version\([\"'](\w+)[\"']\)", text))
            for group in re.findall(r"version\(name\) for name in \(([^)]*)\)", text):
                names |= set(re.findall(r"\w+", group))
    assert {"torch", "safetensors"} <= names
    for name in names - {"flairflow"}:
        assert f"- {name}==" in environment, name


def test_the_lock_file_satisfies_the_project(repository: Path) -> None:
    import tomllib

    from packaging.requirements import Requirement

    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in (repository / "requirements.lock").read_text().splitlines()
        if "==" in line
    )
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"] + project["optional-dependencies"]["test"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name.lower().replace("_", "-")]), text


def test_profiles_name_rules_and_resources_that_exist(repository: Path) -> None:
    assert (repository / "slurm").readlink() == Path("profiles/slurm")
    for path in (repository / "profiles").glob("*/config.yaml"):
        profile = yaml.safe_load(path.read_text())
        assert set(profile.get("set-resources", {})) <= RULES
        for resources in [profile.get("default-resources", {}), *profile.get("set-resources", {}).values()]:
            assert all(name in ("runtime", "mem_mb", "gpu") or name.startswith("slurm_") for name in resources)


def test_help_is_quick_and_light() -> None:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flairflow.cli", "--help"], capture_output=True, text=True
    )
    assert time.perf_counter() - started < 5  # a hang, not a benchmark
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"numpy", "pandas", "pydantic", "torch"}
