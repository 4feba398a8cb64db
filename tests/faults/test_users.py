"""What users of an archive meet, beyond its scans: settings, keys, folders, Ctrl-C, tables and files."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from flairflow.cohort.scan import Mask, Scan
from flairflow.config import load_config, read_config
from flairflow.errors import ConfigError
from flairflow.files import atomic, write_text
from flairflow.paths import Results
from flairflow.preprocessing.prepare import brain_flag
from flairflow.report.counts import volume_summary
from flairflow.report.summary import write_summary


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
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
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
    columns = {"scan": [scan.scan for scan in scans[:4]], "dataset": "ds", "label": "A", "flag": flags, "reason": None}
    volumes = pd.DataFrame(columns | {"volume_ml": [1.0, 2.0, 3.0, 900.0]})
    comparison = pd.DataFrame({"lesion_scans": [], "lesion_free_scans": []})
    write_summary(config, Results(tmp_path), scans, volumes, comparison)
    text = Results(tmp_path).summary.read_text()
    assert "5 scans: 4 segmented (1 of them with a flag), 1 excluded, 0 failed" in text
    assert "low registration quality" in text.split("To look at")[1]
    (row,) = volume_summary(volumes)
    assert (row["scans"], row["flagged"], row["median"], row["largest"]) == (3, 1, 2.0, 3.0)
