"""A tiny cohort through everything: with a damaged scan, a second run, new participants, changed settings, a kill."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from chain import CONFIG, Run, same_segmentations, segmented_in_three_steps
from flairflow.network.model import load_model
from flairflow.paths import COMPARISON_TABLES, FIGURES, GALLERY, RULES, Results, derivative
from flairflow.shards.ledger import read_ledger, read_ledgers
from flairflow.tables import read_table

AFTER_TRAINING = {"segment", "segment_archive", "volumes", "evaluate", "metrics", "comparison", "report", "tidy"}


@pytest.fixture(scope="module")
def copied(chain: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same, for tests that change it."""
    return chain.copy(tmp_path_factory.mktemp("copied") / "chain")


def test_every_sound_scan_is_segmented_and_the_damaged_one_is_a_row(chain: Run) -> None:
    cohort = read_table(chain.results.cohort)
    excluded = cohort[cohort["status"] == "excluded"]
    assert list(excluded["scan"]) == ["archive_sub-002_ses-1"]
    assert "truncated" in excluded["reason"].iloc[0]
    assert "sub-002_ses-1_FLAIR.nii.gz" in excluded["reason"].iloc[0]
    volumes = read_table(chain.results.table("volumes"))
    assert set(volumes["scan"]) == set(cohort["scan"])
    left_out = volumes["scan"].isin(excluded["scan"])
    assert (volumes["volume_ml"].notna() != left_out).all() and (volumes["reason"].notna() == left_out).all()


def test_masks_lie_on_the_native_grid_and_give_the_volumes_of_the_table(chain: Run) -> None:
    volumes = read_table(chain.results.table("volumes")).dropna(subset="volume_ml")
    root = chain.results.root / "derivatives" / "flairflow"
    for dataset in ("both", "islonly", "archive"):
        assert json.loads((root / dataset / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    for _, row in volumes.iterrows():
        parts = [row["participant"], *([row["session"]] if isinstance(row["session"], str) else [])]
        stem = "_".join(parts)
        flair: Any = nib.load(chain.folder / "demo" / row["dataset"] / Path(*parts) / "anat" / f"{stem}_FLAIR.nii.gz")
        folder = root / row["dataset"] / Path(*parts) / "anat"
        mask: Any = nib.load(folder / f"{stem}_label-{row['label']}_mask.nii.gz")
        segmentation: Any = nib.load(folder / f"{stem}_dseg.nii.gz")
        probability: Any = nib.load(folder / f"{stem}_label-{row['label']}_probseg.nii.gz")
        assert mask.shape == flair.shape == segmentation.shape == probability.shape
        assert np.allclose(mask.affine, flair.affine, atol=1e-4)
        number = ["WMH", "ISL"].index(row["label"]) + 1
        assert np.array_equal(mask.get_fdata() > 0, segmentation.get_fdata() == number)
        ml = mask.get_fdata().sum() * abs(np.linalg.det(flair.affine[:3, :3])) / 1000
        assert row["volume_ml"] == pytest.approx(ml, rel=1e-4, abs=1e-4)
        assert probability.get_fdata().min() >= 0 and probability.get_fdata().max() <= 1
        sidecar = json.loads((folder / f"{stem}_label-{row['label']}_mask.json").read_text())
        assert {"Model", "ModelHash", "SoftwareVersion"} <= set(sidecar)
        assert (folder / f"{stem}_dseg.tsv").read_text() == "index\tname\n1\tWMH\n2\tISL\n"


def test_tables_have_dictionaries_and_results_no_absolute_paths(chain: Run) -> None:
    for name in ("volumes", "metrics", "thresholds", "comparison", *COMPARISON_TABLES):
        path = chain.results.table(name)
        assert set(read_table(path).columns) == set(json.loads(path.with_suffix(".json").read_text()))
    cohort = chain.results.cohort
    assert set(read_table(cohort).columns) == set(json.loads(cohort.with_suffix(".json").read_text()))
    for path in chain.results.root.rglob("*"):
        if path.suffix in (".tsv", ".json", ".jsonl", ".html") and path != chain.results.config:
            assert str(chain.folder) not in path.read_text(), path


def test_known_masks_are_scored_and_unknown_ones_are_not(chain: Run) -> None:
    metrics = read_table(chain.results.table("metrics"))
    assert set(metrics["ensemble"]) == {"multiclass", "marginal", "pseudolabels", "one_threshold", "two_thresholds"}
    assert set(metrics.loc[metrics["dataset"] == "islonly", "label"]) == {"ISL"}
    assert set(metrics.loc[metrics["dataset"] == "both", "label"]) == {"WMH", "ISL"}
    assert "archive" not in set(metrics["dataset"])
    cohort = read_table(chain.results.cohort).set_index("scan")
    assert list(metrics["participant"]) == list(cohort.loc[metrics["scan"], "person"])
    by_rule = metrics["ensemble"].isin(RULES)
    assert (metrics["calibration_error"].isna() == by_rule).all()
    assert (metrics["average_precision"].isna() == (by_rule | metrics["dice"].isna())).all()


def test_only_training_scans_that_lack_a_mask_are_filled_in(chain: Run) -> None:
    rows = read_ledgers((chain.results.root / "ledgers/pseudolabel/marginal").glob("*.tsv"))
    cohort = read_table(chain.results.cohort)
    expected = cohort[(cohort["split"] == "train") & (cohort["dataset"] == "islonly")]
    assert set(rows) == set(expected["scan"]) != set()
    for row in rows.values():
        assert set(row.values) == {"WMH_ml"}
        image: Any = nib.load(chain.results.root / row.files["teacher"])
        prepared: Any = nib.load(derivative(chain.results.prepared, row.scan, "desc-prepared_mask.nii"))
        assert image.shape == (*prepared.shape, 3) and image.get_data_dtype() == np.uint8
        assert np.allclose(image.affine, prepared.affine)
        probabilities, brain = image.get_fdata(), prepared.get_fdata() > 0
        assert np.allclose(probabilities.sum(-1)[brain], 1, atol=0.01)
        assert not probabilities[~brain, 1:].any()


def test_the_comparison_sums_up_the_metrics(chain: Run) -> None:
    metrics = read_table(chain.results.table("metrics"))
    comparison = read_table(chain.results.table("comparison"))
    assert len(comparison) == 2 * 5
    for found in comparison.to_dict("records"):
        own = metrics[(metrics["label"] == found["label"]) & (metrics["ensemble"] == found["ensemble"])]
        assert found["lesion_scans"] == own["dice"].notna().sum()
        assert found["lesion_free_scans"] == own["false_ml"].notna().sum()
        assert found["dice_mean"] == pytest.approx(own["dice"].mean(), rel=1e-4, nan_ok=True)
        assert found["false_ml_mean"] == pytest.approx(own["false_ml"].mean(), rel=1e-4, nan_ok=True)


def test_every_figure_of_the_comparison_is_drawn_and_the_gallery_shows_scans(chain: Run) -> None:
    metrics = read_table(chain.results.table("metrics"))
    for label in CONFIG["labels"]:
        for name in FIGURES:
            assert all(chain.results.figure(name, label, kind).stat().st_size > 3000 for kind in ("svg", "png")), name
            assert json.loads(chain.results.figure(name, label, "json").read_text())["caption"].startswith(label)
        # The last entry delivers the masks.
        own = metrics[(metrics["label"] == label) & (metrics["ensemble"] == "pseudolabels")].dropna(subset=["dice"])
        gallery = json.loads(chain.results.figure(GALLERY, label, "json").read_text())
        best = own.loc[own["dice"] == own["dice"].max(), "scan"]
        assert any(f"best: {scan}, " in gallery["caption"] for scan in best)
        assert chain.results.figure(GALLERY, label, "png").stat().st_size > 50_000


def test_a_mask_drawn_on_another_sequence_is_carried_to_its_place(chain: Run) -> None:
    """Against the simulation's truth on the FLAIR grid, which the workflow never reads."""
    rows = [
        row
        for path in (chain.results.root / "ledgers/register").glob("islonly-*")
        for row in read_ledger(path).values()
    ]
    scores = []
    for row in rows:
        carried = np.asarray(nib.load(chain.results.root / row.files["bits"]).dataobj) > 0  # type: ignore[attr-defined]
        participant = row.scan.split("_")[1]
        truth_path = chain.folder / f"demo/truth/islonly/{participant}/anat/{participant}_label-ISL_mask.nii.gz"
        truth = np.asarray(nib.load(truth_path).dataobj) > 0  # type: ignore[attr-defined]
        if truth.sum() > 30:
            scores.append(2 * (carried & truth).sum() / (carried.sum() + truth.sum()))
    assert scores and min(scores) > 0.5


def test_the_report_links_its_mosaics_and_says_what_was_left_out(chain: Run) -> None:
    page = chain.results.report.read_text()
    images = re.findall(r'<img src="(mosaics/[^"]+)"', page)
    assert len(images) == 3
    assert all((chain.results.report.parent / image).stat().st_size > 10_000 for image in images)
    assert "archive_sub-002_ses-1" in page and "truncated" in page
    assert "10 scans" in chain.results.summary.read_text() or "11 scans" in chain.results.summary.read_text()


def test_snakemakes_own_report_works(chain: Run) -> None:
    assert chain.snakemake_report.stat().st_size > 100_000


def test_a_second_run_does_nothing(copied: Run) -> None:
    before = copied.processed()
    assert max(before.values()) == 1
    assert "Nothing to be done" in copied.snakemake()
    assert copied.processed() == before


def status(run: Run) -> dict[str, Any]:
    """What `flairflow status --json` says of a run, with its stages by name."""
    document: dict[str, Any] = json.loads(run.ended("flairflow", "status", "--json").stdout)
    return document | {"stages": {stage.pop("stage"): stage for stage in document["stages"]}}


def test_the_status_of_a_finished_run_is_that_of_its_ledgers(chain: Run) -> None:
    found = status(chain)
    assert found["finished"] and not found["workflow_runs"] and not found["stopped"]
    assert sum(stage["to_go"] + stage["running"] for stage in found["stages"].values()) == 0
    ledgers = chain.results.root / "ledgers"
    by_stage: dict[str, Counter[str]] = {}
    for path in ledgers.rglob("*.tsv"):
        counts = by_stage.setdefault(path.parent.relative_to(ledgers).as_posix(), Counter())
        counts.update(row.status for row in read_ledger(path).values())
    scans = {name: stage for name, stage in found["stages"].items() if stage["unit"] == "scans"}
    assert set(scans) == set(by_stage)
    for name, counts in by_stage.items():
        assert (scans[name]["done"], scans[name]["failed"]) == (counts["ok"], counts["failed"]), name
        assert counts["ok"] < 2 or scans[name]["scans_per_hour"] > 0, name
    assert [group["scans"] for group in found["excluded"]] == [["archive_sub-002_ses-1"]]
    assert "truncated" in found["excluded"][0]["reason"]
    assert found["stages"]["train"]["done"] == 3 and not found["trainings"]


def test_an_index_that_finds_nothing_new_redoes_no_scan(copied: Run) -> None:
    before = copied.processed()
    output = copied.snakemake("-R", "index")
    assert not re.search("rule (register|train_model|segment)", output)
    assert copied.processed() == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"report": {"mosaics": 2}}, {"report", "tidy"}),
        ({"training": CONFIG["training"] | {"updates": 9}}, {"train_model", "pseudolabel", *AFTER_TRAINING}),
        ({"segmentation": {"probabilities": False}}, AFTER_TRAINING),
        ({"evaluation": {"grid": "preprocessed"}}, AFTER_TRAINING - {"segment_archive"}),
        (
            {"segmentation": {"probabilities": True, "model": "multiclass"}},
            # The gallery is of what delivers the masks.
            {"segment", "segment_archive", "volumes", "comparison", "report", "tidy"},
        ),
        ({"labels": ["WMH", "ISL"], "seeds": [0]}, set()),
    ],
)
def test_a_changed_setting_redoes_its_stage_and_what_follows(copied: Run, changes: Any, expected: set[str]) -> None:
    copied.configure(**changes)
    try:
        assert set(copied.planned()) == expected
    finally:
        copied.configure()


def test_another_grid_of_the_evaluation_segments_test_scans_alone_again(copied: Run) -> None:
    copied.configure(evaluation={"grid": "preprocessed"})
    try:
        planned = copied.snakemake("-n")
        shards = set(re.findall(r"^rule segment:.*?shard=(\S+)", planned, re.MULTILINE | re.DOTALL))
        assert {shard.rsplit("-", 1)[0] for shard in shards} == {"both-test", "islonly-test"}
    finally:
        copied.configure()


def test_one_pass_gives_what_three_steps_do_and_leaves_no_intermediates(chain: Run, tmp_path: Path) -> None:
    shard = "archive-archive-0001"
    results = segmented_in_three_steps(chain, shard, "pseudolabels", tmp_path)
    assert same_segmentations(*results, shard, "pseudolabels") >= 6 * 2
    assert list((results[1].prepared / "archive").rglob("*_desc-prepared_FLAIR.nii"))
    assert not (chain.results.prepared / "archive").exists()
    assert not chain.results.ledger("register", shard).exists()


def test_jobs_on_a_scratch_disk_give_the_same_and_leave_nothing_there(chain: Run, tmp_path: Path) -> None:
    """One shard segmented, one network trained, in results of their own."""
    other = Results(tmp_path / "results")
    shutil.copytree(chain.results.root, other.root, symlinks=True)
    shard, stage = "archive-archive-0001", "segment/pseudolabels"
    for path in (other.state(stage, shard), other.ledger(stage, shard)):
        path.unlink()
    shutil.rmtree(other.masks("pseudolabels") / "archive")
    trained = ("marginal", "all", 0)
    shutil.rmtree(other.model(*trained))
    shutil.rmtree(other.training_work(*trained))
    config = json.loads(chain.results.config.read_text()) | {"results": str(other.root)}
    (tmp_path / "scratch.json").write_text(json.dumps(config))
    options = ["--config", str(tmp_path / "scratch.json"), "--threads", "2", "--scratch", str(tmp_path / "fast")]
    chain.command("segment-archive", "--shard", shard, "--ensemble", "pseudolabels", *options)
    log = chain.command("train", "--strategy", "marginal", "--part", "all", "--seed", "0", *options)
    assert "copied to scratch" in log
    assert same_segmentations(chain.results, other, shard, "pseudolabels") >= 6 * 2
    weights = [load_model(results.model(*trained)).weights for results in (chain.results, other)]
    assert all(torch.equal(values, weights[1][name]) for name, values in weights[0].items())
    assert not list((tmp_path / "fast").iterdir())


def test_new_participants_of_an_archive_are_all_that_is_processed(copied: Run) -> None:
    before = copied.processed()
    models = {path: path.stat().st_mtime_ns for path in (copied.results.root / "models").rglob("*.safetensors")}
    simulation = json.loads(json.dumps(CONFIG["simulation"]))
    simulation["datasets"]["archive"]["participants"] = 4
    copied.configure(simulation=simulation)
    copied.snakemake()
    new = copied.processed() - before
    assert {name.split("_")[1] for name in new} == {"sub-003", "sub-004"}
    assert {name.split()[1].split("_")[0] for name in new} == {"archive"}
    assert {path: path.stat().st_mtime_ns for path in models} == models
    assert "Nothing to be done" in copied.snakemake()


def test_a_killed_shard_goes_on_after_its_last_finished_scan(copied: Run) -> None:
    shard, stage = "archive-archive-0001", "segment/pseudolabels"
    state, ledger = copied.results.state(stage, shard), copied.results.ledger(stage, shard)
    expected = sorted(read_ledger(ledger))
    state.unlink()
    ledger.unlink()
    command = [sys.executable, "-m", "flairflow.cli", "segment-archive", "--config", "results/config.json"]
    command += ["--shard", shard, "--ensemble", "pseudolabels"]
    # A group of its own: the work is done in a child.
    process = subprocess.Popen(command, cwd=copied.folder, stderr=subprocess.DEVNULL, start_new_session=True)
    while not (state.exists() and state.read_bytes().endswith(b"\n")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGSTOP)
    finished = [json.loads(line)["scan"] for line in state.read_text().splitlines()]
    assert 1 <= len(finished) < len(expected)
    running = status(copied)["stages"][stage]
    assert (running["running"], running["to_go"]) == (1, len(expected) - len(finished))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # The child ends a moment after.
    end = time.monotonic() + 60
    while (killed := status(copied))["stages"][stage]["running"] and time.monotonic() < end:
        time.sleep(0.05)
    assert killed["stages"][stage]["running"] == killed["stages"]["volumes"]["done"] == 0 and not killed["finished"]
    subprocess.run(command, cwd=copied.folder, check=True, capture_output=True)
    scans = [json.loads(line)["scan"] for line in state.read_text().splitlines()]
    assert sorted(scans) == sorted(read_ledger(ledger)) == expected
    assert not list(copied.results.root.rglob(".*.nii*"))


def test_given_models_segment_an_archive_without_training_data(chain: Run, tmp_path: Path, repository: Path) -> None:
    other = Run(tmp_path, repository)
    config = {
        "labels": ["WMH", "ISL"],
        "datasets": {"archive": {"root": str(chain.folder / "demo" / "archive")}},
        "models": {"given": [str(chain.results.model("pseudolabels", "all", 0))]},
        "registration": CONFIG["registration"],
        "preprocessing": CONFIG["preprocessing"],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert "train_model" not in other.snakemake()
    ours, theirs = (
        read_table(results.table("volumes")).set_index(["scan", "label"]) for results in (other.results, chain.results)
    )
    both = pd.concat([ours["volume_ml"], theirs["volume_ml"]], axis=1, join="inner")
    assert len(both) == len(ours) > 0
    # Excluded scans have rows without a volume.
    assert np.allclose(both.iloc[:, 0], both.iloc[:, 1], equal_nan=True)


def test_the_command_line_gives_the_masks_of_the_workflow(chain: Run, tmp_path: Path) -> None:
    flair = chain.folder / "demo/archive/sub-001/ses-1/anat/sub-001_ses-1_FLAIR.nii.gz"
    broken = tmp_path / "broken_FLAIR.nii.gz"
    broken.write_bytes(flair.read_bytes()[:3000])
    model = str(chain.results.model("pseudolabels", "all", 0))
    done = chain.ended("flairflow", "segment", str(broken), str(flair), "--out", str(tmp_path), "--model", model)
    assert done.returncode == 1
    assert "broken_FLAIR.nii.gz: cannot be read, damaged or truncated" in done.stderr
    mask: Any = nib.load(tmp_path / "sub-001_ses-1_dseg.nii.gz")
    assert mask.shape == nib.load(flair).shape  # type: ignore[attr-defined]
