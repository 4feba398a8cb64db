"""A shard's run: faults and bugs of a scan become rows, and what is done is not done again."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from flairflow.cohort.scan import Scan
from flairflow.errors import ScanError
from flairflow.files import atomic
from flairflow.paths import Results
from flairflow.shards import state
from flairflow.shards.ledger import Row, read_ledger
from flairflow.shards.run import Outcome, run_shard

SCANS = [Scan(f"ds_sub-{i}", "ds", str(i), "", f"p{i}", {}, {}) for i in range(3)]


class Stage:
    """Counts what it does; a scan in `faulty` is at fault, one in `broken` meets a bug."""

    def __init__(self, root: Path) -> None:
        self.results = Results(root)
        self.done: list[str] = []
        self.faulty: set[str] = set()
        self.broken: set[str] = set()
        self.raises: dict[str, Exception] = {}
        self.settings = "v1"

    def process(self, scan: Scan) -> Outcome:
        if scan.scan in self.broken:
            raise KeyError("a bug")
        if scan.scan in self.raises:
            raise self.raises[scan.scan]
        if scan.scan in self.faulty:
            raise ScanError("no head in it")
        self.done.append(scan.scan)
        path = self.results.root / f"{scan.scan}.txt"
        path.write_text("x")
        return Outcome({"text": path}, {"ml": 1.5})

    def run(self, upstream: dict[str, Row] | None = None, **options: Any) -> dict[str, Row]:
        run_shard("stage", "s", SCANS, lambda scan: self.settings, self.process, self.results, upstream, **options)
        return read_ledger(self.results.ledger("stage", "s"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_second_run_does_nothing_and_writes_the_same_ledger(stage: Stage) -> None:
    first = stage.run()
    assert stage.done == [scan.scan for scan in SCANS]
    assert stage.run() == first
    assert len(stage.done) == 3
    assert first["ds_sub-0"] == Row("ds_sub-0", "ok", "v1", files={"text": "ds_sub-0.txt"}, values={"ml": 1.5})


def test_a_scan_at_fault_is_a_row_and_its_neighbours_go_on(stage: Stage) -> None:
    stage.faulty = {"ds_sub-1"}
    rows = stage.run()
    assert [row.status for row in rows.values()] == ["ok", "failed", "ok"]
    assert rows["ds_sub-1"].reason == "stage: no head in it"
    stage.faulty = set()
    assert stage.run()["ds_sub-1"].status == "ok"
    assert stage.done.count("ds_sub-0") == 1


def test_a_bug_is_a_row_too_and_a_loud_one(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.broken = {"ds_sub-1"}
    rows = stage.run()
    assert [row.status for row in rows.values()] == ["ok", "failed", "ok"]
    assert rows["ds_sub-1"].reason == "stage: unexpected KeyError: 'a bug'"
    assert "Traceback" in caplog.text
    assert caplog.messages[-1] == "stage: 1 of 3 scans ended unexpectedly: ds_sub-1"
    stage.broken = set()
    stage.run()
    assert sorted(stage.done) == [scan.scan for scan in SCANS]


def test_strict_fails_the_job_after_all_other_scans(stage: Stage) -> None:
    stage.broken = {"ds_sub-0"}
    with pytest.raises(ScanError, match="ds_sub-0 ended unexpectedly, and `strict` is set"):
        stage.run(strict=True)
    assert stage.done == ["ds_sub-1", "ds_sub-2"]
    assert not stage.results.ledger("stage", "s").exists()


@pytest.mark.parametrize(
    "problem",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ModuleNotFoundError("No module named 'ants'"),
        PermissionError(errno.EACCES, "Permission denied", "results/x"),
    ],
)
def test_what_no_scan_is_at_fault_for_ends_the_job_and_what_was_done_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    monkeypatch.chdir(tmp_path)
    stage = Stage(Path("results"))
    stage.results.root.mkdir()
    stage.raises = {"ds_sub-1": problem}
    with pytest.raises(type(problem)):
        stage.run()
    assert not stage.results.ledger("stage", "s").exists()
    stage.raises = {}
    stage.run()
    assert stage.done == [scan.scan for scan in SCANS]


def test_an_outcome_that_is_as_good_is_not_made_again(stage: Stage) -> None:
    stage.run()
    stage.settings = "v2"
    rows = stage.run(as_good=lambda scan: ["v1"] if scan.scan == "ds_sub-0" else [])
    assert stage.done[3:] == ["ds_sub-1", "ds_sub-2"]
    assert [row.fingerprint for row in rows.values()] == ["v1", "v2", "v2"]


def test_a_changed_fingerprint_or_a_lost_file_redoes_a_scan(stage: Stage) -> None:
    stage.run()
    (stage.results.root / "ds_sub-1.txt").unlink()
    stage.run()
    assert stage.done[3:] == ["ds_sub-1"]
    stage.settings = "v2"
    stage.run()
    assert len(stage.done) == 7


def test_what_a_scan_done_again_no_longer_has_is_removed(tmp_path: Path) -> None:
    results, made = Results(tmp_path), ["a_probseg.nii.gz", "a_dseg.nii.gz"]
    sidecars = ["a_probseg.json", "a_dseg.json", "a_dseg.tsv"]

    def process(scan: Scan) -> Outcome:
        if not made:
            raise ScanError("no head in it")
        for name in [*made, *sidecars]:
            (tmp_path / name).write_text("x")
        return Outcome({name: tmp_path / name for name in made})

    def left(settings: str) -> set[str]:
        run_shard("stage", "s", SCANS[:1], lambda scan: settings, process, results)
        return {path.name for path in tmp_path.glob("a_*")}

    assert left("v1") == {*made, *sidecars}
    (tmp_path / "a_of_others.txt").write_text("x")
    made.pop(0)
    sidecars.pop(0)
    assert left("v2") == {"a_dseg.nii.gz", "a_dseg.json", "a_dseg.tsv", "a_of_others.txt"}
    made.clear()
    assert left("v3") == {"a_of_others.txt"}


def test_a_failure_upstream_is_carried_with_its_reason(stage: Stage) -> None:
    upstream = {scan.scan: Row(scan.scan, "ok", "f") for scan in SCANS}
    upstream["ds_sub-0"] = Row("ds_sub-0", "failed", "f", "register: no head in it")
    rows = stage.run(upstream)
    assert rows["ds_sub-0"].reason == "register: no head in it"
    assert rows["ds_sub-0"].status == "failed"
    assert stage.done == ["ds_sub-1", "ds_sub-2"]


def test_a_line_cut_short_by_a_kill_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    state.append(path, Row("a", "ok", "f"))
    with path.open("ab") as file:
        file.write(b'{"scan": "b", "sta')
    state.append(path, Row("c", "ok", "f"))
    assert list(state.read(path)) == ["a", "c"]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.txt"
    with pytest.raises(RuntimeError), atomic(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert list(path.parent.iterdir()) == []
