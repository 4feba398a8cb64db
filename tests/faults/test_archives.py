"""An archive that changes, has dates of another clock, or nothing to use: what the workflow makes of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from chain import Run
from flairflow.cohort import archive_changes
from flairflow.cohort.archive_changes import archive_state
from flairflow.cohort.index import index
from flairflow.config import Config, load_config
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image
from flairflow.inference.volumes import write_volumes
from flairflow.tables import read_table

INDEX = ("--until", "index")


def write_flair(path: Path, seed: int = 0) -> None:
    image = np.random.default_rng(seed).uniform(1, 100, (8, 9, 10)).astype(np.float32)
    write_image(path, Image(image, np.eye(4)))


@pytest.fixture
def run(tmp_path: Path, repository: Path) -> Run:
    run = Run(tmp_path, repository)
    for number in (1, 2):
        write_flair(tmp_path / f"data/sub-{number}/ses-a/anat/sub-{number}_ses-a_FLAIR.nii.gz")
    (tmp_path / "data/participants.tsv").write_text("participant_id\nsub-1\nsub-2\n")
    values = {"labels": ["A"], "datasets": {"ds": {"root": "data", "labels": {"A": {}}}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    return run


def refused(run: Run, *arguments: str) -> str:
    """What snakemake says when it refuses."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(run.repository / "Snakefile"), "--cores", "1"]
    command += ["--directory", str(run.folder), "--configfile", str(run.folder / "config.yaml"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_an_archive_of_another_clock_is_indexed_once_and_then_when_it_changes(run: Run) -> None:
    ahead = time.time() + 7200
    for name in ("participants.tsv", "sub-1", "sub-1/ses-a/anat/sub-1_ses-a_FLAIR.nii.gz", ""):
        os.utime(run.folder / "data" / name, (ahead, ahead))
    run.snakemake(*INDEX)
    assert "index" not in run.planned(*INDEX)
    write_flair(run.folder / "data/sub-2/ses-b/anat/sub-2_ses-b_FLAIR.nii.gz")
    assert run.planned(*INDEX)["index"] == 1


def test_an_archive_with_nothing_to_use_ends_in_words(run: Run) -> None:
    for path in (run.folder / "data").glob("sub-*/ses-a/anat/*.nii.gz"):
        path.write_bytes(b"no image")
    text = refused(run)
    assert "no scan can be used, all 2 are excluded: " in text and "(such as ds_sub-1_ses-a)" in text
    assert "Traceback" not in text


def test_volumes_of_nothing_are_rows_with_reasons(run: Run) -> None:
    for path in (run.folder / "data").glob("sub-*/ses-a/anat/*.nii.gz"):
        path.write_bytes(b"no image")
    config = configured(run).model_copy(update={"results": run.results.root})
    assert index(config, threads=1).startswith("no scan can be used, all 2 are excluded")
    write_volumes(config, run.results)
    assert read_table(run.results.table("volumes"))["reason"].str.contains("cannot be read").tolist() == [True, True]


def test_tables_of_another_clock_are_refused_before_anything_runs(run: Run) -> None:
    table = run.folder / "others.tsv"
    table.write_text("label\tmetric\tensemble\tvalue\nA\tdice\tmulticlass\t0.5\n")
    run.change(compare={"published": "others.tsv"})
    os.utime(table, (time.time() + 7200,) * 2)
    text = refused(run, "-n")
    assert re.search(r"others.tsv is dated 1\d\d\.\d minutes ahead of the clock of this machine", text)
    assert "Traceback" not in text


CHANGES: dict[str, Any] = {
    "a new session": lambda data: write_flair(data / "sub-1/ses-b/anat/sub-1_ses-b_FLAIR.nii.gz"),
    "a file fixed in place": lambda data: write_flair(data / "sub-1/ses-a/anat/sub-1_ses-a_FLAIR.nii.gz", seed=1),
    "a file that went": lambda data: (data / "sub-2/ses-a/anat/sub-2_ses-a_FLAIR.nii.gz").unlink(),
    "a new participant without images": lambda data: (data / "sub-3").mkdir(),
    "a mask": lambda data: write_flair(data / "derivatives/manual/sub-1/sub-1_mask.nii.gz"),
    "a row of participants.tsv": lambda data: (data / "participants.tsv").write_text("participant_id\nsub-1\n"),
    "the split list": lambda data: (data.parent / "splits.tsv").write_text("participant\tsplit\nsub-1\ttest\n"),
}


def configured(run: Run) -> Config:
    folder = run.folder
    (folder / "splits.tsv").write_text("participant\tsplit\n")
    labels = {"A": {"folder": "derivatives/manual"}}
    dataset = {"root": str(folder / "data"), "labels": labels, "split_list": str(folder / "splits.tsv")}
    return load_config({"labels": ["A"], "datasets": {"ds": dataset}})


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_and_nothing_else(run: Run, change: str) -> None:
    config = configured(run)
    before = archive_state(config)
    for path in (run.folder / "data/README", run.folder / "data/sub-1/ses-a/anat/sub-1_ses-a_FLAIR.json"):
        path.write_text("{}")
    (run.folder / "data/participants.tsv").touch()
    assert archive_state(config) == before and not before[1]
    CHANGES[change](run.folder / "data")
    assert archive_state(config)[0] != before[0]


def test_what_is_not_looked_at_in_a_large_archive_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(run)
    monkeypatch.setattr(archive_changes, "MAX_PARTICIPANTS", 1)
    before, unseen = archive_state(config)
    assert "only the times of participants' folders are looked at" in unseen[0] and "-R index" in unseen[0]
    write_flair(run.folder / "data/sub-1/ses-a/anat/sub-1_ses-a_FLAIR.nii.gz", seed=1)
    assert archive_state(config)[0] == before
    (run.folder / "data/sub-1/ses-b").mkdir()
    assert archive_state(config)[0] != before


def test_the_files_of_a_manifest_are_looked_at(run: Run) -> None:
    path = run.folder / "list.csv"
    flair = "sub-1/ses-a/anat/sub-1_ses-a_FLAIR.nii.gz"
    path.write_text(f"participant,FLAIR\n1,{flair}\n2,{run.folder}/elsewhere.nii.gz\n")
    dataset = {"root": str(run.folder / "data"), "manifest": str(path), "labels": {"A": {}}}
    config = load_config({"labels": ["A"], "datasets": {"ds": dataset}})
    states = [archive_state(config)[0]]
    write_flair(run.folder / "data" / flair, seed=1)
    states.append(archive_state(config)[0])
    write_flair(run.folder / "elsewhere.nii.gz")
    states.append(archive_state(config)[0])
    assert len(set(states)) == 3
