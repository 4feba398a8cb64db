"""Which ensemble for which cohort: straight lines, their crossings, and the published numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flairflow.comparison.tables.lesion_free_share import (
    CROSSING_COLUMNS,
    SHARE_COLUMNS,
    SHARES,
    best_by_share,
    expected_dice,
)
from metric_tables import metric_table

NOTHING = np.nan


def cohort(**given: tuple[list[float], list[float]]) -> pd.DataFrame:
    """By ensemble the Dice of scans with a lesion, and 0 or 1 of scans without."""
    return metric_table(
        {
            name: {"dice": [*lesion, *[NOTHING] * len(free)], "dice_or_empty": [*lesion, *free]}
            for name, (lesion, free) in given.items()
        }
    )


def test_expected_dice_by_hand() -> None:
    table = expected_dice(cohort(bold=([0.5, 0.7], [0, 0, 1]), shy=([0.3, 0.5], [1, 1, 1])))
    assert list(table.columns) == list(SHARE_COLUMNS) and len(table) == 2 * 21
    assert table["share"].tolist()[:21] == pytest.approx(np.linspace(0, 1, 21))
    rows: Any = table.set_index(["ensemble", "share"])
    assert rows.loc[("bold", 0.0), "dice"] == pytest.approx(0.6)
    assert rows.loc[("bold", 0.25), "dice"] == pytest.approx(0.75 * 0.6 + 0.25 / 3)
    assert rows.loc[("bold", 1.0), "dice"] == pytest.approx(1 / 3)
    assert rows.loc[("shy", 1.0), ["dice", "high"]].tolist() == pytest.approx([1, 1])
    # 3 of 3 is not 1 for sure: Clopper and Pearson's lower end.
    assert rows.loc[("shy", 1.0), "low"] == pytest.approx(0.025 ** (1 / 3), abs=0.02)
    assert (table["lesion_scans"] == 2).all() and (table["lesion_free_scans"] == 3).all()
    low, high = rows.loc[("bold", 0.0), ["low", "high"]].astype(float)
    assert 0 < low < 0.5 and 0.7 < high < 1
    assert table["view"].unique().tolist() == ["pooled"] and (table["free_of_one_dataset"] == 1).all()


def test_within_datasets_the_mix_of_datasets_does_not_change() -> None:
    """Two datasets have both kinds, a third lesion-free scans alone; easy lesions lie in one of them."""
    lesion = {"one": [0.2, 0.4], "two": [0.8]}
    free = {"one": [1, 1, 0], "two": [1], "three": [0, 0, 0, 0, 0, 0]}
    dice = [*lesion["one"], *lesion["two"]]
    whole = [*dice, *free["one"], *free["two"], *free["three"]]
    datasets = ["one", "one", "two", "one", "one", "one", "two", *["three"] * 6]
    scores = {"dice": [*dice, *[NOTHING] * 10], "dice_or_empty": whole}
    metrics = metric_table({"m": scores, "n": scores | {"dice_or_empty": [*dice, *[0.0] * 10]}}, datasets=datasets)
    rows: Any = expected_dice(metrics).set_index(["view", "ensemble", "share"])
    assert rows.loc[("pooled", "m", 0.0), "dice"] == pytest.approx(1.4 / 3)
    assert rows.loc[("pooled", "m", 1.0), "dice"] == pytest.approx(3 / 10)
    # Five scans of `one`, two of `two`.
    assert rows.loc[("within", "m", 0.0), "dice"] == pytest.approx((5 * 0.3 + 2 * 0.8) / 7)
    assert rows.loc[("within", "m", 1.0), "dice"] == pytest.approx((5 * 2 / 3 + 2 * 1) / 7)
    own = rows.loc[("within", "m", 0.5)]
    assert (own["lesion_scans"], own["lesion_free_scans"]) == (3, 4)
    assert own["low"] < own["dice"] < own["high"]
    assert rows.loc[("pooled", "m", 0.5), "free_of_one_dataset"] == pytest.approx(0.6)
    table = best_by_share(metrics)
    assert set(table["view"]) == {"pooled", "within"}


def test_one_alone_is_best_nowhere() -> None:
    assert best_by_share(cohort(alone=([0.5, 0.7], [0, 0, 1]))).empty


def test_the_crossing_is_exact() -> None:
    table = best_by_share(cohort(bold=([0.5, 0.7], [0, 0, 1]), shy=([0.3, 0.5], [1, 1, 1])))
    assert list(table.columns) == list(CROSSING_COLUMNS)
    # 0.6 - 0.2667 s = 0.4 + 0.6 s
    crossing = 0.2 / (0.6 - 1 / 3 + 0.6)
    assert table["best"].tolist() == ["bold", "shy"]
    assert table["from_share"].tolist() == pytest.approx([0, crossing], abs=1e-12)
    assert table["to_share"].tolist() == pytest.approx([crossing, 1], abs=1e-12)
    assert table["dice_to"].iloc[0] == pytest.approx(table["dice_from"].iloc[1])


def test_crossings_say_how_sure_they_are() -> None:
    rng = np.random.default_rng(4)

    def drawn(count: int) -> pd.DataFrame:
        lesion, free = rng.uniform(0.3, 0.7, count), (rng.random(count) < 0.5).astype(float)
        better = np.clip(free + (rng.random(count) < 0.3), 0, 1)
        worse = lesion - 0.1 + rng.normal(0, 0.05, count)
        return cohort(bold=(lesion.tolist(), free.tolist()), shy=(worse.tolist(), better.tolist()))

    few, many = best_by_share(drawn(20)), best_by_share(drawn(400))
    for table, count in ((few, 20), (many, 400)):
        first, second = table.to_dict("records")
        assert (first["best"], second["best"]) == ("bold", "shy")
        assert np.isnan(first["from_low"])
        assert 0 <= second["from_low"] < second["from_share"] < second["from_high"] <= 1
        assert 0.5 < second["draws_best"] <= 1
        assert (second["lesion_scans"], second["lesion_free_scans"]) == (count, count)
    width = few["from_high"] - few["from_low"], many["from_high"] - many["from_low"]
    assert width[1][1] < width[0][1]


def test_the_interval_of_a_crossing_is_that_of_plain_draws() -> None:
    rng = np.random.default_rng(7)
    bold, shy = rng.uniform(0.4, 0.8, 30), rng.uniform(0.2, 0.7, 30)
    wrong, right = (rng.random(25) < 0.3).astype(float), (rng.random(25) < 0.9).astype(float)
    given = cohort(bold=(bold.tolist(), wrong.tolist()), shy=(shy.tolist(), right.tolist()))
    second = best_by_share(given).to_dict("records")[1]
    crossings, best = [], []
    for _ in range(4000):
        drawn = np.bincount(rng.integers(55, size=55), minlength=55)
        at_none = np.average(shy - bold, weights=drawn[:30])
        at_all = np.average(right - wrong, weights=drawn[30:])
        crossings.append(at_none / (at_none - at_all) if at_none < 0 < at_all else float(at_none < 0))
        middle = (second["from_share"] + 1) / 2
        best.append((1 - middle) * at_none + middle * at_all > 0)
    assert (second["from_low"], second["from_high"]) == pytest.approx(np.quantile(crossings, [0.025, 0.975]), abs=0.02)
    assert second["draws_best"] == pytest.approx(np.mean(best), abs=0.02)


def test_one_participant_does_not_tell_how_sure_a_crossing_is() -> None:
    given = cohort(bold=([0.5, 0.7], [0, 0, 1]), shy=([0.3, 0.5], [1, 1, 1])).assign(participant="p")
    table = best_by_share(given)
    assert len(table) == 2 and table[["from_low", "from_high", "draws_best"]].isna().all(axis=None)


def test_the_same_lines_are_best_together() -> None:
    scores = ([0.5, 0.7], [1.0, 0.0])
    table = best_by_share(cohort(one=scores, two=scores, worse=([0.1, 0.1], [0.0, 0.0])))
    assert table[["from_share", "to_share", "best"]].to_numpy().tolist() == [[0, 1, "one"], [0, 1, "two"]]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), min_size=2, max_size=6))
def test_nobody_is_above_the_best(lines: list[tuple[int, int]]) -> None:
    given = {
        f"e{number}": ([at_none / 20] * 2, [1.0] * at_all + [0.0] * (8 - at_all))
        for number, (at_none, at_all) in enumerate(lines)
    }
    table = best_by_share(cohort(**given))
    assert table["from_share"].iloc[0] == 0 and table["to_share"].max() == 1
    assert set(table["from_share"]) - {0} == set(table["to_share"]) - {1}
    for share in (*SHARES, *table["from_share"]):
        heights = {f"e{n}": (1 - share) * first / 20 + share * last / 8 for n, (first, last) in enumerate(lines)}
        for name in table.loc[table["from_share"].le(share) & table["to_share"].ge(share), "best"]:
            assert heights[name] == pytest.approx(max(heights.values()), abs=1e-9)


def test_without_one_kind_of_scan_only_one_end_is_known() -> None:
    rows: Any = expected_dice(cohort(m=([0.5, 0.7], []))).set_index("share")
    assert rows.loc[0.0, "dice"] == pytest.approx(0.6) and rows.loc[0.05:, "dice"].isna().all()
    rows = expected_dice(cohort(m=([], [1.0, 0.0, 1.0]))).set_index("share")
    assert rows.loc[1.0, "dice"] == pytest.approx(2 / 3) and rows.loc[:0.95, "dice"].isna().all()
    assert best_by_share(cohort(m=([0.5], []))).empty


def test_only_scans_that_all_have_count() -> None:
    table = cohort(m=([0.5, 0.7], [0.0]), more=([0.2, 0.4, 0.9], [1.0]))
    # The third scan of `more` has a lesion; to `m` it is lesion-free, but it is one scan.
    rows: Any = expected_dice(table).set_index(["ensemble", "share"])
    assert rows.loc[("more", 0.0), "dice"] == pytest.approx(0.5)
    assert (rows["lesion_scans"] == 3).all() and (rows["lesion_free_scans"] == 0).all()
    # Others' scans alone, and an ensemble without this metric.
    other = metric_table({"dsc_only": {"dsc": [0.1]}})
    assert set(expected_dice(pd.concat([table, other]))["ensemble"]) == {"m", "more"}
    apart = metric_table({"m": {"dice": [0.5], "dice_or_empty": [0.5]}}).assign(scan="elsewhere", ensemble="far")
    rows = expected_dice(pd.concat([table, apart])).set_index("ensemble")
    assert rows.loc["far", ["dice", "lesion_scans"]].isna().all(axis=None)
    assert rows.drop(index="far").reset_index()["dice"].equals(expected_dice(table)["dice"])
    assert best_by_share(pd.concat([table, apart])).equals(best_by_share(table))


def test_of_unknown_populations_nothing_is_said() -> None:
    assert expected_dice(metric_table({"m": {"dice_or_empty": [0.5, 1.0]}})).empty


@pytest.fixture(scope="module")
def published(repository: Path) -> pd.DataFrame:
    """The published scores of ISL: Dice, and 0 or 1 where the reference is annotated and empty."""
    data = Path(os.environ.get("FLAIRFLOW_TEST_DATA", repository.parent / "shared" / "data"))
    folder = data.parent / "paper" / "results"
    if not folder.is_dir():
        pytest.skip(f"no published results at {folder}; set FLAIRFLOW_TEST_DATA to the folder beside paper/")
    label, rows = "ISL", []
    for path in sorted(folder.glob("*.json")):
        scans = json.loads(path.read_text())
        for scan, of in scans.items():
            if scan != "summary" and not np.isnan(of["n_gt"].get(label, NOTHING)):
                empty = of["n_gt"][label] == 0
                score = float(of["n_lfp"][label] == 0) if empty else of["dsc"][label]
                about = {"scan": scan, "dataset": scan.split("_")[0], "participant": scan, "ensemble": path.stem}
                rows.append({**about, "label": label, "dsc": of["dsc"][label], "dice_or_empty": score})
    return pd.DataFrame(rows)


def test_the_published_numbers_choose_by_cohort(published: pd.DataFrame) -> None:
    """PAPER.md: pseudolabels are best where all have a stroke; with empty references as 0 or 1 they are not."""
    joint = published[~published["ensemble"].str.startswith("binary")]
    found = best_by_share(joint)
    crossings = found[found["view"] == "pooled"]
    assert crossings["best"].iloc[0] == "pseudolabels"
    assert crossings["best"].iloc[-1] != "pseudolabels"
    assert 0 < crossings["to_share"].iloc[0] < 0.3
    table = expected_dice(joint)
    # Nine of ten lesion-free scans are of one dataset: compared within datasets it is another cohort.
    assert table.loc[table["view"] == "pooled", "free_of_one_dataset"].unique() == pytest.approx([286 / 322])
    assert set(table.loc[table["view"] == "within", "lesion_scans"]) < set(range(575))
    table = table[table["view"] == "pooled"]
    assert set(table["lesion_scans"]) == {575} and set(table["lesion_free_scans"]) == {322}
    # The share of the test lists: 322 of 897.
    ends: Any = table.pivot(index="share", columns="ensemble", values="dice")
    share = 322 / 897
    for name, expected in {"marginal_loss": 0.610, "multimodel": 0.609, "pseudolabels": 0.584}.items():
        found = (1 - share) * ends.loc[0.0, name] + share * ends.loc[1.0, name]
        assert found == pytest.approx(expected, abs=0.0005)
    assert 1 - ends.loc[1.0, "pseudolabels"] == pytest.approx(0.21, abs=0.005)
    assert 1 - ends.loc[1.0, "marginal_loss"] == pytest.approx(0.07, abs=0.005)
