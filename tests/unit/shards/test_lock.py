"""Two processes never work on the same shard at once, and a dead one holds nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flairflow.shards.lock import alone, held

HOLD = """
import sys, time
from pathlib import Path
from flairflow.shards.lock import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_lock_is_held_while_its_process_works_and_not_after(tmp_path: Path) -> None:
    path = tmp_path / "state" / "register" / "ds-train-0001.lock"
    assert not held(path)
    with alone(path):
        assert held(path)
    assert not held(path)


def test_the_second_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "shard.lock"
    first = holder(path)
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    second = holder(path)
    assert second.stderr is not None and "another job works on this" in second.stderr.readline()
    assert second.poll() is None
    _, _ = first.communicate("\n", timeout=30)
    assert second.communicate("\n", timeout=30)[0] == "held\n"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_holds_nothing(tmp_path: Path, ending: signal.Signals) -> None:
    path = tmp_path / "shard.lock"
    process = holder(path)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    assert held(path)
    process.send_signal(ending)
    process.wait(timeout=30)
    deadline = time.monotonic() + 10
    while held(path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not held(path)
