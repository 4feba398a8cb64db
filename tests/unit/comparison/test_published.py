"""Results, lists and numbers of others: the paper's own, to the digit, and what is refused, in words."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flairflow.cohort.scan import Mask, Scan
from flairflow.cohort.splits import assign_splits
from flairflow.comparison.compare_results import compare_results
from flairflow.comparison.published.check_summary import summarise
from flairflow.comparison.published.implied_scores import DERIVED, with_derived
from flairflow.comparison.published.import_results import import_results, to_table
from flairflow.comparison.published.import_splits import import_splits
from flairflow.comparison.published.imported_scores import read_imported, with_imported
from flairflow.comparison.published.published_means import as_latex, as_markdown, read_numbers, with_published
from flairflow.comparison.published.result_files import read_results
from flairflow.comparison.published.scan_ids import Identity, identify, read_ids, read_list, read_renamed
from flairflow.config import load_config, read_config
from flairflow.dag import load, published
from flairflow.errors import ConfigError
from flairflow.images.grid import Grid
from flairflow.metrics.compute import score_masks
from flairflow.tables import read_table

RENAMED = {"WMH": "WMH2017"}
# The names of the published files by those of configs/paper.yaml.
NAMES = {
    "multiclass": "multiclass",
    "multimodel": "multimodel",
    "multimodel_temperature": "multimodel_temps",
    "phased": "phased",
    "class_conditional": "class_conditional",
    "class_adaptive": "class_adaptive_loss",
    "marginal": "marginal_loss",
    "pseudolabels": "pseudolabels",
}
FILES = (*NAMES.values(), "binary_WMH", "binary_ISL")


# The paper's own results.


@pytest.fixture(scope="module")
def tables(paper_data: Path) -> dict[str, pd.DataFrame]:
    """Every published file as a table, all of its scans."""
    return {name: to_table(read_results(paper_data / "results" / f"{name}.json")) for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_every_published_summary_follows_from_its_scans(paper_data: Path, name: str) -> None:
    """From the file itself, without the check that the import does."""
    content = json.loads((paper_data / "results" / f"{name}.json").read_text())
    said = content.pop("summary")
    table = to_table(read_results(paper_data / "results" / f"{name}.json"))
    compared = 0
    for metric, by_label in said.items():
        for label, numbers in by_label.items():
            found = summarise(table.loc[table["label"] == label, metric])
            assert found["n"] == numbers["n"]
            for key, value in numbers.items():
                if numbers["n"]:
                    assert found[key] == pytest.approx(value, rel=0, abs=1e-6), (metric, label, key)
                    compared += 1
    assert compared == 39 * (1 if name.startswith("binary") else 2)
    # A row for each scan and label with a reference, and for no other.
    referenced = {(scan, label) for scan, by in content.items() for label, n in by["n_gt"].items() if not math.isnan(n)}
    assert set(zip(table["scan"], table["label"], strict=True)) == referenced


def test_the_table_of_the_paper_to_its_digits(
    paper_data: Path, tables: dict[str, pd.DataFrame], repository: Path
) -> None:
    """The numbers that configs/paper_published.tsv brings along, and the table of the paper as it was written down."""
    path = repository / "configs" / "paper_published.tsv"
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    columns = [("WMH", "dsc"), ("WMH", "ldsc"), ("ISL", "dsc"), ("ISL", "ldsc"), ("ISL", "ap"), ("ISL", "lfp_empty")]
    assert len(lines) == len(NAMES) * len(columns)
    means: dict[tuple[str, str, str], str] = {}
    for label, metric, ensemble, text in lines:
        table = tables[NAMES[ensemble]]
        mean = summarise(table.loc[table["label"] == label, metric])["mean"]
        means[label, metric, ensemble] = f"{mean:.{len(text.split('.')[1])}f}"
        assert means[label, metric, ensemble] == text, (label, metric, ensemble)
    rows = re.findall(r"^\| ([a-z+ -]+) \| (0\..*) \|$", (paper_data / "PAPER.md").read_text(), re.MULTILINE)
    assert len(rows) == len(NAMES)
    for ensemble, (_, cells) in zip(NAMES, rows, strict=True):
        assert [means[*column, ensemble] for column in columns] == cells.replace("*", "").split(" | ")


def test_the_stray_scans_are_found_and_named(
    paper_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    splits = paper_data / "splits"
    learnt = [splits / f"{name}.csv" for name in ("train_all", "val_main")]
    path = paper_data / "results" / "class_adaptive_loss.json"
    with caplog.at_level("INFO"):
        import_results([path], tmp_path / "out.tsv", scans=splits / "test_main.csv", learnt=learnt, renamed=RENAMED)
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [message.count("class_adaptive_loss.json: ") for message in messages] == [1, 1]
    stray = messages[0].split("left out: ")[1].split(", ")
    assert "20 scans are not in" in messages[0] and len(stray) == 20
    assert not set(stray) & set(read_list(splits / "test_main.csv"))
    assert messages[1].endswith(
        "4 scans are in "
        f"{splits / 'train_all.csv'}, so networks learnt from them: ISLES_170, ISLES_200, ISLES_220, SOOP_1540"
    )
    table = read_table(tmp_path / "out.tsv")
    own = table[table["label"] == "ISL"]
    assert own["scan"].nunique() == 897 and own["dsc"].count() == 575
    assert round(own["dsc"].mean(), 3) == 0.437
    assert "WMH2017_sub-000" in set(table["scan"]) and "MSS3_sub-MSS3ED002" in set(
        read_table(tmp_path / "out.tsv")["scan"]
    )


def test_other_published_files_hold_the_test_list(
    paper_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [paper_data / "results" / f"{name}.json" for name in NAMES.values() if name != "class_adaptive_loss"]
    import_results(files, tmp_path / "out.tsv", scans=paper_data / "splits" / "test_main.csv", renamed=RENAMED)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_the_ranking_flips_with_the_empty_references(paper_data: Path, tables: dict[str, pd.DataFrame]) -> None:
    listed = set(read_list(paper_data / "splits" / "test_main.csv"))
    bearing, every = {}, {}
    for name in NAMES.values():
        own = tables[name][(tables[name]["label"] == "ISL") & tables[name]["scan"].isin(listed)]
        assert (own["dice_or_empty"].count(), own["dice"].count()) == (897, 575)
        bearing[name], every[name] = own["dice"].mean(), own["dice_or_empty"].mean()
    shown = ("marginal_loss", "multimodel", "class_adaptive_loss", "pseudolabels")
    assert [f"{every[name]:.3f}" for name in shown] == ["0.610", "0.609", "0.605", "0.584"]
    best_first = sorted(every, key=lambda name: -every[name])
    assert max(bearing, key=lambda name: bearing[name]) == "pseudolabels" != best_first[0] == "marginal_loss"
    assert best_first.index("pseudolabels") == 4
    false = {name: 1 - tables[name].loc[tables[name]["label"] == "ISL", "scan_specificity"].mean() for name in shown}
    assert (round(false["pseudolabels"], 2), round(false["marginal_loss"], 2)) == (0.21, 0.07)


def test_the_published_results_are_compared_without_a_cohort(
    paper_data: Path, repository: Path, tmp_path: Path
) -> None:
    files = [paper_data / "results" / f"{name}.json" for name in NAMES.values()]
    lists = {"scans": paper_data / "splits" / "test_main.csv", "renamed": RENAMED}
    import_results(files, tmp_path / "published.tsv", names=list(NAMES), **lists)  # type: ignore[arg-type]
    compare_results([tmp_path / "published.tsv"], tmp_path, repository / "configs" / "paper_published.tsv")
    summary = read_table(tmp_path / "tables" / "summary.tsv")
    beside = summary[summary["published"].notna()]
    assert len(beside) == 48 and set(beside["view"]) == {"pooled"}
    # 0.4382 was of 594 scans; all else is rounding.
    off = beside[beside["difference"].abs() > 0.5e-4 + 1e-6]
    counts = beside["metric"] == "lfp_empty"
    assert (beside.loc[counts, "difference"].abs() < 0.5e-2 + 1e-6).all()
    stray = off[~off["metric"].isin(["lfp_empty"])]
    assert set(zip(stray["label"], stray["ensemble"], strict=True)) == {("ISL", "class_adaptive")}
    markdown = (tmp_path / "tables" / "main.md").read_text()
    line = next(line for line in markdown.splitlines() if "| ISL | pseudolabels | 0.4695 (0.4695; " in line)
    assert line.endswith("| 1.0093 (1.01; -0.0007) |")
    latex = (tmp_path / "tables" / "main.tex").read_text()
    assert r"ISL & class\_adaptive & 0.4372 &" in latex
    assert r" &  & \fontsize{6}{7}\selectfont (0.4382; -0.0010) &" in latex


def test_the_papers_configuration_holds_its_lists_and_strategies(
    paper_data: Path, tmp_path: Path, repository: Path
) -> None:
    config = read_config(repository / "configs" / "paper.yaml")
    lists = {
        split: [paper_data / "splits" / f"{name}.csv"]
        for split, name in (("train", "train_all"), ("validation", "val_main"), ("test", "test_main"))
    }
    import_splits(lists, tmp_path / "splits", RENAMED)
    made = {path.stem: read_table(path, text=True) for path in sorted((tmp_path / "splits").glob("*.tsv"))}
    assert set(made) == set(config.datasets) and sum(map(len, made.values())) == 2055
    assert made["SOOP"]["split"].value_counts().to_dict() == {"test": 192, "train": 172, "validation": 20}
    for name, dataset in config.datasets.items():
        assert dataset.split_list == Path(f"splits/{name}.tsv") and dataset.unlisted == "exclude"
        assert not made[name]["participant"].duplicated().any()
    assert (config.preset, config.seeds, config.training.epochs) == ("paper", (0, 1, 2), 1000)
    assert config.evaluation.grid == "preprocessed"
    assert set(config.strategies) == {*NAMES, "marginal_long"}
    # Ids and participants come back, edited ones too.
    ids = read_ids(sorted((tmp_path / "splits").glob("*.tsv")))
    assert ids["MSS3_MSS3_ED_166"] == Identity("MSS3_sub-MSS3ED166", "MSS3", "MSS3_sub-MSS3ED166")
    assert ids["WMH_000"].scan == "WMH2017_sub-000"


# What follows from published columns.


@given(st.integers(0, 10_000), st.sampled_from(["both", "none", "nothing found", "false"]))
@settings(max_examples=40, deadline=None)
def test_what_is_derived_is_what_the_masks_give(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    reference, prediction = rng.random((2, 9, 10, 8)) < rng.choice([0.03, 0.2])
    reference &= kind in ("both", "nothing found")
    prediction &= kind in ("both", "false")
    grid = Grid((9, 10, 8), np.diag([1.0, 1.0, 1.0, 1.0]))
    scores = {
        name: np.nan if value is None else float(value)
        for name, value in score_masks(prediction, reference, np.ones_like(reference), grid, 0.5).items()
    }
    for name, needed, _ in DERIVED:
        # From these columns alone, then from all that are there.
        for columns in (needed, {column for _, each, _ in DERIVED for column in each} - {name}):
            derived = with_derived(pd.DataFrame([{column: scores[column] for column in columns}])).iloc[0]
            assert derived[name] == pytest.approx(scores[name], nan_ok=True), (name, columns)


def test_nothing_is_derived_where_something_is_missing() -> None:
    table = with_derived(pd.DataFrame({"dsc": [0.5], "n_lfp": [1.0]}))
    assert set(table.columns) == {"dsc", "n_lfp", "dice"}
    table = with_derived(pd.DataFrame({"dsc": [0.5, np.nan, np.nan], "n_gt": [1, 0, 0], "n_lfp": [1, np.nan, 0]}))
    assert table["dice_or_empty"].fillna(-1).tolist() == [0.5, -1, 1]
    # Of volumes, that of nothing is exactly 0; a reference of unknown volume is not empty.
    table = with_derived(pd.DataFrame({"reference_ml": [0, 0, 2, np.nan], "predicted_ml": [0, 1, 1, 0]}))
    assert table["false_ml"].fillna(-1).tolist() == [0, 1, -1, -1]
    assert table["scan_specificity"].fillna(-1).tolist() == [1, 0, -1, -1]
    # A given value stays.
    assert with_derived(pd.DataFrame({"dsc": [0.5], "dice": [0.4]}))["dice"].tolist() == [0.4]


# What is refused.


def scan_results(**metrics: Any) -> dict[str, Any]:
    return {"n_gt": {"A": 2.0, "B": math.nan}, "dsc": {"A": 0.5, "B": math.nan}} | metrics


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"D_1": scan_results(dcs={"A": 0.5, "B": 0.5})}, "metric 'dcs' is not known (did you mean dsc?)"),
        ({"D_1": scan_results(dsc={"A": 0.5, "C": 0.5})}, "D_1 -> dsc: has the labels A, C, but D_1 -> n_gt has A, B"),
        ({"D_1": scan_results(dsc={"A": 1.5, "B": math.nan})}, "dsc of A in D_1 is 1.5, not from 0 to 1"),
        ({"D_1": scan_results(n_lfp={"A": -1, "B": math.nan})}, "n_lfp of A in D_1 is -1, not from 0 to inf"),
        ({"D_1": scan_results(n_lfp={"A": 1.5, "B": math.nan})}, "n_lfp of A in D_1 is 1.5, not a whole number"),
        ({"D_1": scan_results(asd={"A": -math.inf, "B": math.nan})}, "asd of A in D_1 is -inf"),
        (
            {"D_1": scan_results(n_lfp={"A": math.inf, "B": math.nan})},
            "n_lfp of A in D_1 is inf, as only distances can be",
        ),
        ({"D_1": scan_results(rec={"A": math.inf, "B": math.nan})}, "rec of A in D_1 is inf, not from 0 to 1"),
        ({"D_1": scan_results(n_gt={"A": 0, "B": math.nan})}, "dsc of A in D_1 must have no value: n_gt is 0 there"),
        (
            {"D_1": scan_results(lfp_empty={"A": 3, "B": math.nan})},
            "lfp_empty of A in D_1 must have no value: n_gt is not 0",
        ),
        (
            {"D_1": {"n_gt": {"A": 0}, "dice_or_empty": {"A": 0.5}}},
            "dice_or_empty of A in D_1 must be 0 or 1: n_gt is 0 there",
        ),
        (
            # A volume that was rounded to nothing.
            {"D_1": {"dice": {"A": 0.1}, "reference_ml": {"A": 0.0}, "predicted_ml": {"A": 0.2}}},
            "dice of A in D_1 must have no value: reference_ml is 0 there",
        ),
        (
            {"D_1": scan_results(n_lfn={"A": 3, "B": math.nan})},
            "n_lfn of A in D_1 is 3, but n_gt is 2",
        ),
        ({"D_1": scan_results(dsc={"A": "half", "B": math.nan})}, "D_1 -> dsc: 'half' is no number"),
        ({"D_1": scan_results(dsc={"A": True, "B": math.nan})}, "D_1 -> dsc: True is no number"),
        ({"D_1": scan_results(dsc=0.5)}, "D_1 -> dsc: must be {label: value}, is 0.5"),
        ({"D_1": {"dsc": {"A 1": 0.5}}}, "label 'A 1': only letters and digits"),
        ({"summary": {}}, "holds no scans; its form must be scan -> metric -> {label: value}"),
        ({"nounderscore": scan_results()}, "'nounderscore': an id must be DATASET_SUBJECT"),
        (
            {"D_a_1": scan_results(), "D_a1": scan_results()},
            "D_a_1 and D_a1 both become D_sub-a1; give them ids such as D_sub-a1_ses-1",
        ),
        (
            {"D_1": scan_results(), "summary": {"dsc": {"A": {"mean": 0.6, "std": 0.0, "n": 1}}}},
            "its summary is not what its scans give: dsc of A: mean is 0.6, its scans give 0.5",
        ),
        (
            {"D_1": scan_results(), "summary": {"dsc": {"A": {"mean": 0.5, "std": 0.0, "n": 2}}}},
            "dsc of A: n is 2, its scans give 1",
        ),
        ({"D_1": scan_results(), "summary": None}, "summary: must be metric -> label -> {mean, std, n, frac_present}"),
        ({"D_1": scan_results(), "summary": []}, "frac_present}, is []"),
        ({"D_1": scan_results(), "summary": {"dsc": 0.5}}, "frac_present}; dsc is 0.5"),
        ({"D_1": scan_results(), "summary": {"dsc": {"A": 0.5}}}, "frac_present}; dsc of A is 0.5"),
        (
            {"D_1": scan_results(), "summary": {"dsc": {"A": {"mean": "half"}}}},
            "summary: dsc of A: mean: 'half' is no number",
        ),
        (
            {"D_1": scan_results(), "summary": {"dsc": {"A": {"mean": None}}}},
            "dsc of A: mean is nan, its scans give 0.5",
        ),
        ({"D_1": scan_results(), "D_2": {}}, "D_2: has no results; leave it out, or NaN where there is no reference"),
        ({"D_1": scan_results(), "summary": {"dsc": {"A": {"median": 0.5}}}}, "'median' is none of mean, std, n"),
    ],
)
def test_a_faulty_json_file_is_refused_in_words(tmp_path: Path, content: dict[str, Any], says: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as error:
        import_results([path], tmp_path / "out.tsv")
    assert str(path) in str(error.value) and says in str(error.value)
    assert not (tmp_path / "out.tsv").exists()


def test_a_scan_that_stands_twice_in_a_json_file_is_no_quiet_loss(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"D_1": {"dsc": {"A": 0.5}}, "D_1": {"dsc": {"A": 0.6}}}')
    with pytest.raises(ConfigError, match=r"mine.json: .*stands twice in the same place: D_1; leave one"):
        import_results([path], tmp_path / "out.tsv")


TIDY = """scan\tensemble\tlabel\tmetric\tvalue
D_1\tmine\tA\tdsc\t0.5
D_1\tmine\tA\tn_gt\t3
D_2\tmine\tA\tdsc\tn/a
D_2\tmine\tA\tn_gt\t0
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            TIDY.replace("\tvalue", "\tscore", 1),
            "has no column value; a table of results needs scan, label, metric, value",
        ),
        (TIDY.replace("\tensemble", "\tnetwork", 1), "column network: only scan, label, metric, value, ensemble"),
        (TIDY + "D_1\tmine\tA\tdsc\t0.5\n", "D_1: dsc of A by mine stands 2 times; leave one"),
        (TIDY + "D_3\tmine\tA\tdsc\tx\n", "line 6: 'x' is no number"),
        (TIDY + "D_3\t\tA\tdsc\t0.5\n", "line 6: has no ensemble"),
        (TIDY + "D_3\tmine too\tA\tdsc\t0.5\n", "ensemble 'mine too': only letters, digits and '_'"),
    ],
)
def test_a_faulty_table_is_refused_in_words(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        import_results([path], tmp_path / "out.tsv")
    assert says in str(error.value)


def test_a_tidy_table_becomes_a_table_of_metrics(tmp_path: Path) -> None:
    (tmp_path / "mine.tsv").write_text(TIDY)
    import_results([tmp_path / "mine.tsv"], tmp_path / "out.tsv", prefix="their_")
    table = read_table(tmp_path / "out.tsv")
    assert table.columns.tolist() == ["scan", "dataset", "participant", "ensemble", "label", "dice", "dsc", "n_gt"]
    assert table["scan"].tolist() == ["D_sub-1", "D_sub-2"] and set(table["ensemble"]) == {"their_mine"}
    assert table["n_gt"].tolist() == [3, 0] and table["dice"].isna().tolist() == [False, True]
    assert set(json.loads((tmp_path / "out.json").read_text())) == set(table.columns)
    assert read_imported([tmp_path / "out.tsv"], ["A"], ["mine"]).equals(table)


WIDE = """scan\tdataset\tparticipant\tensemble\tlabel\tdice\tn_gt\thd95_mm
ds_sub-1_ses-1\tds\tds_sub-1\tmarginal\tA\t0.5\t2\tn/a
ds_sub-2\tds\tP77\tmarginal\tA\tn/a\t0\tn/a
ds_sub-1_ses-1\tds\tds_sub-1\tone_threshold\tA\t0.25\t2\tn/a
"""


def test_the_table_of_metrics_of_another_run_is_imported(tmp_path: Path) -> None:
    (tmp_path / "metrics.tsv").write_text(WIDE)
    import_results([tmp_path / "metrics.tsv"], tmp_path / "out.tsv", prefix="far_", renamed={"ds": "DS"})
    table = read_table(tmp_path / "out.tsv")
    assert table.columns.tolist() == ["scan", "dataset", "participant", "ensemble", "label", "dice", "n_gt"]
    assert table["scan"].tolist() == ["DS_sub-1_ses-1", "DS_sub-2", "DS_sub-1_ses-1"]
    assert set(table["dataset"]) == {"DS"}
    # Persons of a person column stay, as one may have several scans.
    assert table["participant"].tolist() == ["DS_sub-1", "P77", "DS_sub-1"]
    assert table["ensemble"].tolist() == ["far_marginal", "far_marginal", "far_one_threshold"]
    assert table["dice"].fillna(-1).tolist() == [0.5, -1, 0.25] and table["n_gt"].tolist() == [2, 0, 2]
    config = CONFIG | {"compare": {"imported": [str(tmp_path / "out.tsv")]}}
    load(config)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (WIDE.replace("hd95_mm", "hd95"), "column hd95 is no metric"),
        (WIDE.replace("0.25", "x"), "line 4: 'x' is no number"),
        (WIDE.replace("0.25", "1.25"), "dice of A in ds_sub-1_ses-1 is 1.25, not from 0 to 1"),
        (WIDE.replace("\tone_threshold", "\tmarginal"), "ds_sub-1_ses-1: dice of A by marginal stands 2 times"),
        (WIDE.replace("\tone_threshold", "\t"), "line 4: has no ensemble"),
        (WIDE.replace("scan\t", "id\t"), "has no column scan, metric, value"),
        (WIDE.replace("n/a\t0\t", "0.5\t0\t"), "dice of A in ds_sub-2 must have no value: n_gt is 0 there"),
    ],
)
def test_a_faulty_table_of_metrics_is_refused_in_words(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "metrics.tsv").write_text(text)
    with pytest.raises(ConfigError) as error:
        import_results([tmp_path / "metrics.tsv"], tmp_path / "out.tsv", prefix="far_")
    assert says in str(error.value)


def test_given_datasets_and_participants_stand_over_the_ids(tmp_path: Path) -> None:
    lines = ["scan\tdataset\tparticipant\tlabel\tmetric\tvalue"]
    lines += ["7\tDS\tx-1\tA\tdsc\t0.5", "DS_sub-x2_ses-1\tDS\tx2\tA\tdsc\t0.6", "DS_sub-x2_ses-2\tDS\tx2\tA\tdsc\t0.7"]
    (tmp_path / "mine.tsv").write_text("\n".join(lines) + "\n")
    import_results([tmp_path / "mine.tsv"], tmp_path / "out.tsv", names=["new"])
    table = read_table(tmp_path / "out.tsv")
    assert table["scan"].tolist() == ["DS_sub-x1", "DS_sub-x2_ses-1", "DS_sub-x2_ses-2"]
    assert table["participant"].tolist() == ["DS_sub-x1", "DS_sub-x2", "DS_sub-x2"]
    assert set(table["ensemble"]) == {"new"}


def test_files_of_one_ensemble_must_not_say_the_same_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.tsv").write_text(TIDY)
    with pytest.raises(ConfigError, match=r"D_sub-1 has results of A by mine in several files; give .*--name"):
        import_results([tmp_path], tmp_path / "x" / "out.tsv")
    with pytest.raises(ConfigError, match="1 names for 2 files"):
        import_results([tmp_path], tmp_path / "x" / "out.tsv", names=["one"])
    import_results([tmp_path], tmp_path / "x" / "out.tsv", names=["one", "two"])
    # A folder with a table that was made here is read again: its data dictionary is no file of results.
    assert len(read_table(tmp_path / "x" / "out.tsv")) == 4
    with pytest.raises(ConfigError, match="is neither a file nor a folder"):
        import_results([tmp_path / "nowhere"], tmp_path / "out.tsv")


def test_missing_scans_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "mine.tsv").write_text(TIDY)
    (tmp_path / "list.csv").write_text("D_2\nD_3\n")
    import_results([tmp_path / "mine.tsv"], tmp_path / "out.tsv", scans=tmp_path / "list.csv")
    texts = [record.getMessage() for record in caplog.records]
    assert any(text.endswith(f"1 scans are not in {tmp_path / 'list.csv'} and are left out: D_1") for text in texts)
    assert any(text.endswith("have no results: D_3") for text in texts)
    assert read_table(tmp_path / "out.tsv")["scan"].tolist() == ["D_sub-2"]


# Ids and lists.


@pytest.mark.parametrize(
    ("text", "scan", "person"),
    [
        ("D_001", "D_sub-001", "D_sub-001"),
        ("D3_D3_ED_166", "D3_sub-D3ED166", "D3_sub-D3ED166"),
        ("WMH_7", "WMH2017_sub-7", "WMH2017_sub-7"),
        ("D_sub-01_ses-2_run-1", "D_sub-01_ses-2_run-1", "D_sub-01"),
    ],
)
def test_ids_become_scans_and_persons(text: str, scan: str, person: str) -> None:
    found = identify(text, RENAMED)
    assert (found.scan, found.person, found.dataset) == (scan, person, scan.split("_")[0])


def test_lists_of_ids_are_checked(tmp_path: Path) -> None:
    for name, text in {
        "a": "D_1\nD_2\n",
        "b": "D_2\n",
        "c": "D_1\nD_1\n",
        "d": "D-2_1\n",
        "e": "D_x1\nD_x_1\n",
    }.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=r"b: D_2 stands in .*a too; a scan can have only one split"):
        import_splits({"train": [tmp_path / "a"], "test": [tmp_path / "b"]}, tmp_path / "out", {})
    with pytest.raises(ConfigError, match="c: stands twice: D_1"):
        import_splits({"train": [tmp_path / "c"]}, tmp_path / "out", {})
    with pytest.raises(ConfigError, match="d: 'D-2_1': an id must be DATASET_SUBJECT"):
        import_splits({"train": [tmp_path / "d"]}, tmp_path / "out", {})
    with pytest.raises(ConfigError, match="several ids become one participant: D x1"):
        import_splits({"train": [tmp_path / "e"]}, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="--rename: 'A' must be OLD=NEW"):
        read_renamed(["A"])


def test_scans_that_a_list_does_not_name_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "list.tsv").write_text("participant\tsplit\n1\ttest\n")
    for unlisted, splits in (("exclude", ["test", ""]), ("split", ["test", "train"])):
        dataset = {"root": "x", "labels": {"A": {}}, "split_list": str(tmp_path / "list.tsv"), "unlisted": unlisted}
        config = load_config({"labels": ["A"], "datasets": {"ds": dataset}})
        scans = [
            Scan(f"ds_sub-{n}", "ds", n, "", f"ds_sub-{n}", {"FLAIR": "f"}, {"A": Mask("mask", "m")}) for n in "12"
        ]
        found = assign_splits(scans, config.datasets, config.index.splits, 0, {})
        assert [scan.split for scan in found] == splits
        assert found[1].included == (unlisted == "split")
    assert "the split list of ds does not name it" not in found[1].reason
    with pytest.raises(ConfigError, match="unlisted: there is no split_list"):
        load_config({"labels": ["A"], "datasets": {"ds": {"root": "x", "labels": {"A": {}}, "unlisted": "exclude"}}})


# Beside one's own.

CONFIG: dict[str, Any] = {
    "labels": ["A"],
    "datasets": {"ds": {"root": "x", "labels": {"A": {}}}},
    "strategies": ["marginal"],
}
IMPORTED = "scan\tdataset\tparticipant\tensemble\tlabel\tdice\nds_sub-1\tds\tds_sub-1\ttheirs\tA\t0.5\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            IMPORTED.replace("theirs", "marginal"),
            "ensemble marginal is the name of one of your own; import it again with --prefix",
        ),
        (IMPORTED.replace("theirs", "one_threshold"), "ensemble one_threshold is the name of one of your own"),
        (IMPORTED.replace("\tA\t", "\tB\t"), "label B is none of A; rename it"),
        (IMPORTED.replace("dice", "dicee"), "column dicee is no metric"),
        (
            IMPORTED.replace("\tparticipant", "\tperson"),
            "has no column participant; `flairflow import-results` makes such",
        ),
        (IMPORTED + IMPORTED.splitlines()[1] + "\n", "A of ds_sub-1 by theirs stands there twice"),
        (None, "cannot be read as a table"),
    ],
)
def test_an_imported_table_that_cannot_be_compared_ends_before_anything_runs(
    tmp_path: Path, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / "theirs.tsv").write_text(text)
    with pytest.raises(Exception, match=re.escape(says)) as error:
        load(CONFIG | {"compare": {"imported": [str(tmp_path / "theirs.tsv")]}})
    assert type(error.value).__name__ == "WorkflowError" and "config: compare.imported: " in str(error.value)


def test_a_comparison_writes_over_no_run_and_no_table_of_its_own(tmp_path: Path) -> None:
    run = tmp_path / "results"
    (run / "tables").mkdir(parents=True)
    for path in (tmp_path / "theirs.tsv", run / "tables" / "metrics.tsv"):
        path.write_text(IMPORTED)
    with pytest.raises(ConfigError, match=r"--out: .*metrics.tsv stands where the tables of .*results go"):
        compare_results([tmp_path / "theirs.tsv", run / "tables" / "metrics.tsv"], run, None)
    (run / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"--out: .*results holds the results of a run; name another folder"):
        compare_results([tmp_path / "theirs.tsv"], run, None)
    assert (run / "tables" / "metrics.tsv").read_text() == IMPORTED


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("\tA\t", "\tleft/A\t", "label 'left/A': only letters and digits"),
        ("theirs", "a|b", "ensemble 'a|b': only letters, digits and '_'"),
        ("theirs", "", "ensemble '': only letters"),
        ("theirs", "n/a", "ensemble 'n/a': only letters"),
        ("0.5", "1.5", "dice of A in ds_sub-1 is 1.5, not from 0 to 1"),
        ("ds_sub-1\tds", "\tds", "line 2: has no scan"),
    ],
)
def test_a_table_that_is_given_straight_is_checked_as_imported_ones_are(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = tmp_path / "theirs.tsv"
    path.write_text(IMPORTED.replace(old, new, 1))
    with pytest.raises(ConfigError, match=re.escape(f"{path}: ") + ".*" + re.escape(says)):
        compare_results([path], tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_imported_scans_stand_below_ones_own(tmp_path: Path) -> None:
    (tmp_path / "theirs.tsv").write_text(IMPORTED + IMPORTED.splitlines()[1].replace("sub-1", "sub-2") + "\n")
    config = load_config(CONFIG | {"compare": {"imported": [str(tmp_path / "theirs.tsv")]}})
    own = pd.DataFrame(
        {"scan": ["ds_sub-1_ses-1", "ds_sub-2_ses-1", "ds_sub-2_ses-2"], "dataset": "ds", "ensemble": "marginal"}
        | {"participant": ["ds_sub-1", "ds_sub-2", "ds_sub-2"], "label": "A", "dice": 0.4, "hd95_mm": 3.0}
    )
    table = with_imported(own, config)
    # One scan of a participant on both sides is the same scan; of several nobody can say which.
    assert table["scan"].tolist() == [*own["scan"], "ds_sub-1_ses-1", "ds_sub-2"]
    assert table["hd95_mm"].isna().tolist() == [False] * 3 + [True] * 2
    assert with_imported(own, load_config(CONFIG)).equals(own)


@pytest.mark.parametrize(
    ("own", "person", "tables", "scans"),
    [
        # An id with a session is of no other session.
        (["ds_sub-1_ses-2"], "ds_sub-1", [["ds_sub-1_ses-1"]], ["ds_sub-1_ses-1"]),
        (["ds_sub-1_ses-1"], "ds_sub-1", [["ds_sub-1"]], ["ds_sub-1_ses-1"]),
        # What another table holds changes nothing.
        (["ds_sub-1_ses-1"], "ds_sub-1", [["ds_sub-1"], ["ds_sub-1_ses-1"]], ["ds_sub-1_ses-1", "ds_sub-1_ses-1"]),
        (["ds_sub-1_ses-1"], "ds_sub-1", [["ds_sub-1", "ds_sub-1_ses-2"]], ["ds_sub-1", "ds_sub-1_ses-2"]),
        # A person of the cohort's person column is found by the scan's id.
        (["ds_sub-1_ses-1"], "P77", [["ds_sub-1"]], ["ds_sub-1_ses-1"]),
        (["ds_sub-1_ses-1", "ds_sub-1_ses-2"], "P77", [["ds_sub-1", "ds_sub-1_ses-2"]], ["ds_sub-1", "ds_sub-1_ses-2"]),
        (["ds_sub-1_run-1"], "P77", [["ds_sub-11", "other"]], ["ds_sub-11", "other"]),
    ],
)
def test_imported_scans_are_paired_by_their_ids_alone(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    own: list[str],
    person: str,
    tables: list[list[str]],
    scans: list[str],
) -> None:
    paths = [tmp_path / f"{number}.tsv" for number in range(len(tables))]
    for path, ids in zip(paths, tables, strict=True):
        lines = [f"{scan}\tds\tds_sub-1\t{'theirs' + path.stem}\tA\t0.5" for scan in ids]
        path.write_text("\n".join([IMPORTED.splitlines()[0], *lines]) + "\n")
    config = load_config(CONFIG | {"compare": {"imported": list(map(str, paths))}})
    mine = pd.DataFrame(
        {"scan": own, "dataset": "ds", "participant": person, "ensemble": "marginal", "label": "A", "dice": 0.4}
    )
    with caplog.at_level("INFO"):
        found = with_imported(mine, config)[len(own) :]
    assert found["scan"].tolist() == scans
    given = [scan for ids in tables for scan in ids]
    assert ("1 scans without session are the only ones" in caplog.text) == (scans != given)
    theirs = {True: person, False: "ds_sub-1"}
    assert found["participant"].tolist() == [theirs[f"{scan}_".startswith("ds_sub-1_")] for scan in given]


def test_a_scan_that_stands_twice_once_it_is_paired_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(IMPORTED)
    (tmp_path / "b.tsv").write_text(IMPORTED.replace("ds_sub-1\tds", "ds_sub-1_ses-1\tds"))
    config = load_config(CONFIG | {"compare": {"imported": [str(tmp_path / f"{name}.tsv") for name in "ab"]}})
    own = {"scan": ["ds_sub-1_ses-1"], "dataset": "ds", "participant": "ds_sub-1", "ensemble": "marginal", "label": "A"}
    with pytest.raises(ConfigError, match="A of ds_sub-1_ses-1 by theirs stands there twice"):
        with_imported(pd.DataFrame(own), config)


@pytest.mark.parametrize(
    ("columns", "values", "refused"),
    [
        # Own scans 1 and 2 have a lesion (n_gt 2 and 1), scan 3 has none (not counted).
        (["dice"], [[0.5], [0.4], [1.0]], True),
        (["lfp_empty"], [[np.nan], [3], [0]], True),
        (["reference_ml"], [[0.2], [0.0], [0.0]], True),
        (["dice", "dice_or_empty"], [[0.5, 0.5], [0.4, 0.4], [np.nan, 1.0]], False),
        (["n_gt"], [[2], [4], [0]], False),
    ],
)
def test_ensembles_are_compared_where_they_saw_the_same_masks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, columns: list[str], values: list[list[float]], refused: bool
) -> None:
    about = pd.DataFrame({"scan": [f"ds_sub-{n}" for n in (1, 2, 3)], "dataset": "ds"})
    about = about.assign(participant=about["scan"], label="A")
    theirs = pd.concat([about.assign(ensemble="theirs"), pd.DataFrame(values, columns=columns)], axis=1)
    own = about.assign(
        ensemble="marginal",
        n_gt=pd.Series([2, 1, None], dtype=object),
        dice=[0.5, 0.0, np.nan],
        lfp_empty=[np.nan, np.nan, 0],
    )
    own = own.assign(dice_or_empty=[0.5, 0.0, 1], reference_ml=[0.2, 0.1, 0])
    for name, table in (("theirs", theirs), ("own", own)):
        table.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False, na_rep="n/a")
    config = load_config(CONFIG | {"compare": {"imported": [str(tmp_path / "theirs.tsv")]}})
    if refused:
        scan = "ds_sub-3" if columns == ["dice"] else "ds_sub-2"
        with pytest.raises(ConfigError, match=rf"different masks: {scan} has a lesion \(A\) by .*; leave these"):
            with_imported(own, config)
        with pytest.raises(ConfigError, match=rf"different masks: {scan} has a lesion"):
            compare_results([tmp_path / "own.tsv", tmp_path / "theirs.tsv"], tmp_path / "out", None)
    else:
        assert len(with_imported(own, config)) == 6
        assert ("ensembles differ in n_gt of 1 scans" in caplog.text) == (columns == ["n_gt"])


def test_imported_rows_of_participants_who_withdrew_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = IMPORTED.splitlines()[1]
    others = [row.replace("sub-1", name) for name in ("sub-9", "sub-9_ses-2", "sub-91")]
    others += [row.replace("ds_sub-1\tds\tds_sub-1", ids) for ids in ("x\tds\tds_sub-9", "ds_sub-9_ses-1\tds\tP77")]
    (tmp_path / "theirs.tsv").write_text(IMPORTED + "\n".join(others) + "\n")
    (tmp_path / "withdrawn.txt").write_text("sub-9\n")
    dataset = CONFIG["datasets"]["ds"] | {"withdrawn": str(tmp_path / "withdrawn.txt")}
    config = load_config(
        CONFIG | {"datasets": {"ds": dataset}, "compare": {"imported": [str(tmp_path / "theirs.tsv")]}}
    )
    own = pd.DataFrame(columns=["scan", "dataset", "participant", "ensemble", "label", "dice"])
    with caplog.at_level("INFO"):
        assert with_imported(own, config)["scan"].tolist() == ["ds_sub-1", "ds_sub-91"]
    assert "4 rows of participants who withdrew are left out" in caplog.text and "sub-9" not in caplog.text


NUMBERS = "label\tmetric\tensemble\tvalue\nA\tdice\tmarginal\t0.45\nA\tdice\tother\t0.5\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (NUMBERS.replace("value", "mean"), "needs the columns label, metric, ensemble and value"),
        (NUMBERS.replace("dice", "dicee"), "metric dicee is not known"),
        (NUMBERS.replace("0.45", "?"), "line 2: '?' is no number"),
        (NUMBERS.replace("other", "marginal"), "stands twice: A dice marginal"),
        (NUMBERS.replace("A\tdice\tother", "B\tdice\tother"), "label B is none of A"),
    ],
)
def test_published_numbers_that_cannot_stand_anywhere_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "numbers.tsv").write_text(text)
    with pytest.raises(Exception, match=re.escape(says)) as error:
        load(CONFIG | {"compare": {"published": str(tmp_path / "numbers.tsv")}})
    assert "config: compare.published: " in str(error.value)


def test_published_numbers_stand_beside_the_pooled_means(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    more = "B\tdice\tmarginal\t0.4\nA\tdsc\tmarginal\t0.5\nA\trec\tmarginal\t0.5\n"
    (tmp_path / "numbers.tsv").write_text(NUMBERS + more)
    summary = pd.DataFrame(
        {"label": "A", "metric": ["dice", "dice", "rec"], "ensemble": "marginal", "view": ["pooled", "macro", "macro"]}
        | {"scans": 3, "mean": [0.5, 0.6, 0.7]},
        index=[4, 7, 9],
    )
    found = with_published(summary, read_numbers(tmp_path / "numbers.tsv"))
    assert found["published"].fillna(-1).tolist() == [0.45, -1, -1]
    assert found["difference"].fillna(-1).tolist() == pytest.approx([0.05, -1, -1])
    assert [record.getMessage().split("beside nothing")[1] for record in caplog.records] == [
        ": no ensemble has that name",
        ", as there is no mean of these here: B dice marginal, A dsc marginal, A rec marginal",
    ]
    assert "| A | marginal | 0.5000 (0.45; +0.0500) |" in as_markdown(found)
    latex = as_latex(found)
    assert r"A & marginal & 0.5000 \\" in latex and r"(0.45; +0.0500) \\" in latex
    nothing = with_published(summary, read_numbers(None))
    assert nothing["published"].isna().all() and as_markdown(nothing) == as_latex(nothing) == ""


def test_the_papers_configuration_is_valid(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    config = load(yaml.safe_load((repository / "configs" / "paper.yaml").read_text()))
    numbers = read_numbers(published(config))
    assert numbers is not None and set(numbers["ensemble"]) == set(config.strategies) - {"marginal_long"}


def test_the_target_paper_asks_for_what_was_published() -> None:
    with pytest.raises(Exception, match=re.escape("paper: say what was published (compare.published)")):
        published(load_config(CONFIG))
