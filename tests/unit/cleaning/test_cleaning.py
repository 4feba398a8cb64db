"""Removing what need not stay, and what participants who withdrew left: only that, and only inside the results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from flairflow.cleaning.intermediates import tidy
from flairflow.cleaning.withdrawn_participants import purge
from flairflow.comparison.figures.style import Drawing, save
from flairflow.config import Config, load_config
from flairflow.errors import ConfigError
from flairflow.paths import GALLERY, Results, derivative
from flairflow.shards import state
from flairflow.shards.ledger import Row, read_ledger, write_ledger
from flairflow.shards.lock import alone
from flairflow.tables import read_table


def make_config(tmp_path: Path, **changes: Any) -> Config:
    dataset = {"root": str(tmp_path / "ds"), "labels": {"A": {}}, "withdrawn": str(tmp_path / "withdrawn.txt")}
    values = {"labels": ["A"], "results": str(tmp_path / "results"), "datasets": {"ds": dataset}}
    return load_config(values | changes)


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def done(results: Results, stage: str, scans: list[str], name: str) -> dict[str, Path]:
    """Scans that a stage has finished: a file and a sidecar each, the record and the ledger."""
    files = {scan: put(derivative(results.prepared, scan, name), "four") for scan in scans}
    rows = []
    for scan, path in files.items():
        put(path.with_suffix(".json"), "{}")
        rows.append(Row(scan, "ok", "f", files={"image": path.relative_to(results.root).as_posix()}))
        state.append(results.state(stage, "ds-train-0001"), rows[-1])
    write_ledger(results.ledger(stage, "ds-train-0001"), rows)
    return files


def test_only_what_is_not_kept_is_removed_and_all_is_counted(tmp_path: Path) -> None:
    config = make_config(tmp_path, keep=["prepared"])
    results = Results(config.results)
    prepared = done(results, "preprocess", ["ds_sub-1", "ds_sub-2"], "desc-prepared_FLAIR.nii")
    guessed = done(results, "pseudolabel/some", ["ds_sub-1"], "desc-guessed_probseg.nii")
    checkpoint = put(results.training_work("some", "all", 0) / "last.ckpt")
    tidy(config, results)
    assert all(path.exists() for path in prepared.values())
    assert results.ledger("preprocess", "ds-train-0001").exists()
    assert not any(path.exists() or path.with_suffix(".json").exists() for path in guessed.values())
    assert not results.ledger("pseudolabel/some", "ds-train-0001").exists()
    assert not checkpoint.exists()
    table = {row["what"]: row for row in read_table(results.table("storage")).to_dict("records")}
    assert [table["preprocess"][key] for key in ("scans", "files", "bytes", "kept")] == [2, 4, 12, "yes"]
    assert [table["pseudolabel/some"][key] for key in ("scans", "files", "bytes", "kept")] == [1, 2, 6, "no"]
    assert [table["checkpoints"][key] for key in ("files", "kept")] == [1, "no"]
    tidy(config, results)
    assert all(path.exists() for path in prepared.values())


def test_no_record_leads_out_of_the_results(tmp_path: Path) -> None:
    config = make_config(tmp_path, keep=[])
    results = Results(config.results)
    named, linked, behind = (put(tmp_path / name / "image.nii") for name in ("named", "linked", "behind"))
    results.prepared.mkdir(parents=True)
    (results.prepared / "link.nii").symlink_to(linked)
    (results.prepared / "folder").symlink_to(behind.parent)
    files = {"up": "../named/image.nii", "whole": str(named), "link": "prepared/link.nii"}
    row = Row("ds_sub-1", "ok", "f", files=files | {"folder": "prepared/folder/image.nii"})
    state.append(results.state("preprocess", "ds-train-0001"), row)
    tidy(config, results)
    assert named.exists() and linked.exists() and behind.exists()


def test_purge_takes_the_participant_and_nobody_else(tmp_path: Path) -> None:
    put(tmp_path / "withdrawn.txt", "1\n7\n")
    config = make_config(tmp_path)
    results = Results(config.results)
    scans = ["ds_sub-1_ses-1", "ds_sub-1_ses-2", "ds_sub-10", "other_sub-1"]
    files = done(results, "preprocess", scans, "desc-prepared_FLAIR.nii")
    done(results, "register", ["ds_sub-1_ses-1"], "xfm.txt")
    columns = "scan\tdataset\tparticipant\tperson\timage_FLAIR\treason\n"
    rows = [
        "ds_sub-1_ses-1\tds\t1\tAnna\tx/anna.nii\tn/a",
        "ds_sub-10\tds\t10\tBert\tx/bert.nii\tn/a",
        "ds_sub-7\tds\t7\tBert\tx/bert7.nii\tparticipant withdrew",
    ]
    put(results.cohort, columns + "\n".join(rows) + "\n")
    put(results.split_assignments, "name\tassigned\nAnna\ttrain\nBert\ttest\nds_sub-1\ttrain\nds_sub-10\ttrain\n")
    checks = [["ds", "x/anna.nii", {}], ["ds", "x/bert.nii", {}], ["ds", "m/sub-1/a.nii", {}], ["other", "sub-1", {}]]
    put(results.file_checks, "".join(json.dumps(check) + "\n" for check in checks) + '["ds", "m/sub-1/')
    mosaics = [put(results.report.parent / "mosaics" / f"{scan}.png") for scan in scans]
    put(results.report, "<b>ds_sub-1_ses-2</b>")
    # Pictures say in their metadata whom they show; binary ones are no text.
    shown = {name: results.figure(GALLERY, name, "png") for name in ("gone", "stays")}
    for path, scan in zip(shown.values(), scans[1:3], strict=True):
        save(Drawing(Figure(), "gallery", f"best: {scan}, Dice 0.9", ()), path, path.with_suffix(".svg"))
    learnt = put(
        results.models.parent / "state/train/some/all/seed-0.scans.json", json.dumps(dict.fromkeys(scans, "f"))
    )
    torn = results.state("preprocess", "ds-train-0001")
    torn.write_bytes(torn.read_bytes() + b'{"scan": "ds_sub-1_ses-1", "sta\xff')
    source = put(tmp_path / "ds/sub-1/anat/sub-1_FLAIR.nii.gz")

    purged = purge(config, results)
    assert purged.models == {results.model("some", "all", 0): 2}
    assert [path.exists() for path in files.values()] == [False, False, True, True]
    assert [path.exists() for path in mosaics] == [False, False, True, True]
    assert list(read_ledger(results.ledger("preprocess", "ds-train-0001"))) == scans[2:]
    assert list(state.read(torn)) == scans[2:]
    assert not results.state("register", "ds-train-0001").exists()
    assert not results.ledger("register", "ds-train-0001").exists()
    assert list(json.loads(learnt.read_text())) == scans[2:]
    assert results.cohort.read_text() == columns + "\n".join(rows[1:]) + "\n"
    assert results.cohort.stat().st_mtime < (tmp_path / "withdrawn.txt").stat().st_mtime
    assert not results.report.exists()
    assert [path.exists() for path in shown.values()] == [False, True]
    assert [path.with_suffix(".svg").exists() for path in shown.values()] == [False, True]
    assert results.split_assignments.read_text() == "name\tassigned\nBert\ttest\nds_sub-10\ttrain\n"
    assert [json.loads(line) for line in results.file_checks.read_text().splitlines()] == [checks[1], checks[3]]
    assert source.exists()
    again = purge(config, results)
    assert (again.files, again.rows, again.models) == (0, 0, {})


def test_purge_follows_no_link_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "withdrawn.txt", "1")
    config = make_config(tmp_path)
    elsewhere = put(tmp_path / "elsewhere/ds/sub-1/anat/image.nii")
    (tmp_path / "ds/sub-1").mkdir(parents=True)
    config.results.mkdir()
    (config.results / "prepared").symlink_to(tmp_path / "elsewhere")
    purge(config, Results(config.results))
    assert elsewhere.exists()
    assert "prepared is a link to elsewhere" in caplog.text


def test_purge_refuses_names_that_nobody_has(tmp_path: Path) -> None:
    listed = put(tmp_path / "withdrawn.txt", "ID\nsub-001\nsub-O02\n")
    config = make_config(tmp_path)
    results = Results(config.results)
    kept = done(results, "preprocess", ["ds_sub-001", "ds_sub-002"], "desc-prepared_FLAIR.nii")
    for label in ("001", "002"):
        put(tmp_path / f"ds/sub-{label}/anat/sub-{label}_FLAIR.nii.gz")
    with pytest.raises(ConfigError, match=r"nobody is known by 1 of .*nothing was removed: ds: 'O02' \(is '002' meant"):
        purge(config, results)
    assert all(path.exists() for path in kept.values())
    listed.write_text("ID\nsub-001\n")
    assert purge(config, results).files == 2
    # Whom it purged it knows, also when the archive does no longer.
    shutil.rmtree(tmp_path / "ds/sub-001")
    assert purge(config, results).files == 0


def test_purge_needs_a_list_and_the_end_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(tmp_path, datasets={"ds": {"root": "x", "labels": {"A": {}}}})
    with pytest.raises(ConfigError, match=r"name one under datasets\.<name>\.withdrawn"):
        purge(config, Results(config.results))
    config = make_config(tmp_path)
    with pytest.raises(ConfigError, match=r"datasets\.ds\.withdrawn: .*cannot be read"):
        purge(config, Results(config.results))
    put(tmp_path / "withdrawn.txt", "1")
    monkeypatch.chdir(tmp_path)
    put(tmp_path / ".snakemake/locks/0.input.lock")
    with pytest.raises(ConfigError, match="a run of snakemake works on these results"):
        purge(config, Results(config.results))
    (tmp_path / ".snakemake/locks/0.input.lock").unlink()
    results = Results(config.results)
    with (
        alone(results.lock("register", "ds-train-0001")),
        pytest.raises(ConfigError, match="jobs of a run that was killed still work on register/ds-train-0001; wait"),
    ):
        purge(config, results)
