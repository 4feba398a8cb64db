"""Whole processes, measured: wall time and peak memory, of the process and of those that it started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """One finished process: wall and CPU seconds, peak memory in MB (10^6 bytes; of the largest process where it starts
    others), what it printed."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def run(command: list[str], folder: Path) -> Run:
    """Run a command in a folder. Raises SystemExit with what it printed where it fails."""
    output = folder / "output.txt"
    # Jobs call `flairflow`: the one of this environment, whether or not it was activated.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with output.open("wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text()
    output.unlink()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed in {folder}:\n{text[-3000:]}")
    # Linux counts KiB.
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, text)


def apart(work: Callable[..., Any], *arguments: Any) -> None:
    """Do something in a process of its own: this one must stay small, its memory counts as that of what it starts."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(work, *arguments).result()


def flairflow(folder: Path, *arguments: str) -> Run:
    """A subcommand of flairflow, with the cohort's configuration."""
    command = [sys.executable, "-m", "flairflow.cli", *arguments, "--config", "config.yaml", "--log", "log.txt"]
    return run(command, folder)


def snakemake(folder: Path, *arguments: str) -> Run:
    """flairflow's workflow, scheduled as by the profile for clusters."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--configfile", "config.yaml", "--cores", "2", "--scheduler", "greedy"]
    return run([*command, "--rerun-triggers", "mtime", "params", "input", *arguments], folder)
