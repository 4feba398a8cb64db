"""Registration of real scans against published transforms and masks. The data are never part of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("FLAIRFLOW_TEST_DATA", REPOSITORY.parent / "shared" / "data" / "real"))


@pytest.mark.skipif(not (DATA / "ms_long").is_dir(), reason=f"no real scans at {DATA} (set FLAIRFLOW_TEST_DATA)")
def test_published_transforms_and_brain_masks_are_met() -> None:
    benchmark = [sys.executable, str(REPOSITORY / "benchmarks" / "registration.py"), str(DATA)]
    run = subprocess.run(benchmark, capture_output=True, text=True, timeout=1200)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    assert "all limits met" in run.stdout
