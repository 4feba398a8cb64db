"""The Snakefile: it parses cheaply, refuses faulty configurations in words, and agrees with its environments."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import warm
from chain import Run
from flairflow.config import read_config
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image
from flairflow.paths import Results
from flairflow.resources.request import COSTS
from flairflow.status import jobs as status_plan
from flairflow.status.cohort import read_cohort
from flairflow.status.file_cache import Reader

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
    "default_models",
    "volumes",
    "pseudolabel",
    "thresholds",
    "evaluate",
    "metrics",
    "comparison",
    "compare",
    "paper",
    "report",
    "tidy",
}


def snakemake(folder: Path, *arguments: str, repository: Path) -> subprocess.CompletedProcess[str]:
    command = ["snakemake", "--snakefile", str(repository / "Snakefile"), "--cores", "2", "--directory", str(folder)]
    return warm.run(*command, *arguments, cwd=folder)


def make_model(folder: Path, labels: list[str], without: str = "") -> None:
    """The files of a model, with a whole plan but for one key, and nothing else in them."""
    folder.mkdir(parents=True, exist_ok=True)
    network = {"filters": [4, 8, 16], "deep_supervision": 1}
    plan: dict[str, Any] = {"labels": labels, "classes": labels, "images": ["FLAIR"], "activation": "softmax"}
    plan |= {"preprocessing": {"spacing": 2.0}, "network": network, "patch": 16, "overlap": 0.25}
    plan.pop(without, None)
    for name in ("weights.safetensors", "plan.json", "record.json"):
        (folder / name).write_text(json.dumps(plan))


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    (tmp_path / "data/sub-1/anat").mkdir(parents=True)
    (tmp_path / "data/sub-1/anat/sub-1_FLAIR.nii.gz").touch()
    path.write_text("labels: [A]\ndatasets:\n  ds: {root: data, labels: {A: {}}}\n")
    return path


def test_the_demo_is_planned(tmp_path: Path, repository: Path) -> None:
    """Without a profile; with one: test_the_literal_commands_work_from_the_repository."""
    done = snakemake(tmp_path, "-n", "--configfile", str(repository / "config.yaml"), repository=repository)
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
            "strategies.phased.papre: no such key; here there are strategy, calibrates, budget, init, paper",
        ),
        ("labels: [A]\ndatasets:\n  ds: {root: data}\nmodels: {m: [nowhere]}\n", "nowhere is no usable model folder"),
        ("labels: [B]\ndatasets:\n  ds: {root: data}\nmodels: {m: [model]}\n", "labels is ['B'], but models.m (model)"),
        (
            "labels: [A]\ndatasets:\n  ds: {root: data}\nmodels: {m: [old]}\n",
            "old is no usable model folder (plan.json has no patch)",
        ),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(tmp_path: Path, repository: Path, text: str, says: str) -> None:
    make_model(tmp_path / "model", ["A"])
    make_model(tmp_path / "old", ["A"], without="patch")
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    done = snakemake(tmp_path, "-n", "--configfile", str(path), repository=repository)
    assert done.returncode != 0
    assert says in done.stdout + done.stderr


def test_given_models_are_inputs_wherever_they_lie(tmp_path: Path, config_file: Path, repository: Path) -> None:
    """Even where this workflow once trained them: nothing trains them again or removes them."""
    make_model(tmp_path / "results/models/marginal/all/seed-0", ["A"])
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
            # A target runs nothing.
            assert "shell:" in rule or "localrule: True" in rule, rule
            if "shell:" in rule:
                assert "log:" in rule, rule
                # What a stage's code makes changes with its version.
                assert "settings=" in rule, rule
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
    source = repository / "src/flairflow"
    for path in [*source.glob("training/**/*.py"), *source.glob("network/**/*.py")]:
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


# What the SLURM plugin passes on; other names, such as `time`, `mem` or `gpus`, it would drop without a word.
RESOURCES = {"runtime", "mem_mb", "gpu", "gpu_model", "qos", "constraint", "scratch", "tmpdir"}


def rules_of(repository: Path) -> dict[str, str]:
    """The text of every rule by its name."""
    texts: dict[str, str] = {}
    for path in (repository / "Snakefile", *sorted((repository / "rules").glob("*.smk"))):
        parts = re.split(r"^\s*(?:rule|checkpoint) (\w+):\n", path.read_text(), flags=re.MULTILINE)
        texts |= dict(zip(parts[1::2], parts[2::2], strict=True))
    return texts


def test_every_rule_asks_for_what_the_plugin_knows(repository: Path) -> None:
    rules = rules_of(repository)
    assert set(rules) == RULES
    for name, text in rules.items():
        if "localrule: True" in text:
            continue
        asked = set(re.findall(r"^ +(\w+)=", text.split("resources:")[1].split("params:")[0], re.MULTILINE))
        assert {"mem_mb", "runtime"} <= asked <= RESOURCES, name
        # Each by its own formula, and measured.
        assert f'dag.memory(CONFIG, "{name}")' in text and f'dag.minutes(CONFIG, "{name}")' in text, name
        assert "benchmark:" in text, name
        assert "retries:" not in text, name
    assert {name for name, text in rules.items() if "localrule" not in text} == set(COSTS)


def test_profiles_name_rules_and_resources_that_exist(repository: Path) -> None:
    assert (repository / "slurm").readlink() == Path("profiles/slurm")
    rules = rules_of(repository)
    profiles = {}
    for path in (repository / "profiles").glob("*/config.yaml"):
        # What is commented out, for users to fill in, is held to the same.
        for text in (path.read_text(), re.sub(r"^( *)# (\w+: \S.*)$", r"\1\2", path.read_text(), flags=re.MULTILINE)):
            profiles[path.parent.name] = profile = yaml.safe_load(text)
            assert set(profile.get("set-resources", {})) <= set(rules)
            for resources in [profile.get("default-resources", {}), *profile.get("set-resources", {}).values()]:
                assert all(name in RESOURCES or name.startswith("slurm_") for name in resources)
    on_gpu = {
        name
        for name, resources in profiles["slurm"]["set-resources"].items()
        if resources["slurm_partition"] != profiles["slurm"]["default-resources"]["slurm_partition"]
    }
    assert on_gpu == {name for name, text in rules.items() if re.search(r"^ +gpu=1,$", text, re.MULTILINE)}
    assert profiles["slurm"]["retries"] == profiles["local"]["retries"] > 0
    assert profiles["local"]["resources"] == {"gpu": 1}


def test_site_values_stand_in_one_block(repository: Path) -> None:
    _, block, rest = re.split(r"^# ---.*\n", (repository / "profiles/slurm/config.yaml").read_text(), flags=re.M)
    assert set(yaml.safe_load(block)) == {"default-resources", "set-resources", "jobs"}
    assert not re.search(r"partition:|account:|qos:|scratch:", rest)


def test_the_literal_commands_work_from_the_repository(tmp_path: Path, repository: Path) -> None:
    """Snakemake refuses a profile with a key it does not know."""
    for profile in ("slurm", "profiles/local"):
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--profile",
            profile,
            "-n",
            "--cores",
            "2",
            "--configfile",
            "config.yaml",
        ]
        done = subprocess.run(
            [*command, "--directory", str(tmp_path)], cwd=repository, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r"resources:.*mem_mb=\d+.*", done.stdout + done.stderr)


def test_jobs_work_on_the_disk_that_a_profile_names(indexed: Run) -> None:
    """Only where it names one; the variables are left to the shell of the job."""
    shards = [str(Results("results").ledger("register", f"ds-{split}-0001")) for split in ("train", "test")]
    commands = indexed.snakemake("-n", "-p", *shards, "--default-resources", "scratch=/fast/$FLAIRFLOW_UNSET")
    assert commands.count(' --scratch "/fast/$FLAIRFLOW_UNSET"') == 2
    assert "--scratch" not in indexed.snakemake("-n", "-p", *shards)


def test_help_is_quick_and_light() -> None:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flairflow.cli", "--help"], capture_output=True, text=True
    )
    assert time.perf_counter() - started < 5  # a hang, not a benchmark
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"numpy", "pandas", "pydantic", "torch"}


# Every strategy, and entries that share their networks.
STRATEGIES: dict[str, Any] = {
    "multiclass": None,
    "multimodel": None,
    "multimodel_temperature": {"calibrates": "multimodel"},
    "phased": None,
    "phased_paper": {"strategy": "phased", "paper": True},
    "class_conditional": None,
    "class_adaptive": None,
    "marginal": None,
    "marginal_long": {"strategy": "marginal", "budget": 2},
    "pseudolabels": None,
    "uncentred": {"strategy": "pseudolabels", "centred_on_filled": False},
    "masked_sigmoid": None,
    "marginal_exclusion": None,
    "noisy_student": {"folds": 2},
}
Jobs = dict[tuple[str, ...], set[str]]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Run:
    """A cohort after its index: half of the scans lack the mask of B."""
    run = Run(tmp_path_factory.mktemp("indexed"), repository)
    splits = []
    for number in range(8):
        folder = run.folder / f"data/sub-{number}/anat"
        image = np.random.default_rng(number).uniform(1, 100, (8, 9, 10)).astype(np.float32)
        write_image(folder / f"sub-{number}_FLAIR.nii.gz", Image(image, np.eye(4)))
        for label in "AB"[: 1 + number % 2]:
            write_image(folder / f"sub-{number}_label-{label}_mask.nii.gz", Image(image > 50, np.eye(4)))
        splits.append(f"{number}\t{('train', 'validation', 'test')[number // 2 % 3]}")
    (run.folder / "splits.tsv").write_text("participant\tsplit\n" + "\n".join(splits) + "\n")
    labels = {label: {"entities": {"label": label}} for label in "AB"}
    dataset = {"root": "data", "labels": labels, "split_list": "splits.tsv"}
    values = {"labels": ["A", "B"], "datasets": {"ds": dataset}, "strategies": STRATEGIES, "seeds": [0, 1]}
    (run.folder / "config.yaml").write_text(yaml.safe_dump(values))
    run.snakemake("--until", "index")
    return run


def planned_jobs(run: Run, *targets: str) -> Jobs:
    """What a run would do: the jobs' rules and wildcards, with their inputs."""
    jobs: Jobs = {}
    for text in re.split(r"\n\n|\n(?=\[)", run.snakemake("-n", *targets)):
        if found := re.search(r"^(?:local)?(?:rule|checkpoint) (\w+):", text, re.MULTILINE):
            wildcards = re.search(r"^    wildcards: (.*)$", text, re.MULTILINE)
            inputs = re.search(r"^    input: (.*)$", text, re.MULTILINE)
            key = (found[1], *(pair.split("=")[1] for pair in (wildcards[1].split(", ") if wildcards else [])))
            assert key not in jobs, key
            jobs[key] = set(inputs[1].split(", ")) if inputs else set()
    return jobs


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"strategies": {"pseudolabels": {"teacher": "phased"}}, "segmentation": {"model": "pseudolabels"}},
        {"strategies": {"calibrated": {"calibrates": "multimodel"}, "pseudolabels": {"teacher": "calibrated"}}},
        {"strategies": {"noisy_student": {"folds": 2, "rounds": 2}, "warm": {"calibrates": "noisy_student"}}},
        {"models": {"mine": ["model"], "other": ["model"]}},
    ],
)
def test_the_status_expects_the_jobs_that_are_planned(indexed: Run, changes: dict[str, Any]) -> None:
    run = Run(indexed.folder, indexed.repository)
    before = run.values
    make_model(run.folder / "model", ["A", "B"])
    try:
        run.change(**changes)
        planned = run.planned()
        config = read_config(run.folder / "config.yaml")
        stages = status_plan.plan(config, run.results, read_cohort(run.results, Reader()), run.folder)
    finally:
        run.change(**before | {key: {} for key in changes if key not in before})
    assert Counter(job.rule for stage in stages for job in stage.jobs if stage.name != "index") == planned


def test_shared_networks_are_trained_once_and_in_order(indexed: Run) -> None:
    jobs = planned_jobs(indexed)
    trained = {job[1:] for job in jobs if job[0] == "train_model"}
    one_network = {"multiclass", "class_conditional", "class_adaptive", "marginal", "marginal_long", "pseudolabels"}
    one_network |= {"uncentred", "masked_sigmoid", "marginal_exclusion"}
    parts = {(name, "all") for name in one_network}
    parts |= {(name, part) for name in ("multimodel", "multimodel_temperature") for part in "AB"}
    parts |= {(name, part) for name in ("phased", "phased_paper") for part in ("lesion", "all")}
    parts |= {("noisy_student", part) for part in ("round1-fold1", "round1-fold2", "all")}
    assert trained == {(*part, seed) for part in parts for seed in "01"}

    shard = "ds-train-0001"
    assert {job for job in jobs if job[0] == "pseudolabel"} == {
        ("pseudolabel", "marginal", shard),
        ("pseudolabel", "noisy_student.round1", shard),
    }

    def needs(name: str, part: str, seed: str = "0") -> set[str]:
        """What a network needs besides the prepared scans."""
        inputs = jobs["train_model", name, part, seed]
        return {path for path in inputs if not path.startswith("results/ledgers/preprocess/")}

    def weights(name: str, part: str, seeds: str = "0") -> set[str]:
        return {
            f"results/models/{name}/{part}/seed-{seed}/{file}"
            for file in ("weights.safetensors", "plan.json", "record.json")
            for seed in seeds
        }

    for name, part in parts - {("multimodel_temperature", "A"), ("multimodel_temperature", "B")}:
        if name not in ("pseudolabels", "uncentred") and (name, part) not in [
            ("phased", "all"),
            ("phased_paper", "all"),
            ("noisy_student", "all"),
        ]:
            assert needs(name, part) == set(), (name, part)
    # The marginal ensemble teaches and is a contestant, and it is the same.
    taught = {f"results/ledgers/pseudolabel/marginal/{shard}.tsv"}
    assert needs("pseudolabels", "all") == needs("uncentred", "all", "1") == taught
    assert jobs["pseudolabel", "marginal", shard] >= weights("marginal", "all", "01")
    assert ("segment", "marginal", "ds-test-0001") in jobs
    # A temperature is fitted to the network of its seed; a second phase goes on from the first of its own seed.
    assert needs("multimodel_temperature", "B", "1") == weights("multimodel", "B", "1")
    assert needs("phased", "all", "1") == weights("phased", "lesion", "1")
    assert needs("phased_paper", "all", "0") == weights("phased_paper", "lesion", "0")
    # The folds' teachers, of all seeds, come before what learns from them; they themselves segment nothing.
    assert needs("noisy_student", "all") == {f"results/ledgers/pseudolabel/noisy_student.round1/{shard}.tsv"}
    folds = weights("noisy_student", "round1-fold1", "01") | weights("noisy_student", "round1-fold2", "01")
    assert jobs["pseudolabel", "noisy_student.round1", shard] >= folds
    segmented = jobs["segment", "noisy_student", "ds-test-0001"]
    assert segmented >= weights("noisy_student", "all", "01") and not segmented & folds
    segmented = jobs["segment", "multimodel", "ds-test-0001"]
    assert segmented >= weights("multimodel", "A", "01") | weights("multimodel", "B", "01")
    assert {job[1] for job in jobs if job[0] == "segment"} == set(STRATEGIES)


def test_what_teaches_is_trained_even_where_it_is_no_contestant(indexed: Run) -> None:
    run = Run(indexed.folder, indexed.repository)
    before = run.values
    try:
        run.change(strategies={"pseudolabels": {"teacher": "phased"}})
        jobs = planned_jobs(run)
    finally:
        run.change(**before)
    trained = {job[1:] for job in jobs if job[0] == "train_model"}
    parts = [("phased", "lesion"), ("phased", "all"), ("pseudolabels", "all")]
    assert trained == {(*part, seed) for part in parts for seed in "01"}
    assert {job[1] for job in jobs if job[0] == "segment"} == {"pseudolabels"}


def test_compare_stands_for_tables_and_figures_and_segments_test_scans_alone(indexed: Run) -> None:
    jobs = planned_jobs(indexed, "compare")
    wanted = {str(path) for path in Results("results").comparison_tables}
    assert {"results/tables/main.tex", "results/tables/pairs.json"} < wanted < jobs["compare",]
    assert {"results/tables/comparison.tsv", "results/figures/ranking_A.svg"} < jobs["compare",]
    assert {job[2] for job in jobs if job[0] == "segment"} == {"ds-test-0001"}
    assert ("comparison",) in jobs and not {("volumes",), ("report",), ("tidy",)} & set(jobs)
    # What delivers the masks segments the other scans in a whole run.
    assert len({job[2] for job in planned_jobs(indexed) if job[0] == "segment"}) == 3
