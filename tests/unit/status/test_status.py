"""`flairflow status`: what it makes of ledgers, records, logs and SLURM's queue, whole or damaged."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from flairflow.cli import main
from flairflow.cohort.index import write_shards
from flairflow.cohort.scan import Mask, Scan, columns, to_row
from flairflow.config import Config, load_config
from flairflow.config.load import resolved
from flairflow.errors import ConfigError
from flairflow.paths import CHECKPOINT, Results
from flairflow.shards import state
from flairflow.shards.ledger import Row, write_ledger
from flairflow.shards.lock import alone
from flairflow.status.as_json import to_json
from flairflow.status.jobs import plan
from flairflow.status.run_state import StageStatus, Status, Watcher
from flairflow.status.screen import picture
from flairflow.status.shards import parse_ledger, parse_record
from flairflow.status.slurm import Queue, parse
from flairflow.tables import write_table

LABELS = ("A", "B")
# A reason from outside, with what would mislead markup, terminals and tables.
NASTY = '[bold]sub-01[/bold] \x1b[2J\t"cut" off\nby a kill [/]'


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """A run that was planned, in the working directory; nothing is indexed."""
    monkeypatch.chdir(tmp_path)
    values = {
        "labels": list(LABELS),
        "datasets": {"ds": {"root": "data", "labels": {"A": {}, "B": {}}}, "old": {"root": "old"}},
        "strategies": ["multiclass", "pseudolabels"],
        "training": {"updates": 200, "validate_every": 100},
    }
    found = Results(Path("results"))
    found.root.mkdir()
    found.config.write_text(resolved(load_config(values)))
    return found


def index(results: Results) -> Config:
    """Four scans to learn from, two of which lack B, one each to validate and to test on, and an archive of three."""
    config = load_config(json.loads(results.config.read_text()))
    shards = {"ds-train-0001": 2, "ds-train-0002": 2, "ds-validation-0001": 1, "ds-test-0001": 1}
    shards |= {"old-archive-0001": 2, "old-archive-0002": 1}
    scans = []
    for shard, count in shards.items():
        dataset, split, _ = shard.split("-")
        for number in range(count):
            known = {"archive": "", "train": "A" if shard.endswith("2") else "AB"}.get(split, "AB")
            masks = {label: Mask("mask" if label in known else "missing") for label in LABELS}
            scans.append(_scan(f"{dataset}_sub-{shard}-{number}", dataset, split, shard, masks))
    bad = [_scan(f"old_sub-bad{number}", "old", "archive", "", dict(scans[-1].masks)) for number in range(4)]
    rows = [to_row(scan) for scan in scans + [scan.excluded(NASTY) for scan in bad]]
    write_table(results.cohort, pd.DataFrame(rows).replace("", None), columns(LABELS, ("FLAIR",)))
    write_shards(results.shards, scans)
    return config


def _scan(scan: str, dataset: str, split: str, shard: str, masks: dict[str, Mask]) -> Scan:
    return Scan(
        scan=scan,
        dataset=dataset,
        participant=scan.split("sub-")[1],
        session="",
        person=scan,
        images={"FLAIR": f"{scan}.nii.gz"},
        masks=masks,
        split=split,
        shard=shard,
        digest="d",
    )


def stage(status: Status, name: str) -> StageStatus:
    return next(stage for stage in status.stages if stage.stage == name)


def rows(count: int, failed: int = 0, fingerprint: str = "f", reason: str = "register: no") -> list[Row]:
    return [
        Row(f"s{number}", "failed" if number < failed else "ok", fingerprint, reason if number < failed else "")
        for number in range(count)
    ]


def text_of(status: Status, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(picture(status, width))
    return file.getvalue()


def test_where_no_run_began_the_message_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["status", str(tmp_path / "nowhere"), "--once"]) == 1
    assert "no run has begun" in caplog.text and "flairflow status FOLDER" in caplog.text


def test_it_imports_nothing_heavy(results: Results) -> None:
    index(results)
    command = [sys.executable, "-X", "importtime", "-m", "flairflow.cli", "status", "--once"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "9 scans in 6 shards" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "rich.live" in imported and not imported & {"numpy", "pandas", "torch", "nibabel", "snakemake"}


def test_a_damaged_configuration_is_said(results: Results) -> None:
    results.config.write_text(results.config.read_text()[:100])
    with pytest.raises(ConfigError, match=r"config\.json of the results is damaged"):
        Watcher(results.root)


def test_before_the_index_it_says_what_is_known(results: Results) -> None:
    watcher = Watcher(results.root)
    status = watcher.look(None)
    assert [stage.stage for stage in status.stages] == ["index"] and not status.finished
    assert "not indexed yet" in text_of(status, 80)
    with alone(results.lock("index", "index")):
        assert stage(watcher.look(None), "index").jobs["running"] == 1


def test_results_may_be_a_link_to_another_disk(results: Results, tmp_path: Path) -> None:
    """Snakemake holds the folder that the link is in."""
    elsewhere = tmp_path / "disk" / "folder"
    elsewhere.parent.mkdir()
    results.root.rename(elsewhere)
    results.root.symlink_to(elsewhere)
    lock = tmp_path / ".snakemake/locks/0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("")
    assert Watcher(results.root).look(None).workflow_runs


def test_the_plan_has_every_scan_of_a_stage_once(results: Results) -> None:
    index(results)
    status = Watcher(results.root).look(None)
    to_go = {stage.stage: stage.to_go for stage in status.stages}
    assert to_go == {
        "index": 0,
        "register": 6,
        "preprocess": 6,
        "train": 3,
        "pseudolabel/marginal": 2,
        "segment/multiclass": 1,
        "segment/pseudolabels": 9,
        "thresholds": 1,
        "evaluate/multiclass": 1,
        "evaluate/pseudolabels": 1,
        "evaluate/one_threshold": 1,
        "evaluate/two_thresholds": 1,
        "metrics": 1,
        "comparison": 1,
        "volumes": 1,
        "report": 1,
        "tidy": 1,
    }


def test_scans_count_as_soon_as_they_are_finished(results: Results) -> None:
    index(results)
    write_ledger(results.ledger("register", "ds-train-0001"), rows(2, failed=1))
    watcher = Watcher(results.root)
    register = stage(watcher.look(None), "register")
    assert (register.done, register.failed, register.to_go, register.jobs["done"]) == (1, 1, 4, 1)
    record = results.state("register", "ds-train-0002")
    state.append(record, rows(1)[0])
    with record.open("ab") as file:
        file.write(b'{"scan": "s1", "status": "o')  # a kill
    with alone(results.lock("register", "ds-train-0002")):
        register = stage(watcher.look(None), "register")
    assert (register.done, register.failed, register.to_go) == (2, 1, 3)
    assert (register.jobs["done"], register.jobs["running"]) == (1, 1)
    assert stage(watcher.look(None), "register").jobs["running"] == 0


def test_a_shard_that_got_new_scans_is_to_do_again(results: Results) -> None:
    index(results)
    write_ledger(results.ledger("register", "ds-train-0001"), rows(1))
    register = stage(Watcher(results.root).look(None), "register")
    assert (register.done, register.to_go, register.jobs["done"]) == (1, 5, 0)


def test_what_runs_again_for_other_settings_counts_what_its_log_says(results: Results) -> None:
    index(results)
    for row in rows(2):
        state.append(results.state("register", "ds-train-0001"), row)
    log = results.log("register", "ds-train-0001")
    log.parent.mkdir(parents=True)
    log.write_text("2026-11-28 08:00:00,123 INFO register 1/2 s0 done\n")
    locks = Path(".snakemake/locks")
    locks.mkdir(parents=True)
    (locks / "0.input.lock").touch()
    with alone(results.lock("register", "ds-train-0001")):
        assert stage(Watcher(results.root).look(None), "register").done == 1


def test_a_failure_is_told_where_it_began_and_counted_where_it_ends(results: Results) -> None:
    index(results)
    write_ledger(results.ledger("register", "ds-train-0001"), rows(2, failed=2, reason=NASTY))
    write_ledger(results.ledger("preprocess", "ds-train-0001"), rows(2, failed=2, reason=NASTY, fingerprint=""))
    status = Watcher(results.root).look(None)
    assert stage(status, "preprocess").failed == 2
    document = json.loads(json.dumps(to_json(status)))
    assert document["failed"] == [{"stage": "register", "reason": NASTY, "scans": ["s0", "s1"]}]
    assert [len(group["scans"]) for group in document["excluded"]] == [4]


@pytest.mark.parametrize("width", [80, 120])
def test_names_and_reasons_are_no_markup_and_move_no_cursor(results: Results, width: int) -> None:
    index(results)
    write_ledger(results.ledger("register", "ds-train-0001"), rows(2, failed=2, reason=NASTY))
    text = text_of(Watcher(results.root).look(None), width)
    assert "\x1b" not in text
    assert text.replace("\n", "").count("[bold]sub-01[/bold]") == 2
    assert max(map(len, text.splitlines())) <= width
    assert "4 scans" not in text and "9 scans in 6 shards, 4 excluded" in text
    assert "and 1 more" in text and "results/cohort.tsv says why" in text


def test_a_pace_is_that_of_the_last_stretch_of_work(results: Results) -> None:
    index(results)
    write_ledger(results.ledger("register", "ds-train-0001"), rows(2))
    now = datetime.now(UTC)

    def costs(shard: str, *finished: datetime) -> None:
        path = results.scan_costs("register", shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"s\tok\t10.00\t100\t{time.isoformat()}\n" for time in finished]
        path.write_text("scan\tstatus\tseconds\tpeak_mb\tfinished\n" + "".join(lines) + "s\tok\t10.0")

    # Two shards at a time, ten seconds a scan; before that, a pause.
    steps = [now - timedelta(seconds=10 * number) for number in range(3)]
    costs("ds-train-0001", *steps, now - timedelta(minutes=20))
    costs("ds-train-0002", *steps)
    watcher = Watcher(results.root)
    register = stage(watcher.look(None), "register")
    assert register.scans_per_hour == pytest.approx(720)
    assert register.seconds_left is None  # nothing runs
    with alone(results.lock("register", "ds-test-0001")):
        assert stage(watcher.look(None), "register").seconds_left == pytest.approx(4 * 5)
    assert stage(watcher.look(None), "preprocess").scans_per_hour is None


def test_files_of_before_there_were_times_give_no_pace(results: Results) -> None:
    index(results)
    path = results.scan_costs("register", "ds-train-0001")
    path.parent.mkdir(parents=True)
    path.write_text("scan\tstatus\tseconds\tpeak_mb\ns0\tok\t10.00\t100\ns1\tok\t10.00\t100\n")
    assert stage(Watcher(results.root).look(None), "register").scans_per_hour is None


def test_a_training_goes_as_its_log_says(results: Results) -> None:
    index(results)
    name = "marginal/all/seed-0"
    log = results.log("train", name)
    log.parent.mkdir(parents=True)
    lines = [
        "2026-11-28 23:59:00,000 INFO update 1 of 200: loss 1.500",
        "2026-11-28 23:59:50,000 INFO update 50 of 200: loss 1.200, 11 samples/s, 45 s left",
        "2026-11-29 00:00:39,000 INFO update 100 of 200: loss 0.900 and cut of",
    ]
    log.write_text("\n".join(lines))
    assert name in Watcher(results.root).look(None).trainings
    with alone(results.lock("train", name)):
        status = Watcher(results.root).look(None)
    training = status.trainings[name]
    assert (training.update, training.updates, training.loss) == (100, 200, 0.9)
    assert training.seconds_per_update == pytest.approx(1)
    assert training.seconds_left == pytest.approx(100)
    # Trained to its end, and to be trained again: not begun.
    log.write_text(lines[0].replace("update 1 ", "update 200 "))
    assert name not in Watcher(results.root).look(None).trainings
    # The other two networks at the pace of the one that trains.
    assert stage(status, "train").seconds_left == pytest.approx(500)
    line = next(line for line in text_of(status, 80).splitlines() if line.startswith("marginal/all/seed-0"))
    assert line.split() == ["marginal/all/seed-0", "100", "200", "0.900", "3,600", "2", "min"]


def test_an_interrupted_training_keeps_what_it_has(results: Results) -> None:
    index(results)
    log, work = results.log("train", "marginal/all/seed-0"), results.training_work("marginal", "all", 0)
    for path, text in ((log, "INFO resuming\n"), (work / "log.csv", "update,loss,score\n50,1.0,\n100,0.9,0.5\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    # What an earlier training with other settings left.
    assert Watcher(results.root).look(None).trainings["marginal/all/seed-0"].update == 0
    (work / CHECKPOINT).touch()
    training = Watcher(results.root).look(None).trainings["marginal/all/seed-0"]
    assert (training.update, training.updates, training.seconds_left) == (100, 200, None)


def test_a_job_that_ended_in_an_error_is_named_with_its_log(results: Results) -> None:
    index(results)
    log = results.log("register", "ds-train-0001")
    log.parent.mkdir(parents=True)
    head = "2026-11-28 08:00:00,000 ERROR flairflow register stopped at an unexpected error\nTraceback (most recent"
    log.write_text(f"{head} call last):\n  File\nValueError: odd [red]\n")
    status = Watcher(results.root).look(None)
    assert [(one.stage, one.job, one.message) for one in status.stopped] == [
        ("register", "ds-train-0001", "ValueError: odd [red]")
    ]
    assert "ValueError: odd [red]" in text_of(status, 120)
    # It is tried again.
    with alone(results.lock("register", "ds-train-0001")):
        assert not Watcher(results.root).look(None).stopped


def test_all_is_done_when_every_output_is_there(results: Results) -> None:
    config = index(results)
    watcher = Watcher(results.root)
    cohort = watcher.look(None).cohort
    for planned in plan(config, results, cohort, Path.cwd()):
        for job in planned.jobs:
            for path in job.outputs:
                if job.scans:
                    write_ledger(path, rows(job.scans))
                elif not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
    assert watcher.look(None).finished
    assert "all done" in text_of(watcher.look(None), 80)
    # New scans of the archive: what is gathered from them is to be gathered again.
    results.ledger("segment/pseudolabels", "old-archive-0002").unlink()
    status = watcher.look(None)
    assert not status.finished
    assert [one.stage for one in status.stages if one.to_go] == ["segment/pseudolabels", "volumes", "report", "tidy"]


@pytest.mark.parametrize("damage", [b"", b"\x00\xff\xfe" * 50, b"scan\tstatus\n", b'scan\tstatus\treason\n"s0\tok'])
def test_damaged_files_stop_nothing(results: Results, damage: bytes) -> None:
    index(results)
    shard = "ds-train-0001"
    for path in (
        results.ledger("register", shard),
        results.state("preprocess", shard),
        results.scan_costs("register", shard),
        results.log("train", "marginal/all/seed-0"),
        results.training_work("marginal", "all", 0) / "log.csv",
        results.log("register", "ds-train-0002"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damage)
    status = Watcher(results.root).look(None)
    assert stage(status, "register").to_go == 6
    assert text_of(status, 80) and json.dumps(to_json(status))


@pytest.mark.parametrize("name", ["cohort", "shards"])
def test_a_damaged_cohort_is_said(results: Results, name: str) -> None:
    index(results)
    path: Path = getattr(results, name)
    path.write_text(path.read_text()[:-4].replace("scan", "sc", 1))
    with pytest.raises(ConfigError, match="make them again"):
        Watcher(results.root).look(None)


def test_ledgers_are_read_as_the_stages_read_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.tsv"
    write_ledger(path, rows(5, failed=2, reason=NASTY))
    found = parse_ledger(path.read_text())
    assert found.ok == 3 and [(one.scan, one.reason, one.own) for one in found.failed] == [
        ("s0", NASTY, True),
        ("s1", NASTY, True),
    ]
    record = tmp_path / "record.jsonl"
    for row in [*rows(3, failed=3), *rows(2)]:
        state.append(record, row)
    assert (parse_record(record.read_text()).ok, len(parse_record(record.read_text()).failed)) == (2, 1)


def test_the_queue_has_the_jobs_of_this_folder(results: Results) -> None:
    index(results)
    here = Path.cwd()
    lines = [
        f"11|RUNNING|node1|None|{here}|rule_register_wildcards_ds-train-0001",
        f"12|PENDING||Resources|{here}|rule_segment_archive_wildcards_pseudolabels_old-archive-0001",
        f"13|PENDING||Priority|{here}|rule_train_model_wildcards_marginal_all_0",
        "14|RUNNING|node1|None|/elsewhere|rule_register_wildcards_ds-train-0002",
        f"15|RUNNING|node1|None|{here}|(null)",
        "slurm_load_jobs error",
    ]
    jobs = parse("\n".join(lines), [here])
    assert [job.number for job in jobs] == ["11", "12", "13"]
    status = Watcher(results.root).look(Queue(jobs))
    assert stage(status, "register").jobs["running"] == 1
    assert stage(status, "segment/pseudolabels").jobs["waiting"] == stage(status, "train").jobs["waiting"] == 1
    text = text_of(status, 120)
    assert "job 11 on node1: register ds-train-0001" in text and "1 waiting: Resources" in text and "waiting" in text
    assert next(job for job in to_json(status)["slurm"]["jobs"] if job["id"] == "12") == {
        "id": "12",
        "stage": "segment/pseudolabels",
        "job": "old-archive-0001",
        "state": "PENDING",
        "node": None,
        "reason": "Resources",
    }
    assert "not known: squeue did not" in text_of(Watcher(results.root).look(Queue(problem="squeue did not")), 80)
