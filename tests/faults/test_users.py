"""What users of an archive meet, beyond its scans: settings, keys, folders, Ctrl-C, tables and files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from flairflow.brain_mask.plausible import brain_flag
from flairflow.cleaning.set_aside import read_left, set_aside
from flairflow.cleaning.withdrawn_participants import purge
from flairflow.cli import main
from flairflow.cohort.check_folders import check_places
from flairflow.cohort.index import index, read_scans
from flairflow.cohort.scan import Mask, Scan
from flairflow.comparison.tables.main_table import COLUMNS, as_latex, as_markdown
from flairflow.config import Config, load_config, read_config
from flairflow.dag import compare_version, model_files, segment_version
from flairflow.errors import ConfigError
from flairflow.files import atomic, write_text
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image
from flairflow.inference.bids_description import describe_datasets
from flairflow.inference.output_files import write_segmentation
from flairflow.inference.prediction import Segmentation
from flairflow.inference.volumes import write_volumes
from flairflow.paths import Results, derivative
from flairflow.report.counts import volume_summary
from flairflow.report.page import write_report
from flairflow.report.summary import write_summary
from flairflow.shards import state
from flairflow.shards.ledger import Row, write_ledger
from flairflow.status.slurm import queue
from flairflow.tables import read_table
from flairflow.training.ensemble_members import check_given_models


def snakemake(
    folder: Path, repository: Path, *arguments: str, config: str = "my.yaml"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile"), "--cores", "2"]
    command += ["--directory", str(folder), "--configfile", str(folder / config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def write_model(folder: Path, **changes: Any) -> Path:
    """A model folder with a whole plan, and weights that stand for any."""
    network = {"filters": [4, 8, 16], "deep_supervision": 1}
    plan: dict[str, Any] = {"labels": ["WMH", "ISL"], "precedence": ["ISL", "WMH"], "classes": ["WMH", "ISL"]}
    plan |= {"images": ["FLAIR", "T1w"], "activation": "softmax", "network": network, "patch": 16, "overlap": 0.25}
    plan |= {"preprocessing": {"spacing": 1.5, "brain_mask": "synthstrip", "bias_correction": False}} | changes
    folder.mkdir(parents=True)
    for name in ("weights.safetensors", "plan.json", "record.json"):
        (folder / name).write_text(json.dumps(plan))
    return folder


def test_models_alone_are_a_configuration(tmp_path: Path) -> None:
    model = write_model(tmp_path / "seed-0")
    for folders in (str(model), [str(model)]):
        config = load_config({"datasets": {"mine": {"root": "x"}}, "models": {"given": folders}})
        assert (config.labels, config.precedence) == (("WMH", "ISL"), ("ISL", "WMH"))
        assert config.images == ("FLAIR", "T1w")
        assert (config.preprocessing.spacing, config.preprocessing.bias_correction) == (1.5, False)
        assert config.models == {"given": (model,)}
    own = load_config({"datasets": {"mine": {"root": "x"}}, "models": {"given": str(model)}, "labels": ["A"]})
    assert own.labels == ("A",)


@pytest.mark.parametrize("folders", ["nowhere", ["nowhere"], []])
def test_models_that_are_not_there_are_named(folders: Any) -> None:
    with pytest.raises(ConfigError, match=r"models\.given: nowhere is no usable|labels: Field required"):
        load_config({"datasets": {"mine": {"root": "x"}}, "models": {"given": folders}})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("labels: [A\ndatasets:\n  ds: {root: x}\n", "my.yaml, line 2, column 9: "),
        ("labels: [A]\ndatasets:\n\tds: {root: x}\n", "my.yaml, line 3, column 1: "),
        ("labels: [A]\ndatasets:\n  ds: {root: 'x}\n", "my.yaml, line 4"),
        ("labels: [A]\n  images: [FLAIR]\n", "my.yaml, line 2, column 3: "),
        ("just words\n", "my.yaml, line 1: is no configuration"),
    ],
)
def test_a_fault_of_syntax_has_file_and_line(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_config(tmp_path / "my.yaml")
    assert place in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_fault_of_a_key_has_file_and_line(tmp_path: Path, repository: Path) -> None:
    text = "labels: [A]\ndatasets:\n  ds:\n    root: x\n    lables: {}\ntraining:\n  patch: -3\n"
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_config(tmp_path / "my.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("  datasets.ds.lables: no such key") and lines[1].endswith("my.yaml, line 5)")
    assert lines[2].startswith("  training.patch: ") and lines[2].endswith("my.yaml, line 7)")
    done = snakemake(tmp_path, repository, "-n")
    assert done.returncode != 0 and "(my.yaml, line 5)" in done.stdout + done.stderr


def test_files_have_the_mode_that_the_user_wants(tmp_path: Path) -> None:
    """Whatever writes them: safetensors makes files that nobody else may read."""
    for mask, mode in ((0o022, 0o644), (0o007, 0o660)):
        before = os.umask(mask)
        try:
            write_text(tmp_path / f"text{mask}", "x")
            with atomic(tmp_path / f"private{mask}") as partial:
                os.close(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600))
                partial.unlink()
                os.close(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600))
        finally:
            os.umask(before)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(f"*{mask}")}
        assert modes == {mode}


def test_weights_can_be_read_by_the_group(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    with atomic(tmp_path / "weights.safetensors") as partial:
        save_file({"a": torch.zeros(3)}, partial)
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "weights.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_ctrl_c_is_no_traceback(tmp_path: Path, repository: Path) -> None:
    """Of a whole run, as a terminal interrupts it: all processes of the group at once."""
    values = yaml.safe_load((repository / "config.yaml").read_text())
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile"), "--cores", "2"]
    command += ["demo/simulated.json", "--directory", str(tmp_path), "--configfile", "my.yaml"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell's background makes what it starts deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 200
        begun = tmp_path / "demo/archive/dataset_description.json"
        while not begun.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(3)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "interrupted" in said
    assert "Traceback" not in said, said


@pytest.mark.parametrize(("ml", "flagged"), [(699, True), (701, False), (1400, False), (2199, False), (3043, True)])
def test_a_brain_too_small_or_too_large_is_flagged(ml: float, flagged: bool) -> None:
    flag = brain_flag(ml)
    assert bool(flag) == flagged
    assert flag is None or f"{ml} ml" in flag


def a_scan(name: str, reason: str = "", **changes: Any) -> Scan:
    dataset, _, participant = name.partition("_sub-")
    about: dict[str, Any] = {"session": "", "person": name, "images": {"FLAIR": "f.nii"}, "masks": {"A": Mask()}}
    return Scan(name, dataset, participant, **{**about, "split": "archive", **changes}, reason=reason)


def test_a_flag_reaches_the_summary_and_the_statistics(tmp_path: Path) -> None:
    config = load_config({"labels": ["A"], "datasets": {"ds": {"root": "x", "labels": {"A": {}}}}})
    scans = [a_scan(f"ds_sub-{number}") for number in range(4)] + [a_scan("ds_sub-bad", "damaged")]
    flags = [None, None, None, "low registration quality"]
    columns: dict[str, Any] = {"scan": [scan.scan for scan in scans[:4]], "dataset": "ds", "label": "A", "flag": flags}
    columns |= {"reason": None, "precision": "fp32"}
    volumes = pd.DataFrame(columns | {"volume_ml": [1.0, 2.0, 3.0, 900.0]})
    comparison = pd.DataFrame({"lesion_scans": [], "lesion_free_scans": []})
    write_summary(config, Results(tmp_path), scans, volumes, comparison)
    text = Results(tmp_path).summary.read_text()
    assert "5 scans: 4 segmented (1 of them with a flag), 1 excluded, 0 failed" in text
    assert "low registration quality" in text.split("To look at")[1]
    (row,) = volume_summary(volumes)
    assert (row["scans"], row["flagged"], row["median"], row["largest"]) == (3, 1, 2.0, 3.0)


class Archive:
    """A small archive, and what the stages leave of its scans, which here is text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = Results(folder / "results")

    def add(self, root: str, *labels: str, seed: int = 0) -> None:
        for label in labels:
            data = np.random.default_rng([seed, *label.encode()]).integers(1, 100, (22, 24, 20)).astype("i2")
            path = self.folder / root / f"sub-{label}/anat/sub-{label}_FLAIR.nii.gz"
            write_image(path, Image(data, np.diag([8.0, 8.0, 8.0, 1.0])))

    def config(self, root: str = "old", **changes: Any) -> Config:
        dataset = {"root": str(self.folder / root), **changes}
        model = {"labels": ["A"], "models": {"mine": "m"}, "results": str(self.results.root)}
        return load_config(model | {"datasets": {"ds": dataset}})

    def index(self, config: Config) -> None:
        index(config, 1)
        set_aside(config, self.results)

    def segment(self, stage: str = "segment/mine") -> dict[str, Path]:
        """Masks of all scans of the cohort, as a job would leave them: what is done already it leaves."""
        files: dict[str, Path] = {}
        rows: dict[str, list[Row]] = {}
        for scan in read_scans(self.results.cohort, ["A"], ["FLAIR"]):
            if not scan.included:
                continue
            done = state.read(self.results.state(stage, scan.shard)).get(scan.scan)
            path = derivative(self.results.masks("mine"), scan.scan, "label-A_mask.nii.gz")
            if done is None or done.fingerprint != scan.digest or not path.exists():
                write_text(path, f"mask of {scan.digest}")
                write_text(path.with_name(path.name.replace(".nii.gz", ".json")), "{}")
                relative = {"mask_A": path.relative_to(self.results.root).as_posix()}
                done = Row(scan.scan, "ok", scan.digest, files=relative, values={"A_ml": 1.0})
                state.append(self.results.state(stage, scan.shard), done)
            rows.setdefault(scan.shard, []).append(done)
            files[scan.scan] = path
            write_text(self.results.masks("mine") / "ds/dataset_description.json", "{}")
        for shard, members in rows.items():
            write_ledger(self.results.ledger(stage, shard), members)
        return files

    def aside(self) -> list[str]:
        """Names of the images that were moved aside."""
        return sorted(path.name for path in self.results.aside.rglob("*.nii.gz"))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_who_left_the_archive_leaves_the_results_and_returns_with_what_was_made(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    archive.add("old", "1", "2", "3")
    config = archive.config()
    archive.index(config)
    files = archive.segment()
    assert archive.aside() == [] and not archive.results.left.exists()
    shutil.move(archive.folder / "old/sub-2", archive.folder / "sub-2")
    archive.index(config)
    assert [path.exists() for path in files.values()] == [True, False, True]
    assert not files["ds_sub-2"].parents[1].exists()
    assert archive.aside() == ["sub-2_label-A_mask.nii.gz"]
    assert len(list(archive.results.aside.rglob("*label-A_mask.json"))) == 1
    (left,) = read_left(archive.results)
    assert (left.scan, left.stage, left.files) == ("ds_sub-2", "segment/mine", "2")
    assert left.reason == f"no longer in {archive.folder / 'old'}"
    assert "ds: 1 scans are no longer in the cohort: the 2 files made of them were moved to" in caplog.text
    listed = archive.results.left.read_text()
    # Nothing more happens at the next index.
    archive.index(config)
    assert archive.results.left.read_text() == listed
    shutil.move(archive.folder / "sub-2", archive.folder / "old/sub-2")
    archive.index(config)
    assert all(path.exists() for path in files.values())
    assert archive.aside() == [] and read_left(archive.results) == []
    assert [path.read_text() for path in archive.segment().values()] == [path.read_text() for path in files.values()]


def test_another_archive_under_the_same_name_is_noticed_and_mixes_with_nothing(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    archive.add("old", "1", "2", "3")
    archive.add("new", "2", "3", "4", seed=1)
    shutil.copytree(archive.folder / "old/sub-3", archive.folder / "new/sub-3", dirs_exist_ok=True)
    archive.index(archive.config("old"))
    olds = {name: path.read_text() for name, path in archive.segment().items()}
    archive.index(archive.config("new"))
    assert "of the 3 scans that it had 1 are there with the same contents" in caplog.text
    assert "give it a name of its own" in caplog.text
    delivered = sorted(path.name for path in archive.results.masks("mine").rglob("*.nii.gz"))
    # The third is the same scan in both.
    assert delivered == ["sub-3_label-A_mask.nii.gz"]
    assert archive.aside() == ["sub-1_label-A_mask.nii.gz", "sub-2_label-A_mask.nii.gz"]
    archive.segment()
    reasons = {left.scan: left.reason for left in read_left(archive.results)}
    assert reasons.keys() == {"ds_sub-1", "ds_sub-2"} and "another scan has this name" in reasons["ds_sub-2"]
    # Back to the first: nobody gets a mask of another one.
    archive.index(archive.config("old"))
    masks = archive.segment()
    assert {name: path.read_text() for name, path in masks.items()} == olds


def test_an_archive_that_was_moved_is_the_same(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    archive.add("old", "1", "2")
    archive.index(archive.config())
    files = archive.segment()
    shutil.move(archive.folder / "old", archive.folder / "new")
    archive.index(archive.config("new"))
    assert all(path.exists() for path in files.values()) and archive.aside() == []
    assert "all 2 scans are there" in caplog.text or "give it a name" not in caplog.text


def test_a_dataset_that_left_the_configuration_leaves_the_results(archive: Archive) -> None:
    archive.add("old", "1", "2")
    archive.add("mine", "1")
    archive.index(archive.config())
    archive.segment()
    other = archive.config("mine")
    values = other.model_dump(mode="json")
    config = load_config(values | {"datasets": {"mine": values["datasets"]["ds"]}})
    archive.index(config)
    assert not list(archive.results.masks("mine").rglob("*")) and len(archive.aside()) == 2
    assert {left.reason for left in read_left(archive.results)} == {"no dataset ds in the configuration"}
    # Lists and ledgers of shards that nobody is in would name files that are gone.
    assert [path.stem for path in archive.results.shard_list("x").parent.glob("*.tsv")] == ["mine-archive-0001"]
    assert not list((archive.results.root / "ledgers").rglob("*.tsv"))


def test_an_archive_that_is_not_mounted_moves_nothing(archive: Archive) -> None:
    archive.add("old", "1", "2")
    config = archive.config()
    archive.index(config)
    files = archive.segment()
    shutil.move(archive.folder / "old/sub-1", archive.folder / "sub-1")
    shutil.move(archive.folder / "old/sub-2", archive.folder / "sub-2")
    # An index without a usable scan ends with a message.
    with suppress(ConfigError):
        archive.index(config)
    assert all(path.exists() for path in files.values()) and archive.aside() == []


def test_purge_also_takes_what_was_moved_aside(archive: Archive) -> None:
    archive.add("old", "1", "2")
    archive.index(archive.config())
    archive.segment()
    (archive.folder / "withdrawn.txt").write_text("sub-1\n")
    config = archive.config(withdrawn=str(archive.folder / "withdrawn.txt"))
    archive.index(config)
    assert archive.aside() == ["sub-1_label-A_mask.nii.gz"]
    purge(config, archive.results)
    named = [path for path in archive.results.root.rglob("*") if "sub-1" in path.name]
    texts = [path for path in archive.results.root.rglob("*.*") if path.is_file() and "ds_sub-1" in path.read_text()]
    assert not named and texts == [archive.results.cohort]


def test_the_table_of_what_left_has_a_dictionary(archive: Archive) -> None:
    archive.add("old", "1", "2")
    archive.index(archive.config())
    archive.segment()
    shutil.rmtree(archive.folder / "old/sub-2")
    archive.index(archive.config())
    table = read_table(archive.results.left)
    assert set(table.columns) == set(json.loads(archive.results.left.with_suffix(".json").read_text()))


def with_flair(root: Path, name: str = "sub-1/anat/sub-1_FLAIR.nii.gz") -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"root": "nowhere/at/all"}, r"datasets\.ds\.root: nowhere/at/all is not there"),
        ({"root": "file"}, r"datasets\.ds\.root: file is not a folder"),
        ({"root": "empty"}, r"datasets\.ds\.root: empty holds no folder of a participant \(sub-\*\)"),
        ({"root": "above"}, r"datasets\.ds\.root: above holds no .*; is above/data meant\?"),
        ({"root": "t1"}, r"datasets\.ds\.root: t1 has 1 folders sub-\*, but no FLAIR image"),
        ({"manifest": "list.tsv"}, r"datasets\.ds\.manifest: list\.tsv is not there"),
        ({"withdrawn": "gone.txt"}, r"datasets\.ds\.withdrawn: gone\.txt is not there"),
        ({"results": "file/results"}, r"results: file/results cannot be written \(.*file is no folder\)"),
        ({"results": "/proc/results"}, r"results: /proc/results cannot be written \(/proc: "),
    ],
)
def test_folders_that_cannot_be_used_are_found_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("good", "above/data"):
        with_flair(tmp_path / name)
    with_flair(tmp_path / "t1", "sub-1/anat/sub-1_T1w.nii.gz")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    results = changes.pop("results", "results")
    dataset = {"root": "good", "labels": {"A": {}}} | changes
    config = load_config({"labels": ["A"], "results": results, "datasets": {"ds": dataset}})
    with pytest.raises(ConfigError, match=fault):
        check_places(config)
    check_places(load_config({"labels": ["A"], "datasets": {"ds": {"root": "good", "labels": {"A": {}}}}}))
    assert not (tmp_path / "results").exists()


def test_a_dry_run_finds_them_all_at_once(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "file").touch()
    text = "labels: [A]\nresults: file/results\ndatasets:\n  a: {root: nowhere, labels: {A: {}}}\n  b: {root: file}\n"
    (tmp_path / "my.yaml").write_text(text)
    done = snakemake(tmp_path, repository, "-n")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert "3 fault(s), nothing was run" in said
    for fault, line in (("results: ", 2), ("datasets.a.root: nowhere", 4), ("datasets.b.root: file", 5)):
        (found,) = [text for text in said.splitlines() if text.startswith(f"  {fault}")]
        assert found.endswith(f"(my.yaml, line {line})")


def test_check_says_what_a_configuration_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], archive: Archive
) -> None:
    monkeypatch.chdir(tmp_path)
    archive.add("data", "1", "2", "3")
    archive.add("learn", *[f"{number:02}" for number in range(8)])
    for number in range(8):
        mask = tmp_path / f"learn/sub-{number:02}/anat/sub-{number:02}_label-A_mask.nii.gz"
        write_image(mask, Image(np.ones((22, 24, 20), np.uint8), np.diag([8.0, 8.0, 8.0, 1.0])))
    labels = {"labels": {"A": {"entities": {"label": "A"}}}}
    values: dict[str, Any] = {"labels": ["A"], "datasets": {"learn": {"root": "learn"} | labels}}
    values["datasets"]["mine"] = {"root": "data"}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(values))
    assert main(["check", "my.yaml"]) == 0
    said = capsys.readouterr().out
    for words in (
        "learn: 8 participants, 8 FLAIR images, A: 8 masks",
        "data: 3 participants, 3 FLAIR images, A: unknown",
        "to be trained: 1 networks, 400 updates each",
        "3 archive",
        "will be written",
        "on two CPU cores",
    ):
        assert words in said, said
    assert not (tmp_path / "results").exists()
    model = write_model(tmp_path / "model", labels=["A"], classes=["A"], images=["FLAIR"], precedence=["A"])
    record = {"training_scans": 9, "annotated": {"A": 7}, "updates": 50, "best_score": 0.5}
    (model / "record.json").write_text(json.dumps(record))
    (tmp_path / "my.yaml").write_text("models: {m: model}\ndatasets:\n  mine: {root: data}\n")
    assert main(["check", "my.yaml"]) == 0
    said = capsys.readouterr().out
    assert "A from FLAIR at 1.5 mm; learnt from 9 scans (A in 7), 50 updates" in said and "3 archive" in said
    (tmp_path / "my.yaml").write_text("models: {m: model}\ndatasets:\n  mine: {root: nowhere}\n")
    assert main(["check", "my.yaml"]) == 1


def test_of_an_archive_there_are_no_figures_and_nothing_is_compared(archive: Archive) -> None:
    archive.add("old", "1", "2", "3")
    config = archive.config()
    config = load_config(config.model_dump(mode="json") | {"report": {"mosaics": 0}})
    archive.index(config)
    archive.segment()
    write_volumes(config, archive.results)
    write_report(config, archive.results)
    page = archive.results.report.read_text()
    assert "<img" not in page and "<figure" not in page
    assert "No test scan of this cohort was scored" in page
    assert not list(archive.results.report.parent.glob("figures/*"))
    assert "3 scans: 3 segmented" in archive.results.summary.read_text()


def test_a_main_table_of_nothing_says_so() -> None:
    empty = pd.DataFrame(columns=list(COLUMNS))
    for text in (as_markdown(empty), as_latex(empty)):
        assert "nothing to compare" in text and "n/a" not in text and ". ." not in text


def test_a_dry_run_of_an_archive_plans_no_comparison(tmp_path: Path, repository: Path) -> None:
    with_flair(tmp_path / "data")
    write_model(tmp_path / "model", labels=["A"], classes=["A"], images=["FLAIR"], precedence=["A"])
    (tmp_path / "my.yaml").write_text("models: {m: model}\ndatasets:\n  mine: {root: data}\n")
    done = snakemake(tmp_path, repository, "-n", "-q", "rules")
    assert done.returncode == 0, done.stderr
    assert "volumes" in done.stdout + done.stderr
    assert "flairflow: 1 datasets; how many scans they have is known after the job `index`" in done.stderr
    assert not {"comparison", "metrics", "thresholds"} & set((done.stdout + done.stderr).split())


def test_masks_are_a_bids_derivative_that_says_what_it_is_of(tmp_path: Path) -> None:
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    reference = tmp_path / "raw/sub-1/anat/sub-1_FLAIR.nii.gz"
    write_image(reference, Image(np.random.default_rng(0).uniform(1, 9, (20, 22, 24)).astype(np.float32), affine))
    (tmp_path / "raw/dataset_description.json").write_text('{"Name": "raw", "Authors": ["A B", "C D"]}')
    classes = (np.arange(20 * 22 * 24).reshape(20, 22, 24) % 3).astype(np.uint8)
    whole = (slice(0, 20), slice(0, 22), slice(0, 24))
    segmentation = Segmentation(classes, affine, classes >= 0, np.zeros((3, *classes.shape), np.float32), whole)
    root = tmp_path / "results/derivatives/flairflow-m"
    describe_datasets(root, {"ds": tmp_path / "raw", "other": tmp_path / "other"}, ["ds"], "lesion masks (m)")
    write_segmentation(
        lambda name: derivative(root, "ds_sub-1", name),
        segmentation,
        ["WMH", "ISL"],
        reference,
        {"Model": "m", "Sources": ["bids:ds:sub-1/anat/sub-1_FLAIR.nii.gz"]},
        ["WMH"],
    )
    description = json.loads((root / "ds/dataset_description.json").read_text())
    assert description["Authors"] == ["A B", "C D"] and str(tmp_path) not in json.dumps(description)
    sidecars = sorted((root / "ds").rglob("anat/*.json"))
    assert len(sidecars) == 5
    for sidecar in sidecars:
        said = json.loads(sidecar.read_text())
        (source,) = said["Sources"]
        _, dataset, path = source.split(":")
        assert said["Description"] and (root / "ds" / description["DatasetLinks"][dataset] / path).is_file()
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("no bids-validator-deno here: what it says of the masks was not asked")
    for folder, warnings in ((root, {"SUBJECT_FOLDERS", "TOO_FEW_AUTHORS"}), (root / "ds", set())):
        done = subprocess.run([validator, folder, "--json"], capture_output=True, text=True, check=False, timeout=300)
        issues = json.loads(done.stdout)["issues"]["issues"]
        assert done.returncode == 0 and {issue["code"] for issue in issues} <= warnings
        assert {issue["severity"] for issue in issues} <= {"warning"}


def test_a_model_that_was_moved_is_the_same_and_another_one_is_not(tmp_path: Path) -> None:
    def versions(folder: Path) -> tuple[str, str]:
        values = {"datasets": {"mine": {"root": "x"}}, "models": {"given": str(folder)}}
        config = load_config(values)
        check_given_models(config)
        assert model_files(config, "given") == []
        return segment_version(config, "mine-archive-0001", "given"), compare_version(config)

    model = write_model(tmp_path / "model")
    weights = np.random.default_rng(0).bytes(300_000)
    (model / "weights.safetensors").write_bytes(weights)
    before = versions(model)
    shutil.move(model, tmp_path / "moved")
    assert versions(tmp_path / "moved") == before
    os.utime(tmp_path / "moved/plan.json", (1, 1))
    assert versions(tmp_path / "moved") == before
    (tmp_path / "moved/weights.safetensors").write_bytes(np.random.default_rng(1).bytes(300_000))
    assert not set(versions(tmp_path / "moved")) & set(before)
    (tmp_path / "moved/weights.safetensors").unlink()
    with pytest.raises(
        ConfigError, match=r"models\.given: .*moved is no usable model folder \(weights\.safetensors mis"
    ):
        versions(tmp_path / "moved")


def test_a_machine_with_slurms_programs_alone_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/squeue"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'squeue: error: resolve_ctls_from_dns_srv: res_nsearch error' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    assert queue([tmp_path]) is None
    # Where jobs were submitted from it matters.
    (tmp_path / ".snakemake/slurm_logs").mkdir(parents=True)
    found = queue([tmp_path])
    assert found is not None and "res_nsearch" in found.problem
