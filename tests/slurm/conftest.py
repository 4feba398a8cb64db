"""A SLURM for these tests alone, and a small cohort made ready for what they disturb."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain import CONFIG
from slurm.cluster import Cluster, missing
from slurm.runs import PREPARED, RECORD, SCANS, SHARD_SIZE, SHARDS, ClusterRun, copied, ledger


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds", type=int, default=1, help="how often tests/slurm is run; what it starts from is made once"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (rounds := metafunc.config.getoption("--rounds")) > 1:
        metafunc.parametrize("this_round", range(1, rounds + 1), indirect=True, scope="session")


@pytest.fixture(scope="session", autouse=True)
def this_round(request: pytest.FixtureRequest) -> Iterator[None]:
    """Says how long a round took."""
    start = time.monotonic()
    yield
    if hasattr(request, "param"):
        outcome = "failed" if request.session.testsfailed else "passed"
        report: Any = request.config.pluginmanager.get_plugin("terminalreporter")
        report.write_line(f" round {request.param} {outcome} in {time.monotonic() - start:.0f} s")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if programs := missing():
        pytest.skip(
            f"no SLURM here ({', '.join(programs)} missing); `sudo make system` installs it on Debian and Ubuntu"
        )
    with Cluster() as started:
        yield started


@pytest.fixture(scope="session")
def base(cluster: Cluster, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> ClusterRun:
    """A cohort that is indexed, with all that a training needs and nothing done for the archive."""
    run = ClusterRun(tmp_path_factory.mktemp("base"), repository, cluster)
    simulation = CONFIG["simulation"]["datasets"]
    run.configure(
        datasets={name: CONFIG["datasets"][name] for name in ("both", "archive")},
        index=CONFIG["index"] | {"shard_size": SHARD_SIZE},
        # Long enough to strike in the middle.
        registration={"template_transform": "syn", "template_resolution": 3.0},
        # SLURM looks at time limits every 30 s.
        training=CONFIG["training"] | {"updates": 480, "validate_every": 20},
        strategies=["multiclass"],
        simulation=CONFIG["simulation"]
        | {"datasets": {"both": simulation["both"], "archive": {"participants": SCANS, "voxel_size": [4, 4, 4]}}},
    )
    # Shard lists are no outputs, so shards can be asked for only when the index is there.
    run.snakemake("results/cohort.tsv")
    run.snakemake(
        *(ledger("preprocess", f"both-{split}-0001") for split in ("train", "validation")),
        ledger("register", PREPARED),
    )
    return run


@pytest.fixture(scope="session")
def undisturbed(base: ClusterRun, tmp_path_factory: pytest.TempPathFactory) -> ClusterRun:
    """The same after all that these tests disturb was done here, without SLURM."""
    run = copied(base, tmp_path_factory.mktemp("undisturbed") / "run")
    run.snakemake(*(ledger("register", shard) for shard in SHARDS), ledger("preprocess", PREPARED), RECORD)
    return run


@pytest.fixture
def run(base: ClusterRun, undisturbed: ClusterRun, tmp_path: Path) -> ClusterRun:
    """A folder of the test's own in which only the archive and the training are to do."""
    return copied(base, tmp_path / "run")
