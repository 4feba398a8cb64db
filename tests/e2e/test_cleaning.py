"""Intermediates that need not stay, and participants who withdraw, on a copy of the tiny cohort after its run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chain import Run
from flairflow.shards.ledger import read_ledger
from flairflow.tables import read_table


@pytest.fixture
def copied(chain: Run, tmp_path: Path) -> Run:
    """One of the strategies (and its teacher), so that what is trained again is quick."""
    run = chain.copy(tmp_path / "copy")
    run.change(strategies=["pseudolabels"])
    return run


def test_what_is_not_kept_goes_and_is_made_again_when_it_is_needed(copied: Run) -> None:
    results = copied.results
    taken = sum(path.stat().st_size for path in results.prepared.glob("*/sub-*/**/*") if path.is_file())
    scans = len([row for path in (results.root / "ledgers/preprocess").glob("*") for row in read_ledger(path)])
    copied.change(keep=[])
    assert set(copied.planned()) <= {"volumes", "metrics", "comparison", "report", "tidy"}
    copied.snakemake()
    storage = {row["what"]: row for row in read_table(results.table("storage")).to_dict("records")}
    assert storage["register"]["bytes"] + storage["preprocess"]["bytes"] == taken
    assert storage["preprocess"]["scans"] == storage["register"]["scans"] == scans
    assert [what for what, row in storage.items() if row["kept"] == "no"] == [
        "preprocess",
        "pseudolabel/marginal",
        "checkpoints",
    ]
    assert storage["segment/pseudolabels"]["files_per_scan"] >= 10

    def gone() -> bool:
        prepared = [*results.prepared.rglob("*desc-prepared*"), *(results.root / "ledgers/preprocess").rglob("*.tsv")]
        filled_in = [
            *(results.root / "pseudolabels").rglob("*_probseg*"),
            *(results.root / "ledgers/pseudolabel").rglob("*.tsv"),
        ]
        return not prepared and not filled_in and not results.checkpoints()

    assert gone()
    assert list(results.prepared.rglob("*_xfm.txt")) and list(results.prepared.rglob("*_desc-brain_mask.nii.gz"))
    assert "Nothing to be done" in copied.snakemake()
    training = copied.values["training"]
    copied.change(training=training | {"updates": 9})
    assert {"preprocess", "pseudolabel", "train_model", "segment"} <= set(copied.planned())
    assert "register" not in copied.planned()
    copied.snakemake()
    assert gone()
    volumes = read_table(results.table("volumes"))
    assert (volumes["volume_ml"].notna() == volumes["reason"].isna()).all()
    assert "Nothing to be done" in copied.snakemake()


def test_participants_who_withdrew_leave_nothing_behind(copied: Run) -> None:
    results = copied.results
    cohort = read_table(results.cohort, text=True)
    learnt = cohort[(cohort["dataset"] == "islonly") & (cohort["split"] == "train")].iloc[0]["participant"]
    lists = {"islonly": f"eid\r\n{learnt}\r\n", "archive": "\ufeff# by letter\nsub-002 # and by telephone\n\n"}
    datasets = copied.values["datasets"]
    for name, text in lists.items():
        (copied.folder / f"{name}.txt").write_text(text)
        datasets[name]["withdrawn"] = f"{name}.txt"
    copied.change(datasets=datasets)
    named = re.compile(rf"islonly[_/]sub-{learnt}(?!\d)|archive[_/]sub-002(?!\d)")

    def naming() -> set[str]:
        found = set()
        for path in results.root.rglob("*"):
            relative = path.relative_to(results.root).as_posix()
            if named.search(relative) or (
                path.is_file()
                and path.suffix not in (".nii", ".gz", ".png")
                and named.search(path.read_text(errors="replace"))
            ):
                found.add(relative)
        return found

    def others() -> dict[Path, int]:
        paths = [
            path for name in ("prepared", "pseudolabels", "derivatives") for path in (results.root / name).rglob("*.*")
        ]
        return {p: p.stat().st_mtime_ns for p in paths if p.is_file() and not named.search(p.as_posix())}

    assert len(naming()) > 30
    sources = {path: path.stat().st_mtime_ns for path in (copied.folder / "demo").rglob("*")}
    before = others()
    log = copied.command("purge", "--config", "config.yaml")
    for name in ("marginal", "pseudolabels"):
        assert f"models/{name}/all/seed-0 learnt from, or was selected on, 1 scans" in log
    assert naming() == set()
    assert others() == before
    output = copied.snakemake()
    assert "rule train_model" in output
    assert others().keys() == before.keys()
    assert naming() == {"cohort.tsv"}
    cohort = read_table(results.cohort, text=True).set_index("scan")
    assert cohort.loc[[f"islonly_sub-{learnt}", "archive_sub-002_ses-1"], "reason"].eq("participant withdrew").all()
    assert "3 scans" in results.report.read_text() and "participant withdrew" in results.report.read_text()
    assert "removed 0 files (0 MB) and 0 rows" in copied.command("purge", "--config", "config.yaml")
    assert "Nothing to be done" in copied.snakemake()
    assert {path: path.stat().st_mtime_ns for path in sources} == sources
