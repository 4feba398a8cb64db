"""Scans that kill their job, and jobs that are killed with a scan in flight: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flairflow.paths import Results
from flairflow.shards.ledger import Row, read_ledger, write_ledger
from flairflow.shards.unexpected import last_word

# `flairflow register` with a stage that does to each scan what `deeds.json` says. All around it is the program's own.
PROGRAM = """
import ctypes, json, os, resource, sys, time
from pathlib import Path
from flairflow import cli, commands
from flairflow.cohort.scan import Scan
from flairflow.files import scratch
from flairflow.paths import Results
from flairflow.shards.run import Outcome, run_shard

folder = Path(sys.argv.pop(1))
deeds = json.loads((folder / "deeds.json").read_text())
results = Results(folder / "results")

def process(scan):
    with (folder / "done.txt").open("a") as file:
        file.write(f"{scan.scan} {os.getpid()} {os.getppid()}\\n")
    if scratch():
        (scratch() / "half.nii").write_text("x")
    for deed in deeds.get(scan.scan, []):
        exec(deed)
    path = folder / "results" / f"{scan.scan}.txt"
    path.write_text("x")
    return Outcome({"text": path})

def register(options):
    scans = [Scan(f"ds_sub-{i}", "ds", str(i), "", f"p{i}", {}, {}) for i in range(5)]
    run_shard("register", "s", scans, lambda scan: "v1", process, results, strict="strict" in deeds)

commands.register = register
sys.exit(cli.main(["register", "--config", "none", "--shard", "s", "--log", str(folder / "log.txt"), *sys.argv[1:]]))
"""
SEGFAULT = "ctypes.string_at(0)"
ABORT = "os.abort()"
LEAVE = "os._exit(3)"
# What the kernel does when memory runs out.
OUT_OF_MEMORY = "os.kill(os.getpid(), 9)"
# As within ITK: no handler of Python's runs meanwhile.
IN_A_LIBRARY = "ctypes.PyDLL(None).sleep(60)"
WHOLE = [f"ds_sub-{number}" for number in range(5)]


class Job:
    """A shard of five scans, and jobs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, Results(folder / "results")
        self.log = folder / "log.txt"

    def deeds(self, **deeds: str | list[str]) -> None:
        """What happens to a scan, by its number: `s1=SEGFAULT`."""
        listed = {name: [deed] if isinstance(deed, str) else deed for name, deed in deeds.items()}
        named = {f"ds_sub-{name[1:]}" if name[1:].isdigit() else name: deed for name, deed in listed.items()}
        (self.folder / "deeds.json").write_text(json.dumps(named))
        (self.folder / "done.txt").write_text("")

    def start(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.folder), *options],
            env=os.environ | environment,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=as_from_a_terminal,
        )

    def run(self, *options: str, **environment: str) -> int:
        return self.start(*options, **environment).wait(120)

    @property
    def begun(self) -> list[str]:
        """The scans in the order in which they were begun, however they ended."""
        return [line.split()[0] for line in (self.folder / "done.txt").read_text().splitlines()]

    def working_on(self, scan: str) -> tuple[int, int]:
        """Wait until a scan is begun; the process that does it, and its guard."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for line in (self.folder / "done.txt").read_text().splitlines():
                if line.startswith(f"{scan} ") and len(line.split()) == 3:
                    time.sleep(0.2)
                    return int(line.split()[1]), int(line.split()[2])
            time.sleep(0.02)
        raise AssertionError(f"{scan} was not begun")

    @property
    def rows(self) -> dict[str, Row]:
        return read_ledger(self.results.ledger("register", "s"))

    @property
    def failed(self) -> dict[str, str]:
        return {scan: row.reason for scan, row in self.rows.items() if row.status == "failed"}


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    job = Job(tmp_path)
    job.deeds()
    yield job


def test_a_scan_that_crashes_is_a_row_after_two_deaths_and_the_shard_goes_on(job: Job) -> None:
    job.deeds(s1=SEGFAULT)
    assert job.run() == 0
    assert list(job.rows) == WHOLE
    assert job.failed == {"ds_sub-1": "register: unexpected end of its job, 2 times: SIGSEGV"}
    assert job.begun == ["ds_sub-0", "ds_sub-1", "ds_sub-1", "ds_sub-2", "ds_sub-3", "ds_sub-4"]
    text = job.log.read_text()
    assert text.splitlines()[-1].endswith("register: 1 of 5 scans ended unexpectedly: ds_sub-1")
    # Where in the program it was.
    assert "Fatal Python error: Segmentation fault" in text and "in process" in text
    # Nothing is left that a later look would take for a death.
    assert not job.results.begun("register", "s").exists()


def test_several_scans_that_crash_cost_one_job_and_nobody_else(job: Job) -> None:
    job.deeds(s0=SEGFAULT, s2=ABORT, s4=LEAVE)
    assert job.run() == 0
    assert [reason.split()[-1] for reason in job.failed.values()] == ["SIGSEGV", "SIGABRT", "3"]
    assert [job.begun.count(scan) for scan in WHOLE] == [2, 1, 2, 1, 2]


def test_a_crash_that_does_not_happen_again_is_none(job: Job) -> None:
    job.deeds(s1=f"len(open(folder / 'done.txt').readlines()) > 2 or {SEGFAULT}")
    assert job.run() == 0
    assert job.failed == {} and job.begun.count("ds_sub-1") == 2


def test_a_crash_before_any_scan_is_not_tried_again(job: Job) -> None:
    (job.folder / "deeds.json").write_text(json.dumps({"strict": []}))
    program = PROGRAM.replace("    scans = [", "    ctypes.string_at(0)\n    scans = [")
    done = subprocess.run([sys.executable, "-c", program, str(job.folder)], check=False, timeout=60)
    assert done.returncode == 128 + signal.SIGSEGV
    assert "not while it worked on a scan" in job.log.read_text()


def test_scans_without_memory_wait_for_the_next_attempt_and_hold_nobody_up(job: Job) -> None:
    job.deeds(s1=OUT_OF_MEMORY, s3=OUT_OF_MEMORY)
    assert job.run() == 1
    assert "ds_sub-1; ds_sub-3: left for the next attempt, which has more memory" in job.log.read_text()
    assert not job.results.ledger("register", "s").exists()
    assert sorted(job.begun) == WHOLE
    # The second attempt has enough for one of them.
    job.deeds(s1=OUT_OF_MEMORY)
    assert job.run() == 0
    assert job.begun == ["ds_sub-1", "ds_sub-3"]
    assert list(job.failed) == ["ds_sub-1"] and "2 times: SIGKILL, as when memory runs out" in job.failed["ds_sub-1"]


def test_an_allocation_that_is_refused_is_a_row_at_once(job: Job) -> None:
    job.deeds(s2="import numpy; numpy.zeros((120_000, 120_000, 120_000))", s3="exit('a library does that')")
    assert job.run() == 0
    assert job.failed.keys() == {"ds_sub-2", "ds_sub-3"}
    assert job.failed["ds_sub-2"].startswith("register: unexpected MemoryError: Unable to allocate")
    assert job.failed["ds_sub-3"] == "register: unexpected SystemExit: a library does that"
    assert "Traceback" in job.log.read_text()
    assert sorted(job.begun) == WHOLE


def test_strict_makes_crashes_fail_the_job_with_all_others_done(job: Job) -> None:
    job.deeds(s1=SEGFAULT, strict=[])
    assert job.run() == 1
    assert sorted(set(job.begun)) == WHOLE and not job.results.ledger("register", "s").exists()
    assert "`strict` is set" in job.log.read_text().splitlines()[-1]


def test_a_scan_that_was_given_up_is_tried_when_the_finished_shard_is_done_again(job: Job) -> None:
    job.deeds(s1=SEGFAULT)
    job.run()
    job.deeds()
    assert job.run() == 0
    assert job.failed == {} and job.begun == ["ds_sub-1"]


def test_a_scan_that_was_given_up_is_not_tried_by_each_further_attempt(job: Job) -> None:
    """The rest of the shard was out of time."""
    job.deeds(s1=SEGFAULT, s3=IN_A_LIBRARY)
    process = job.start()
    job.working_on("ds_sub-3")
    process.terminate()
    process.wait(60)
    job.deeds(s1=SEGFAULT)
    assert job.run() == 0
    assert list(job.failed) == ["ds_sub-1"] and job.begun == ["ds_sub-3", "ds_sub-4"]


def to_the_guard(process: subprocess.Popen[bytes], work: int, number: signal.Signals) -> None:
    process.send_signal(number)


def to_all(process: subprocess.Popen[bytes], work: int, number: signal.Signals) -> None:
    os.killpg(process.pid, number)


def to_the_work(process: subprocess.Popen[bytes], work: int, number: signal.Signals) -> None:
    os.kill(work, number)


def as_from_a_terminal() -> None:
    """What a shell starts in the background is deaf to Ctrl-C, what `nohup` starts to the terminal's end."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("how", "number"),
    [
        (to_all, signal.SIGTERM),  # clusters
        (to_the_guard, signal.SIGTERM),
        (to_the_work, signal.SIGTERM),
        (to_all, signal.SIGINT),  # Ctrl-C
        (to_all, signal.SIGHUP),  # the terminal was closed
        (to_the_guard, signal.SIGUSR1),  # sbatch --signal
    ],
)
def test_what_stops_a_job_is_not_blamed_on_the_scan_in_flight(
    job: Job, how: Callable[[subprocess.Popen[bytes], int, signal.Signals], None], number: signal.Signals
) -> None:
    for _ in range(2):
        job.deeds(s1=IN_A_LIBRARY)
        process = job.start()
        work, _ = job.working_on("ds_sub-1")
        began = time.monotonic()
        how(process, work, number)
        assert process.wait(60) == 128 + number
        assert time.monotonic() - began < 30, "the library was waited for"
        assert "Traceback" not in job.log.read_text()
    job.deeds()
    assert job.run() == 0
    assert job.failed == {} and job.begun == WHOLE[1:]


def kill_all(job: Job, scan: str, **environment: str) -> None:
    """The whole job at once, as a node that is lost does."""
    process = job.start(**environment)
    job.working_on(scan)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


def test_a_job_that_is_gone_without_a_word_counts_once(job: Job) -> None:
    job.deeds(s1=IN_A_LIBRARY)
    kill_all(job, "ds_sub-1")
    job.deeds()
    assert job.run() == 0
    assert job.failed == {}


def test_jobs_that_are_gone_without_a_word_in_the_same_scan_are_its_fault(job: Job) -> None:
    """Out of memory, a cluster may kill all of a job."""
    for _ in range(2):
        job.deeds(s1=IN_A_LIBRARY)
        kill_all(job, "ds_sub-1")
    assert job.run() == 0
    assert list(job.failed) == ["ds_sub-1"]


def test_jobs_that_slurm_puts_back_into_its_queue_are_no_fault_of_a_scan(job: Job) -> None:
    for restarts in range(2):
        job.deeds(s1=IN_A_LIBRARY)
        kill_all(job, "ds_sub-1", SLURM_JOB_ID="7", SLURM_RESTART_COUNT=str(restarts))
    job.deeds()
    assert job.run(SLURM_JOB_ID="7", SLURM_RESTART_COUNT="2") == 0
    assert job.failed == {}


def test_a_machine_that_was_started_anew_is_no_fault_of_a_scan(job: Job) -> None:
    notes = job.results.begun("register", "s")
    for _ in range(2):
        job.deeds(s1=IN_A_LIBRARY)
        kill_all(job, "ds_sub-1")
        lines = [json.loads(line) for line in notes.read_text().splitlines()]
        notes.write_text("".join(json.dumps(line | {"boot": "before"}) + "\n" for line in lines))
    job.deeds()
    assert job.run() == 0
    assert job.failed == {}


def test_work_that_nobody_watches_ends(job: Job) -> None:
    job.deeds(s1=IN_A_LIBRARY)
    process = job.start()
    work, guard = job.working_on("ds_sub-1")
    os.kill(guard, signal.SIGKILL)
    process.wait(60)
    end = time.monotonic() + 30
    while Path(f"/proc/{work}").exists() and "State:\tZ" not in Path(f"/proc/{work}/status").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("stop", [False, True])
def test_a_scratch_folder_goes_however_the_work_ends(job: Job, stop: bool) -> None:
    job.deeds(s1=IN_A_LIBRARY if stop else SEGFAULT)
    process = job.start("--scratch", str(job.folder / "fast"))
    if stop:
        job.working_on("ds_sub-1")
        process.terminate()
    process.wait(60)
    assert list((job.folder / "fast").iterdir()) == []


def test_the_last_line_of_a_run_counts_them(job: Job, tmp_path: Path) -> None:
    assert last_word(job.results) == ""
    job.deeds(s1=SEGFAULT, s2="raise KeyError('a bug')")
    job.run()
    # The next stages pass the reasons on.
    write_ledger(job.results.ledger("preprocess", "s"), list(job.rows.values()))
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(
        "from flairflow import dag\nfrom flairflow.paths import Results\n"
        "onsuccess: dag.say_last_word(Results('results'))\nrule one:\n    output: 'x'\n    shell: 'touch x'\n"
    )
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "1", "--quiet", "all"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1].startswith(
        "UNEXPECTED: 2 scan(s) met a bug, crashed or ran out of memory (2 in register), such as ds_sub-1: register: "
        "unexpected end of its job, 2 times: SIGSEGV. Tracebacks: results/logs."
    )
