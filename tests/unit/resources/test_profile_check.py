"""What a profile says that a cluster would refuse, or take otherwise, hours later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flairflow.errors import ConfigError
from flairflow.resources.profile_check import check_site


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ({"gpu_model": "nvidia_a100-sxm4-80gb"}, "--gpus-per-node=nvidia_a100-sxm4-80gb:1"),
        ({"gpu_model": "'a100'"}, ""),
        ({"gpu_model": "a100"}, ""),
        ({"gpu_model": "3g.40gb"}, ""),
        ({"gpu_model": "\"'a100'\""}, "letters, digits"),
        ({"mem_mb_per_cpu": 2000}, "would replace the memory that each job asks for"),
        ({"mem_mb_per_cpu": "2000 * attempt"}, "would replace the memory that each job asks for"),
        ({"time": "1:00:00"}, "it is called runtime"),
        ({"gpus": 1}, "it is called gpu"),
        ({"partition": "long"}, "it is called slurm_partition"),
        ({"slurm_extra": "'--exclude=node07'"}, ""),
        ({"slurm_extra": "'--mem=4G'"}, "slurm_extra: The --memory option is not allowed"),
        ({"slurm_extra": "--partition=gpu"}, "slurm_extra: The --partition option is not allowed"),
        ({"gres": "gpu:a100-80gb:1"}, "gres: Invalid GRES format"),
        ({"gres": "lscratch:10G"}, ""),
        ({"slurm_partition": "cpu", "runtime": 60, "mem_mb": "2000 * attempt", "scratch": "/scratch/$USER"}, ""),
    ],
)
def test_resources_are_looked_at_before_anything_is_submitted(resources: dict[str, Any], says: str) -> None:
    if not says:
        check_site({"set-resources.train_model": resources})
        return
    name = next(iter(resources))
    with pytest.raises(ConfigError, match=rf"profile: set-resources\.train_model: {name}: ") as caught:
        check_site({"set-resources.train_model": resources})
    assert says in str(caught.value)


def dry_run(folder: Path, profile: dict[str, Any], repository: Path) -> subprocess.CompletedProcess[str]:
    (folder / "profile").mkdir()
    (folder / "profile/config.yaml").write_text(yaml.safe_dump(profile))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile"), "-n"]
    command += ["--directory", str(folder), "--configfile", str(repository / "config.yaml")]
    command += ["--profile", str(folder / "profile")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_dry_run_says_so_too_and_a_local_run_does_not_mind(tmp_path: Path, repository: Path) -> None:
    resources = {"set-resources": {"train_model": {"gpu_model": "nvidia_a100-sxm4-80gb"}}}
    (tmp_path / "a").mkdir()
    done = dry_run(tmp_path / "a", {"executor": "slurm", "jobs": 5, **resources}, repository)
    assert done.returncode != 0
    assert "profile: set-resources.train_model: gpu_model: nvidia_a100-sxm4-80gb" in done.stdout + done.stderr
    (tmp_path / "b").mkdir()
    assert dry_run(tmp_path / "b", {"executor": "local", "cores": 2, **resources}, repository).returncode == 0


TURNS = """
from pathlib import Path
from flairflow import dag
dag.may_have_gpu = lambda: {gpu}
dag.share_cores(workflow)
rule all:
    input: ["1", "2"]
rule one:
    output: "{{number}}"
    resources: gpu=1
    # Ends at once where the other runs at the same time.
    shell:
        "touch began-{{output}}; for i in $(seq {rounds}); do [ $(ls began-* | wc -l) = 2 ] && break; sleep 0.1; done;"
        " ls began-* | wc -l > {{output}}; rm began-{{output}}"
"""


@pytest.mark.parametrize(("gpu", "together"), [(False, "2"), (True, "1")])
def test_jobs_of_networks_take_turns_only_where_there_is_a_gpu(tmp_path: Path, gpu: bool, together: str) -> None:
    (tmp_path / "Snakefile").write_text(TURNS.format(gpu=gpu, rounds=10 if gpu else 600))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--resources", "gpu=1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert together in {(tmp_path / name).read_text().strip() for name in "12"}
