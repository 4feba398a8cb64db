"""Volume agreement against published worked examples and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flairflow.comparison.tables.agreement import (
    COLUMNS,
    correlation_bounds,
    intraclass_correlation,
    limits_of_agreement,
    volume_agreement,
)
from metric_tables import metric_table

# Shrout & Fleiss 1979, table 2: six targets, four judges.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


def test_the_example_of_shrout_and_fleiss() -> None:
    icc, low, high = intraclass_correlation(JUDGES)
    assert icc == pytest.approx(0.29, abs=0.005)  # their ICC(2,1)
    # The interval that the R packages psych and irr give for it.
    assert (low, high) == pytest.approx((0.019, 0.761), abs=0.001)


def test_two_raters_by_plain_sums() -> None:
    rng = np.random.default_rng(1)
    truth = rng.lognormal(1, 1, 25)
    ratings = np.stack([truth, 0.8 * truth + rng.normal(0, 0.5, 25)], axis=1)
    mean, n = ratings.mean(), 25
    between = sum(2 * (row.mean() - mean) ** 2 for row in ratings)
    raters = sum(n * (column.mean() - mean) ** 2 for column in ratings.T)
    rest = sum((value - mean) ** 2 for value in ratings.ravel()) - between - raters
    msr, msc, mse = between / (n - 1), raters, rest / (n - 1)
    icc, low, high = intraclass_correlation(ratings)
    assert icc == pytest.approx((msr - mse) / (msr + mse + 2 / n * (msc - mse)))
    assert low < icc < high < 1


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(400):
        # Two raters whose own levels differ at random: variances of targets 4, raters 0.02, rest 1.
        ratings = rng.normal(0, 2, (20, 1)) + rng.normal(0, 0.02**0.5, 2) + rng.normal(0, 1, (20, 2))
        _, low, high = intraclass_correlation(ratings)
        covered.append(low <= 4 / 5.02 <= high)
    assert 0.91 <= np.mean(covered) <= 0.985


def test_the_bootstrap_interval_is_that_of_weighted_sums_of_squares() -> None:
    rng = np.random.default_rng(3)
    truth = rng.lognormal(1, 1, 30)
    ratings = np.stack([truth, truth * rng.lognormal(0, 0.3, 30)], axis=1)
    people = np.repeat(np.arange(15), 2)
    drawn = []
    for _ in range(3000):
        weights = rng.multinomial(15, np.full(15, 1 / 15))[people].astype(float)
        weights /= weights.sum()
        rows, columns, mean = ratings.mean(axis=1), weights @ ratings, (weights @ ratings).mean()
        msr = 2 * (weights * (rows - mean) ** 2).sum() * 30 / 29
        mse = (weights[:, None] * (ratings - rows[:, None] - columns + mean) ** 2).sum() * 30 / 29
        msc = 30 * ((columns - mean) ** 2).sum()
        drawn.append((msr - mse) / (msr + mse + 2 / 30 * (msc - mse)))
    assert correlation_bounds(ratings, people) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    assert np.isnan(correlation_bounds(ratings[:4], np.zeros(4))).all()


def test_the_bootstrap_interval_covers_skewed_volumes_better() -> None:
    """Log-normal volumes with multiplicative errors: S3 of what did not hold, where F covers 44 to 77 %."""
    rng = np.random.default_rng(4)

    def volumes(count: int) -> np.ndarray:
        truth = rng.lognormal(1, 1.2, count)
        return np.stack([truth, truth * rng.lognormal(0, 0.4, count)], axis=1)

    true, _, _ = intraclass_correlation(volumes(2_000_000))
    samples = [volumes(80) for _ in range(50)]
    by_f = [intraclass_correlation(sample)[1:] for sample in samples]
    drawn = [correlation_bounds(sample, np.arange(80)) for sample in samples]
    covered = [np.mean([low <= true <= high for low, high in bounds]) for bounds in (by_f, drawn)]
    assert covered[1] > 0.75 and covered[1] > covered[0] + 0.15


def test_what_agrees_and_what_cannot_be_said() -> None:
    volumes = np.array([1.0, 4.0, 2.0, 8.0])
    assert intraclass_correlation(np.stack([volumes, volumes], axis=1)) == (1, 1, 1)
    shifted, _, _ = intraclass_correlation(np.stack([volumes, volumes + 3], axis=1))
    assert shifted < 0.8  # a rater who is always higher does not agree
    assert np.isnan(intraclass_correlation(np.zeros((5, 2)))).all()
    assert np.isnan(intraclass_correlation(np.array([[1.0, 2.0], [2.0, 3.0]]))).all()


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 100)] * 2), min_size=3, max_size=12))
def test_agreement_is_symmetric_and_at_most_one(pairs: list[tuple[float, float]]) -> None:
    ratings = np.array(pairs)
    one, other = intraclass_correlation(ratings), intraclass_correlation(ratings[:, ::-1])
    assert one == pytest.approx(other, abs=1e-6, nan_ok=True)
    assert np.isnan(one[0]) or one[0] <= 1 + 1e-9
    if one[0] > 1e-6:
        assert one[1] <= one[0] <= one[2]


def test_limits_of_agreement_by_hand() -> None:
    differences = np.array([1.0, -1.0, 2.0, 0.0, 3.0])
    sd, t = np.sqrt(2.5), stats.t.ppf(0.975, 4)
    bias, low, high, lower, lower_from, lower_to, upper, upper_from, upper_to = limits_of_agreement(differences)
    assert (bias, low, high) == pytest.approx((1, 1 - t * sd / 5**0.5, 1 + t * sd / 5**0.5))
    assert (lower, upper) == pytest.approx((1 - 1.96 * sd, 1 + 1.96 * sd), abs=1e-3)
    # Bland & Altman 1999: var(limit) = (1 / n + 1.96^2 / (2 (n - 1))) s^2
    half = t * sd * np.sqrt(1 / 5 + 1.96**2 / 8)
    assert (lower_from, lower_to, upper_from, upper_to) == pytest.approx(
        (lower - half, lower + half, upper - half, upper + half), abs=1e-3
    )
    assert limits_of_agreement(np.array([2.0]))[0] == 2 and np.isnan(limits_of_agreement(np.array([2.0]))[1:]).all()


def test_both_scales_stand_in_the_table() -> None:
    volumes = {"reference_ml": [1.0, 2.0, 4.0, 0.0, 3.0], "predicted_ml": [2.0, 4.0, 8.0, 1.0, 0.0]}
    metrics = metric_table({"m": volumes, "published": {"dsc": [0.5]}})
    table = volume_agreement(metrics)
    assert list(table.columns) == list(COLUMNS)
    assert table[["ensemble", "scale", "scans"]].to_numpy().tolist() == [["m", "ml", 5], ["m", "log", 3]]
    assert table[["missed", "false"]].to_numpy().tolist() == [[1, 1]] * 2
    assert table["bias"].tolist() == pytest.approx([1.0, np.log(2)])
    # Twice as much everywhere: the ratio has no spread, the difference has.
    assert table["limit_high"].iloc[1] - table["limit_low"].iloc[1] == pytest.approx(0)
    assert table["limit_high"].iloc[0] > table["bias"].iloc[0]


def test_each_dataset_is_a_view() -> None:
    volumes = {"reference_ml": [1.0, 2.0, 4.0, 3.0], "predicted_ml": [2.0, 3.0, 4.0, 3.0]}
    table = volume_agreement(metric_table({"m": volumes}, datasets=["one", "one", "two", "two"]))
    own = table[table["scale"] == "ml"].fillna({"dataset": "all"}).set_index("dataset")
    assert own["scans"].to_dict() == {"all": 4, "one": 2, "two": 2}
    assert own["bias"].to_dict() == {"all": 0.5, "one": 1.0, "two": 0.0}
    assert own["view"].tolist() == ["pooled", "dataset", "dataset"]


def test_without_volumes_there_is_no_row() -> None:
    assert volume_agreement(metric_table({"m": {"dsc": [0.5]}})).empty
    table = volume_agreement(metric_table({"m": {"reference_ml": [0.0], "predicted_ml": [0.0]}}))
    assert table["scans"].tolist() == [1, 0] and np.isnan(table["icc"]).all() and table["bias"].tolist()[0] == 0
