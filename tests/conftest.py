"""Fixtures for all tests: tiny images and BIDS datasets made on the spot, and where the real data lies."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdist.scheduler import LoadScopeScheduling

from chain import Run
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image

REPOSITORY = Path(__file__).resolve().parents[1]
MakeImage = Callable[..., Path]


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]
    """What `pytest -n 2` does side by side: tests on SLURM, which mostly wait, and file after file of the others."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = nodeid.split("::")[0]
        return "slurm" if file.startswith("tests/slurm/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SideBySide:
    return SideBySide(config, log)


@pytest.fixture
def make_image(tmp_path: Path) -> MakeImage:
    """Write a small NIfTI image: `make_image("a/sub-1_FLAIR.nii.gz", shape=..., spacing=..., data=..., affine=...)`."""

    def make(
        name: str,
        shape: tuple[int, ...] = (8, 9, 10),
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        data: np.ndarray | None = None,
        affine: np.ndarray | None = None,
    ) -> Path:
        path = tmp_path / name
        values = np.random.default_rng(0).uniform(1, 100, shape).astype(np.float32) if data is None else data
        write_image(path, Image(values, np.diag([*spacing, 1.0]) if affine is None else affine))
        return path

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("FLAIRFLOW_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "real").is_dir():
        pytest.skip(f"no real scans at {folder}; set FLAIRFLOW_TEST_DATA to the folder that holds real/")
    return folder


@pytest.fixture(scope="session")
def paper_data() -> Path:
    """The folder of the paper's published scores and lists; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("FLAIRFLOW_PAPER_DATA", REPOSITORY.parent / "shared" / "paper"))
    if not (folder / "results").is_dir():
        pytest.skip(
            f"no published scores at {folder}; set FLAIRFLOW_PAPER_DATA to the folder that holds results/, splits/"
        )
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tiny cohort after its first run, one archive scan having been cut short before, and Snakemake's own report of
    it. Made by the worker that needs it first, shared by all, changed by none: who changes something takes a copy."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    run, made = Run(shared / "chain", REPOSITORY), shared / "chain.made"
    with (shared / "chain.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(run.folder, ignore_errors=True)
            run.folder.mkdir()
            run.configure()
            run.snakemake("demo/simulated.json")
            damaged = run.folder / "demo/archive/sub-002/ses-1/anat/sub-002_ses-1_FLAIR.nii.gz"
            damaged.write_bytes(damaged.read_bytes()[:5000])
            assert "1 excluded" in run.snakemake()
            run.snakemake("--report", str(run.snakemake_report))
            made.touch()
    return run
