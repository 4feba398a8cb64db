"""What clusters do to jobs and to the main process. Each time no finished scan is done twice, nothing half-written is
taken for done, and the end is that of a run that nothing disturbed.

Four jobs of one run are struck, each by something else; what befalls the main process and the controller has runs of
its own. To a shard its time limit is what being cancelled is: signals, which SLURM sends in the same order.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest
import torch

from flairflow.network.model import load_model
from slurm.runs import (
    MODEL,
    PREPARED,
    RECORD,
    SHARDS,
    ClusterRun,
    Job,
    assert_as_undisturbed,
    copied,
    ledger,
    until,
)

LOST, CANCELLED = SHARDS
# Where all that matters is the main process or the controller: long enough for the jobs of two to be there at a time.
SHARD = SHARDS[0]
TRAINING = "rule_train_model_wildcards_multiclass_all_0"


def registration(shard: str) -> str:
    """The name of a shard's job."""
    return f"rule_register_wildcards_{shard}"


def running(run: ClusterRun, name: str) -> Job:
    """The job of this name that runs now; there must be one."""
    jobs = run.jobs(name)
    now = [job for job in jobs if job.state == "RUNNING"]
    assert now, f"{name} does not run: {jobs}"
    return now[0]


@dataclass(frozen=True)
class Struck:
    """A run whose jobs were struck: what each shard's state held then, on which node its job was, and how long the
    training's log was."""

    run: ClusterRun
    finished: dict[str, list[str]]
    nodes: dict[str, str]
    log_length: int


@pytest.fixture(scope="module")
def struck(
    this_round: None, base: ClusterRun, undisturbed: ClusterRun, tmp_path_factory: pytest.TempPathFactory
) -> Struck:
    run = copied(base, tmp_path_factory.mktemp("struck") / "run")
    work = run.results.training_work(*MODEL)
    process = run.launch(
        *(ledger("register", shard) for shard in SHARDS),
        ledger("preprocess", PREPARED),
        RECORD,
        # In place of what the profile says here: its own line; and too little memory for the first attempt of one job,
        # away from the three nodes, which the shards have for themselves.
        "--set-resources",
        "train_model:slurm_partition=gpu",
        "preprocess:slurm_partition=gpu",
        "preprocess:mem_mb=200*attempt**3",
    )
    finished, nodes = {}, {}
    try:
        for shard, strike in (
            (LOST, ["scontrol", "update", "nodename={job.node}", "state=down", "reason=test"]),
            (CANCELLED, ["scancel", "{job.number}"]),
        ):
            until(lambda shard=shard: bool(run.finished("register", shard)), f"{shard} has a finished scan", process)  # type: ignore[misc]
            job = running(run, registration(shard))
            finished[shard], nodes[shard] = run.finished("register", shard), job.node
            run.cluster.run(*(word.format(job=job) for word in strike))
        until((work / "last.ckpt").exists, "the training has a checkpoint", process)
        run.cluster.run("scontrol", "update", "EndTime=now+1", f"jobid={running(run, TRAINING).number}")
        log_length = len((work / "log.csv").read_text().splitlines())
        run.finish(process)
    finally:
        process.kill()
        run.cluster.resume()
    return Struck(run, finished, nodes, log_length)


def states(run: ClusterRun, name: str) -> list[str]:
    return [job.state for job in run.jobs(name)]


def assert_resumed(struck: Struck, undisturbed: ClusterRun, shard: str, *ended: str) -> None:
    """The struck job was submitted, or started, once more, and did what had not been done before."""
    assert states(struck.run, registration(shard)) == list(ended)
    before, finished = struck.finished[shard], struck.run.finished("register", shard)
    assert 0 < len(before) < len(finished) and finished[: len(before)] == before
    assert_as_undisturbed(struck.run, undisturbed, "register", shard)


def test_a_cancelled_job_is_submitted_again(struck: Struck, undisturbed: ClusterRun) -> None:
    assert_resumed(struck, undisturbed, CANCELLED, "CANCELLED", "COMPLETED")


def test_a_job_whose_node_is_lost_goes_to_another(struck: Struck, undisturbed: ClusterRun) -> None:
    """The same job: SLURM puts it back into its queue."""
    assert_resumed(struck, undisturbed, LOST, "COMPLETED")
    assert struck.run.jobs(registration(LOST))[0].node != struck.nodes[LOST]


def test_a_job_killed_for_memory_is_given_more(struck: Struck, undisturbed: ClusterRun) -> None:
    name = f"rule_preprocess_wildcards_{PREPARED}"
    assert states(struck.run, name) == ["FAILED", "COMPLETED"]
    assert "memory limit" in struck.run.job_log(struck.run.jobs(name)[0])
    assert_as_undisturbed(struck.run, undisturbed, "preprocess", PREPARED)


def test_a_training_at_its_time_limit_goes_on_from_its_checkpoint(struck: Struck, undisturbed: ClusterRun) -> None:
    run = struck.run
    assert states(run, TRAINING) == ["TIMEOUT", "COMPLETED"]
    assert "resuming multiclass" in run.results.log("train", "multiclass/all/seed-0").read_text()
    rows, others = (
        [line.split(",")[0] for line in (one.results.training_work(*MODEL) / "log.csv").read_text().splitlines()]
        for one in (run, undisturbed)
    )
    assert 1 < struck.log_length < len(rows) and rows == others
    weights, expected = (load_model(one.results.model(*MODEL)).weights for one in (run, undisturbed))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(values, expected[name]) for name, values in weights.items())


@pytest.mark.soak
def test_the_controller_is_restarted_in_the_middle(run: ClusterRun, undisturbed: ClusterRun) -> None:
    process = run.launch(ledger("register", SHARD))
    try:
        until(lambda: bool(run.finished("register", SHARD)), "a finished scan", process)
        running(run, registration(SHARD))
        run.cluster.kill_controller()
        before = len(run.finished("register", SHARD))
        until(lambda: len(run.finished("register", SHARD)) > before, "a scan is finished without a controller", process)
        run.cluster.start_controller()
        run.finish(process)
    finally:
        process.kill()
    assert states(run, registration(SHARD)) == ["COMPLETED"]
    assert_as_undisturbed(run, undisturbed, "register", SHARD)


def interrupted(run: ClusterRun, how: signal.Signals) -> int:
    """Start the registration of a shard, end the main process when a scan is finished; returns its exit status."""
    process = run.launch(ledger("register", SHARD))
    try:
        until(lambda: bool(run.finished("register", SHARD)), "a finished scan", process)
        running(run, registration(SHARD))
        process.send_signal(how)
        return process.wait(600)
    finally:
        process.kill()


def assert_taken_up(run: ClusterRun, undisturbed: ClusterRun) -> None:
    """A second start ends well, and so have all jobs."""
    run.slurm(ledger("register", SHARD))
    until(lambda: "RUNNING" not in states(run, registration(SHARD)), "no job is left")
    assert_as_undisturbed(run, undisturbed, "register", SHARD)


@pytest.mark.soak
def test_the_main_process_is_interrupted(run: ClusterRun, undisturbed: ClusterRun) -> None:
    assert interrupted(run, signal.SIGINT) != 0
    until(lambda: states(run, registration(SHARD)) == ["CANCELLED"], "its job is cancelled")
    assert not run.results.ledger("register", SHARD).exists()
    assert_taken_up(run, undisturbed)


@pytest.mark.soak
def test_the_main_process_is_terminated(run: ClusterRun, undisturbed: ClusterRun) -> None:
    """It waits for its jobs."""
    interrupted(run, signal.SIGTERM)
    assert states(run, registration(SHARD)) == ["COMPLETED"]
    assert_taken_up(run, undisturbed)


def test_the_main_process_is_killed(run: ClusterRun, undisturbed: ClusterRun) -> None:
    """Its job goes on; the next main process, which knows nothing of it, submits another, which waits for the first."""
    assert interrupted(run, signal.SIGKILL) == -signal.SIGKILL
    running(run, registration(SHARD))
    run.slurm("--unlock")
    assert_taken_up(run, undisturbed)
    assert set(states(run, registration(SHARD))) == {"COMPLETED"}


@pytest.mark.soak
def test_a_main_process_that_is_a_job_itself_goes_back_into_the_queue_before_its_time_limit(
    run: ClusterRun, undisturbed: ClusterRun
) -> None:
    """SLURM's signal is sent by hand, as is the start of the second turn, which it would put off for two minutes."""
    number = run.submit_launcher(ledger("register", SHARD))
    until(lambda: bool(run.finished("register", SHARD)), "a finished scan")
    run.cluster.run("scancel", "--signal=USR1", "--batch", number)
    until(lambda: run.state(number) == "PENDING", "the main process is in the queue again")
    assert states(run, registration(SHARD)) == ["CANCELLED"]
    run.cluster.run("scontrol", "update", f"jobid={number}", "StartTime=now")
    until(lambda: run.state(number) not in ("PENDING", "RUNNING", "COMPLETING"), "the main process ends")
    assert run.state(number) == "COMPLETED", run.output.read_text()[-3000:]
    assert_as_undisturbed(run, undisturbed, "register", SHARD)
