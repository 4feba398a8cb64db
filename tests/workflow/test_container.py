"""The container: defined by files that exist, and its two scripts keep jobs inside it. (It is not built here.)"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet


def test_the_image_is_made_of_the_lock_file_and_what_the_package_needs(repository: Path) -> None:
    text = (repository / "Apptainer.def").read_text()
    sections = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", text, re.MULTILINE | re.DOTALL))
    copied = [line.split()[0] for line in sections["files"].splitlines() if line.strip()]
    assert all((repository / path).exists() for path in copied), copied
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert {"pyproject.toml", "src", project["readme"], *project["license-files"]} <= set(copied)
    assert "-r /opt/flairflow/requirements.lock" in sections["post"]
    python = re.search(r"^From: python:([\d.]+)", text, re.MULTILINE)
    assert python and python[1] in SpecifierSet(project["requires-python"])


def test_a_step_starts_where_its_job_is(repository: Path) -> None:
    command = [
        str(repository / "envs/container/srun"),
        "-n1",
        "--cpu-bind=q",
        "--cpus-per-task=2",
        "echo",
        "-n",
        "a  b",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "a  b"


def test_what_is_submitted_starts_in_the_container_again(repository: Path, tmp_path: Path) -> None:
    """With the real sbatch replaced by a program that prints its arguments, one a line."""
    printing = tmp_path / "sbatch"
    script = (repository / "envs/container/sbatch").read_text().replace("/usr/bin/sbatch", "printf '%s\\n'")
    printing.write_text(script.replace("exec printf", "printf"))
    done = subprocess.run(
        ["sh", printing, "--parsable", "--comment", "rule_a wildcards_x", '--wrap=python -m snakemake "a b"'],
        env={**os.environ, "APPTAINER_CONTAINER": "/images/flairflow.sif"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "--parsable",
        "--comment",
        "rule_a wildcards_x",
        '--wrap=apptainer exec --nv /images/flairflow.sif python -m snakemake "a b"',
    ]
