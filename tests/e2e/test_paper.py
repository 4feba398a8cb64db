"""The target `paper` with the paper's own configuration, made small: lists, a teacher and its student, published scores
and means. All strategies are planned in tests/workflow and trained in test_other_labels.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from chain import CONFIG, Run
from flairflow.tables import read_table

PARTICIPANTS = 6
UNLISTED = 5  # of each dataset; the test scans (participant 6) have lesions of all labels drawn in their dataset
KEPT = ("marginal", "pseudolabels")
SMALL = {
    "preprocessing": {"spacing": 4.0, "brain_mask": "template"},
    "registration": {"template_resolution": 4.0},
    "seeds": [0],
    "report": {"mosaics": 0},
}


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Run:
    run = Run(tmp_path_factory.mktemp("paper"), repository)
    values = yaml.safe_load((repository / "configs" / "paper.yaml").read_text()) | SMALL
    training = CONFIG["training"] | {"accumulate": 1, "epochs": 1, "learning_rate": 0.05, "precision": "auto"}
    both = CONFIG["datasets"]["both"] | {"split_list": "splits/both.tsv", "unlisted": "exclude"}
    only = CONFIG["datasets"]["islonly"] | {"split_list": "splits/islonly.tsv", "unlisted": "exclude"}
    datasets = CONFIG["simulation"]["datasets"]
    simulated = {name: datasets[name] | {"participants": PARTICIPANTS} for name in ("both", "islonly")}
    values |= {"training": training, "datasets": {"both": both, "islonly": only}, "results": "results"}
    values |= {"simulation": CONFIG["simulation"] | {"datasets": simulated}}
    values["strategies"] = {name: values["strategies"][name] for name in KEPT}
    values["compare"] = {"imported": ["theirs.tsv"], "published": "numbers.tsv"}
    (run.folder / "config.yaml").write_text(yaml.safe_dump(values))
    for split, numbers in {"train": (1, 2, 3), "validation": (4,), "test": (6,)}.items():
        ids = [f"{name}_{number:03d}" for name in ("B", "islonly") for number in numbers]
        (run.folder / f"{split}.csv").write_text("\n".join(ids) + "\n")
    lists = [f"--{split}={split}.csv" for split in ("train", "validation", "test")]
    run.command("import-splits", *lists, "--out", "splits", "--rename", "B=both")
    write_scores(run, 0.6)
    (run.folder / "numbers.tsv").write_text("label\tmetric\tensemble\tvalue\nISL\tdsc\tmarginal\t0.4309\n")
    run.snakemake("paper")
    return run


def write_scores(run: Run, dice: float) -> None:
    """Scores of others for the two test scans, imported."""
    scan = {"n_gt": {"WMH": 3.0, "ISL": 1.0}, "n_lfp": {"WMH": 1.0, "ISL": 0.0}, "dsc": {"WMH": dice, "ISL": dice}}
    (run.folder / "theirs.json").write_text(json.dumps({"B_006": scan, "islonly_006": scan}))
    run.command("import-results", "theirs.json", "--out", "theirs.tsv", "--scans", "test.csv", "--rename", "B=both")


def test_the_lists_are_kept(paper: Run) -> None:
    cohort = read_table(paper.results.cohort, text=True)
    assert len(cohort) == 2 * PARTICIPANTS
    assert cohort["split"].value_counts().to_dict() == {"train": 6, "validation": 2, "test": 2, "": 2}
    left_out = cohort[cohort["status"] == "excluded"]
    assert set(left_out["participant"]) == {f"{UNLISTED:03d}"}
    assert left_out["reason"].str.contains("the split list of .* does not name it").all()


def test_own_and_imported_scores_stand_in_one_table(paper: Run) -> None:
    metrics = read_table(paper.results.table("metrics"))
    theirs = metrics[metrics["ensemble"] == "theirs"]
    assert len(theirs) == 4 and (theirs["dice"] == 0.6).all() and theirs["hd95_mm"].isna().all()
    # They are the same scans: everybody's ids agree.
    assert set(theirs["scan"]) == set(metrics["scan"])
    summary = read_table(paper.results.table("summary"))
    assert {*KEPT, "theirs"} <= set(summary["ensemble"])
    pairs = read_table(paper.results.table("pairs"))
    assert "theirs" in {*pairs["ensemble"], *pairs["other"]}


def test_published_means_stand_beside_ones_own(paper: Run) -> None:
    summary = read_table(paper.results.table("summary"))
    row = summary[summary["published"].notna()]
    assert len(row) == 1 and row["ensemble"].item() == "marginal"
    assert row["difference"].item() == pytest.approx(row["mean"].item() - 0.4309, abs=1e-5)
    assert " (0.4309; " in paper.results.main_table("md").read_text()


def test_only_what_reads_a_changed_table_is_made_again(paper: Run) -> None:
    assert sum(paper.planned("paper").values()) == 0
    numbers = paper.folder / "numbers.tsv"
    numbers.write_text(numbers.read_text().replace("0.4309", "0.4"))
    assert set(paper.planned("paper")) == {"comparison", "paper"}
    write_scores(paper, 0.7)
    assert set(paper.planned("paper")) == {"metrics", "comparison", "paper"}
    paper.snakemake("paper")
    metrics = read_table(paper.results.table("metrics"))
    assert (metrics.loc[metrics["ensemble"] == "theirs", "dice"] == 0.7).all()
    assert sum(paper.planned("paper").values()) == 0
