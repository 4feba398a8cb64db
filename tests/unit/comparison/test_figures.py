"""Figures of a comparison: they say what the tables say, stand degenerate tables, and are files that never differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.text import Text

from flairflow.comparison.figures.agreement import agreement, spans_decades
from flairflow.comparison.figures.cohorts import cohorts
from flairflow.comparison.figures.differences import differences
from flairflow.comparison.figures.distributions import distributions
from flairflow.comparison.figures.false_volume import false_volume
from flairflow.comparison.figures.gallery import Picture, best_median_worst, gallery
from flairflow.comparison.figures.rank_stability import rank_stability
from flairflow.comparison.figures.ranking import ranking
from flairflow.comparison.figures.size_recall import size_recall
from flairflow.comparison.figures.style import Drawing, apart, save
from flairflow.comparison.figures.write import draw_tables, read_tables, write_figures
from flairflow.comparison.published.published_means import read_numbers
from flairflow.comparison.tables.ranks import rank_ensembles
from flairflow.comparison.tables.summary import summarise
from flairflow.comparison.tables.write import write_comparison_tables
from flairflow.images.grid import Image
from flairflow.images.overlays import axial
from flairflow.metrics.registry import COLUMNS, METRICS
from flairflow.paths import FIGURES, GALLERY, Results
from flairflow.tables import write_table
from metric_tables import metric_table, random_table

Tables = Mapping[str, pd.DataFrame]
DICE, WHOLE, FALSE = METRICS["dice"], METRICS["dice_or_empty"], METRICS["false_ml"]


def tables_of(metrics: pd.DataFrame, folder: Path) -> dict[str, pd.DataFrame]:
    """The tables that a comparison makes of scores, through files as the workflow does."""
    results = Results(folder)
    write_table(results.table("metrics"), metrics, COLUMNS)
    write_comparison_tables(results, read_numbers(None))
    return read_tables(results)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return tables_of(random_table(seed=1, scans=40, ensembles=3, people=25, missing=0.05), tmp_path_factory.mktemp("t"))


def own(table: pd.DataFrame, **where: str) -> pd.DataFrame:
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def dots(axis: Axes, marker: str) -> list[tuple[float, float]]:
    """The points drawn with a marker."""
    lines = [line for line in axis.get_lines() if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)]  # type: ignore[arg-type]


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]


def panels(drawing: Drawing) -> list[Axes]:
    return [axis for axis in drawing.figure.axes if axis.axison]


def test_distributions_show_each_dataset_and_the_means(tables: Tables) -> None:
    names = ["e2", "e0", "e1"]
    shown = panels(distributions(tables["metrics"], "A", DICE, names))
    rows = own(tables["metrics"], label="A").dropna(subset=["dice"])
    parts = [rows, *(rows[rows["dataset"] == name] for name in dict.fromkeys(rows["dataset"]))]
    assert len(shown) == len(parts) == 4
    for axis, part in zip(shown, parts, strict=True):
        means = part.groupby("ensemble")["dice"].mean()
        assert np.allclose(dots(axis, "D"), [(means[name], place) for place, name in enumerate(names)])
        counts = part.groupby("ensemble").size()
        assert f"n = {counts.min()}" in axis.get_title("left")
    assert [text.get_text() for text in shown[0].get_yticklabels()] == names


def test_a_single_dataset_is_drawn_once_and_few_scans_as_dots() -> None:
    metrics = metric_table({"one": {"dice": [0.2, 0.4, 0.9]}, "other": {"dice": [0.1, np.nan, 0.3]}})
    (axis,) = panels(distributions(metrics, "A", DICE, ["one", "other"]))
    (drawn,) = (found for found in axis.collections if isinstance(found, PathCollection))
    points = [tuple(point) for point in np.asarray(drawn.get_offsets())]
    assert points == [(0.2, 0), (0.4, 0), (0.9, 0), (0.1, 1), (0.3, 1)]
    assert axis.get_title("left") == "ds, n = 2 to 3"


def test_differences_are_from_the_baseline_whichever_way_round_the_table_has_them(tables: Tables) -> None:
    pairs = own(tables["pairs"], view="pooled")
    drawing = differences(tables["pairs"], "A", [DICE, FALSE], "e1", ["e0", "e1", "e2"])
    for axis, metric in zip(drawing.figure.axes, ("dice", "false_ml"), strict=True):
        rows = own(pairs, label="A", metric=metric)
        (first,) = own(rows, ensemble="e0", other="e1").to_dict("records")
        (last,) = own(rows, ensemble="e1", other="e2").to_dict("records")
        found = sorted([*dots(axis, "o"), *dots(axis, "D")], key=lambda point: point[1])
        assert np.allclose(found, [(first["mean_difference"], 0), (-last["mean_difference"], 1)])
        bars = [np.asarray(line.get_xdata()) for line in axis.get_lines() if line.get_marker() == "None"][:2]
        assert np.allclose(bars, [[first["low"], first["high"]], [-last["high"], -last["low"]]])
    assert "left is better" in drawing.figure.axes[1].get_xlabel()
    assert "right is better" in drawing.figure.axes[0].get_xlabel()


def test_a_filled_point_is_a_significant_one() -> None:
    row: dict[str, object] = {"label": "A", "metric": "dice", "view": "pooled", "other": "base", "scans": 9}
    row |= {"mean_difference": 0.1, "low": 0.0, "high": 0.2}
    row |= {"opposite": False}
    pairs = pd.DataFrame(
        [row | {"ensemble": "sure", "p_mean_holm": 0.01}, row | {"ensemble": "unsure", "p_mean_holm": 0.2}]
    )
    drawing = differences(pairs, "A", [DICE], "base", ["base", "sure", "unsure"])
    points = [line for line in drawing.figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert [point.get_markerfacecolor() == "white" for point in points] == [False, True]
    assert "The adjustment is within one metric" in drawing.caption
    marked = differences(pairs.assign(opposite=True), "A", [DICE], "base", ["base", "sure", "unsure"])
    assert len(dots(marked.figure.axes[0], "D")) == 2 and "Diamonds" in marked.caption


def test_shades_are_the_shares_of_the_ranks(tables: Tables) -> None:
    drawing = rank_stability(tables["rank_stability"], tables["ranks"], "B", [DICE, WHOLE], ["e0", "e1", "e2"])
    for axis, metric in zip(drawing.figure.axes, ("dice", "dice_or_empty"), strict=True):
        ranks = own(tables["ranks"], label="B", metric=metric, view="pooled").sort_values("mean_rank")
        stability = own(tables["rank_stability"], label="B", metric=metric, view="pooled")
        shares = stability.set_index(["ensemble", "rank"])["share"]
        expected = [[100 * shares[name, rank] for rank in (1, 2, 3)] for name in ranks["ensemble"]]
        (image,) = axis.get_images()
        assert np.allclose(np.asarray(image.get_array()), expected)
        ticks = [text.get_text() for text in axis.get_yticklabels()]
        assert ticks == [f"{row.ensemble} ({row.mean_rank:.1f})" for row in ranks.itertuples()]


def test_the_ranking_of_lesion_bearing_and_of_all_scans_can_flip() -> None:
    """Who finds more has the higher Dice, who says "none" where there is none the higher mean over all scans."""
    metrics = metric_table(
        {
            "bold": {"dice": [0.8, 0.6, np.nan, np.nan], "dice_or_empty": [0.8, 0.6, 0, 0]},
            "shy": {"dice": [0.6, 0.5, np.nan, np.nan], "dice_or_empty": [0.6, 0.5, 1, 1]},
        }
    )
    drawing = ranking(metrics, "A", DICE, WHOLE, ["bold", "shy"])
    lines = {str(line.get_label()): list(np.asarray(line.get_ydata())) for line in drawing.figure.axes[0].get_lines()}
    assert lines == {"bold": [1, 2], "shy": [2, 1]}
    words = [text.get_text() for text in texts(drawing.figure)]
    assert any(word.startswith("0.700") for word in words) and any(word.startswith("0.775") for word in words)
    assert "scans with a lesion: mean dice\nn = 2" in words and "all scans: mean dice or empty\nn = 4" in words


def test_what_a_single_participant_cannot_tell_is_not_told() -> None:
    metrics = metric_table({name: {"dice": [0.5], "dice_or_empty": [0.5]} for name in ("a", "b")})
    shown = ranking(metrics, "A", DICE, WHOLE, ["a", "b"])
    assert [text.get_text() for text in texts(shown.figure)].count("0.500") == 4
    ranks, shares = rank_ensembles(metrics)
    stability = rank_stability(shares, ranks, "A", [DICE], ["a", "b"])
    assert "one participant: nothing to draw" in [text.get_text() for text in texts(stability.figure)]


def test_results_of_other_scans_are_left_out_of_rankings_by_name(tmp_path: Path) -> None:
    """A mean over easier scans is no better rank, and one foreign table does not empty the rankings of the others."""
    scores = {
        name: {"dice": [*dice, np.nan, np.nan], "dice_or_empty": [*dice, 1, 0]}
        for name, dice in {"good": [0.5, 0.7], "poor": [0.4, 0.6], "fair": [0.45, 0.65]}.items()
    }
    far = metric_table({"far_away": {"dice": [0.9] * 6, "dice_or_empty": [0.9] * 6}})
    far["scan"] = far["participant"] = [f"x{number}" for number in range(6)]
    own_tables = tables_of(metric_table(scores), tmp_path / "own")
    tables = tables_of(pd.concat([metric_table(scores), far]), tmp_path / "all")
    for name in ("crossings", "rank_stability"):
        assert tables[name].equals(own_tables[name]), name
    left = own(tables["ranks"], metric="dice", ensemble="far_away")
    assert len(left) == 1 and left[["scans", "mean_rank"]].isna().all(axis=None)
    drawings = draw_tables(tables, "A")
    for name in ("ranking", "cohorts", "rank_stability"):
        assert "Left out, with fewer than half of the first ensemble's scans: far away." in drawings[name].caption
    lines = drawings["ranking"].figure.axes[0].get_lines()
    assert {str(line.get_label()): np.asarray(line.get_ydata())[0] for line in lines} == {
        "good": 1,
        "poor": 3,
        "fair": 2,
    }
    assert "n = 4" in " ".join(text.get_text() for text in texts(drawings["ranking"].figure))


def test_means_are_ranked_over_the_same_scans() -> None:
    """`lucky` lacks the hardest scan: over all that each has its mean is the highest."""
    scores = {"steady": [0.9, 0.8, 0.1], "lucky": [0.8, 0.7, np.nan]}
    metrics = metric_table({name: {"dice": dice, "dice_or_empty": dice} for name, dice in scores.items()})
    (axis,) = ranking(metrics, "A", DICE, WHOLE, ["steady", "lucky"]).figure.axes
    assert {str(line.get_label()): np.asarray(line.get_ydata())[0] for line in axis.get_lines()} == {
        "steady": 1,
        "lucky": 2,
    }


def test_ensembles_without_a_common_scan_are_said_to_have_none(tmp_path: Path) -> None:
    halves: dict[str, list[float]] = {"a": [1, 1, 1, 1], "b": [1, 1, np.nan, np.nan], "c": [np.nan, np.nan, 1, 1]}
    metrics = metric_table({name: {"dice": dice, "dice_or_empty": dice} for name, dice in halves.items()})
    drawings = draw_tables(tables_of(metrics, tmp_path), "A")
    for name in ("ranking", "cohorts", "rank_stability"):
        said = [text.get_text() for text in texts(drawings[name].figure)]
        assert "no scan that all ensembles have" in said, name


def test_cohorts_show_the_lines_and_where_the_best_one_changes(tables: Tables) -> None:
    shares, crossings = tables["lesion_free_share"], tables["crossings"]
    names = ["e0", "e1", "e2"]
    for label in ("A", "B"):
        drawing = cohorts(shares, crossings, label, names)
        (axis,) = drawing.figure.axes
        best = own(crossings, label=label, view="pooled")
        lines = {str(line.get_label()): line for line in axis.get_lines()}
        for name in names:
            wanted = own(shares, label=label, view="pooled", ensemble=name)
            (label_of,) = [words for words in lines if words.startswith((f"{name}:", f"_{name}"))]
            assert np.allclose(lines[label_of].get_xydata(), np.c_[100 * wanted["share"], wanted["dice"]])
            assert label_of.startswith("_") == (name not in set(best["best"]))
        vertical = [line for line in axis.get_lines() if len(set(np.asarray(line.get_xdata()))) == 1]
        assert sorted(float(np.asarray(line.get_xdata())[0]) for line in vertical) == pytest.approx(
            sorted(100 * best["from_share"][best["from_share"] > 0])
        )
        assert f"{own(shares, label=label)['lesion_free_scans'].iloc[0]} without" in drawing.caption


def test_recall_is_shown_by_size_with_an_open_last_class(tables: Tables) -> None:
    drawing = size_recall(tables["size_recall"], "A", ["e1", "e0"])
    titles = [axis.get_title("left").split("\n")[0] for axis in drawing.figure.axes]
    assert titles == ["under 0.1 ml", "0.1 to 1 ml", "1 to 10 ml", "over 10 ml"]
    rows = own(tables["size_recall"], label="A", view="pooled")
    small = dict(zip(*rows.loc[rows["from_ml"] == 0, ["ensemble", "recall"]].to_numpy().T, strict=True))
    assert np.allclose(dots(drawing.figure.axes[0], "o"), [(small["e1"], 0), (small["e0"], 1)])
    assert "no such lesion" in [text.get_text() for text in drawing.figure.axes[3].texts]


def test_false_volume_counts_scans_and_shows_each_that_has_some() -> None:
    some: dict[str, list[float]] = {"false_ml": [0, 0, 0.5, 2.0], "scan_specificity": [1, 1, 0, 0]}
    metrics = metric_table({"one": some, "clean": {"false_ml": [0, 0, 0, 0], "scan_specificity": [1, 1, 1, 1]}})
    summary = summarise(metrics)
    drawing = false_volume(metrics, summary, "A", FALSE, ["one", "clean"])
    left, right = drawing.figure.axes
    assert [bar.get_width() for bar in left.patches] == [50, 0]  # type: ignore[attr-defined]
    bounds = own(summary, metric="scan_specificity", ensemble="one", view="pooled")
    interval = next(line for line in left.get_lines())
    assert list(np.asarray(interval.get_xdata())) == pytest.approx(
        [100 - 100 * bounds["high"].iloc[0], 100 - 100 * bounds["low"].iloc[0]]
    )
    assert sorted(point[0] for dots in right.collections for point in np.asarray(dots.get_offsets())) == [0.5, 2.0]
    assert dots(right, "D") == [(0.625, 0)]
    assert right.get_xscale() == "log"


@pytest.mark.parametrize("factor", [1.5, 30.0])
def test_agreement_is_a_ratio_where_volumes_span_decades(tmp_path: Path, factor: float) -> None:
    reference = np.geomspace(2, 2 * factor, 12)
    predicted = np.append(1.25 * reference[:-1], 0.0)
    metrics = metric_table({"one": {"reference_ml": list(reference), "predicted_ml": list(predicted)}})
    found = tables_of(metrics, tmp_path)
    (axis,) = panels(agreement(found["metrics"], found["agreement"], "A", ["one"]))
    (points,) = [shown for dots in axis.collections if len(shown := np.asarray(dots.get_offsets())) > 1]
    row = own(found["agreement"], scale="log" if factor > 10 else "ml").iloc[0]
    levels = [np.asarray(line.get_ydata())[0] for line in axis.get_lines()]
    if factor > 10:
        assert axis.get_yscale() == "log" and len(points) == 11
        assert np.allclose(points[:, 1], 1.25)
        assert levels == pytest.approx([1, np.exp(row["limit_low"]), np.exp(row["limit_high"])], rel=1e-4)
    else:
        assert axis.get_yscale() == "linear" and len(points) == 12
        assert np.allclose(points[:, 1], predicted - reference, atol=1e-4)
        assert levels == pytest.approx([0, row["limit_low"], row["limit_high"]], rel=1e-4)


def test_volumes_span_decades_by_the_bulk_of_those_above_zero() -> None:
    assert not spans_decades(np.array([]))
    assert not spans_decades(np.zeros(5))
    assert not spans_decades(np.array([0.0, 5, 6, 7]))
    assert spans_decades(np.geomspace(0.1, 50, 30))


def test_the_gallery_takes_the_best_the_middle_and_the_worst() -> None:
    metrics = metric_table(
        {"m": {"dice": [0.5, 0.0, 0.9, 0.0, np.nan, 0.7], "reference_ml": [1, 2, 3, 9, 0, 5], "predicted_ml": [1] * 6}}
    )
    chosen = best_median_worst(metrics, "A", "m")
    assert [(place, row["scan"]) for place, row in chosen] == [("best", "s02"), ("median", "s00"), ("worst", "s03")]
    assert [place for place, _ in best_median_worst(metrics[:2], "A", "m")] == ["best", "worst"]
    assert [place for place, _ in best_median_worst(metrics[:1], "A", "m")] == ["best"]
    assert best_median_worst(metrics, "A", "other") == []


def test_the_gallery_shows_the_slice_with_most_lesion_and_says_what_it_cannot_show(tmp_path: Path) -> None:
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (30, 36, 20)], indexing="ij"), -1)
    brain = np.linalg.norm(points, axis=-1) < 0.9
    lesion = np.linalg.norm(points - [0.2, 0.1, 0.3], axis=-1) < 0.3
    flair = Image(np.where(brain, 100 + 80 * lesion, 5).astype(np.float32), np.diag([4.0, 4.0, 5.0, 1.0]))
    look = axial(flair, brain, {"predicted": lesion, "known": lesion})
    pictures = [Picture("best", "d_sub-1", 1.0, 3.0, 3.0, look), Picture("worst", "d_sub-2", 0.1, 3, 3, "no file")]
    drawing = gallery(pictures, "A", "some_model")
    assert "best: d_sub-1, Dice 1.00" in drawing.caption and "worst: d_sub-2" in drawing.caption
    elsewhere = gallery(pictures, "A", "some_model", native=False).caption
    assert "on the grid of the network" in elsewhere and "on the grid" not in drawing.caption
    first, second = drawing.figure.axes[:2]
    most = look.image[..., int(np.argmax(look.masks["known"].sum(axis=(0, 1))))]
    for axis in (first, second):
        assert np.array_equal(np.asarray(axis.get_images()[0].get_array()), most)
    assert not first.collections and len(second.collections) == 2
    assert "no file" in [text.get_text() for text in texts(drawing.figure)]
    save(drawing, tmp_path / "gallery.png")
    assert np.abs(imread(tmp_path / "gallery.png")[..., :3] - [0.902, 0.624, 0.0]).max(axis=-1).min() < 0.1


LONG = [f"{'a_very_long_name_of_a_strategy_with_options_' * 2}{number}" for number in range(15)]


def degenerate() -> dict[str, pd.DataFrame]:
    many = random_table(seed=2, scans=14, ensembles=15, people=14)
    numbers = many["ensemble"].str[1:].astype(int)
    nothing = metric_table({"one": {"dice": [np.nan], "dice_or_empty": [np.nan]}})
    free = metric_table({"one": {"dice_or_empty": [1.0, 0.0], "false_ml": [0.0, 0.3], "scan_specificity": [1, 0]}})
    return {
        "none": nothing[:0],
        "nothing is known": nothing,
        "one scan": metric_table({"one": {"dice": [0.4], "dice_or_empty": [0.4], "reference_ml": [1.0]}}),
        "lesion-free scans alone": free,
        "of equal scores": metric_table({name: {"dice": [0.5] * 3, "dice_or_empty": [0.5] * 3} for name in ("a", "b")}),
        "another label alone": metric_table({"one": {"dice": [0.4, 0.6]}}, label="B"),
        "fifteen with long names": many.assign(ensemble=[LONG[number] for number in numbers]),
    }


@pytest.mark.parametrize("case", degenerate())
def test_degenerate_tables_are_drawn_readably(case: str, tmp_path: Path) -> None:
    """Nothing fails, all text is at least 7 pt high and lies within the figure, which fits a page."""
    drawings = draw_tables(tables_of(degenerate()[case], tmp_path), "A")
    assert {*drawings, GALLERY} == set(FIGURES)
    for name, drawing in {**drawings, GALLERY: gallery([], "A", "some_model")}.items():
        figure = drawing.figure
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        width, height = figure.get_size_inches()
        assert width <= 180 / 25.4 + 0.01 and height <= 297 / 25.4, name
        drawn = figure.get_tightbbox(canvas.get_renderer())  # type: ignore[no-untyped-call]
        outside = min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1)
        assert outside >= -0.02, (name, drawn)
        assert min(float(text.get_fontsize()) for text in texts(figure)) >= 7, name
        assert drawing.caption.startswith("A") and drawing.title.startswith("A"), name
        if case in ("none", "nothing is known", "another label alone"):
            said = " ".join(text.get_text() for text in texts(figure))
            assert any(
                words in said for words in ("no such scan", "no such lesion", "nothing to compare", "nothing to rank")
            ), name


def test_one_ensemble_alone_is_not_ranked_and_what_shows_nothing_is_not_written(tmp_path: Path) -> None:
    scores = {"dice": [0.4, 0.6, np.nan], "dice_or_empty": [0.4, 0.6, 1.0], "false_ml": [np.nan, np.nan, 0.0]}
    tables = tables_of(metric_table({"alone": scores}), tmp_path)
    drawings = draw_tables(tables, "A")
    nothing = {"ranking", "differences", "rank_stability", "size_recall", "agreement", "lesion_distributions"}
    assert {name for name, drawing in drawings.items() if drawing.empty} == nothing
    assert not any("best at" in text.get_text() for text in texts(drawings["cohorts"].figure))
    results = Results(tmp_path)
    write_figures(results, ["A"])
    assert json.loads(results.figure("ranking", "A", "json").read_text())["empty"]
    assert not json.loads(results.figure("cohorts", "A", "json").read_text())["empty"]
    write_figures(results, ["A"], empty=False)
    left = {path.name.removesuffix("_A.png") for path in (tmp_path / "figures").glob("*.png")}
    assert left == set(drawings) - nothing


def test_lines_differ_in_more_than_colour(tables: Tables) -> None:
    """A line that is best somewhere has a style and a marker that no other has."""
    shares = pd.concat([own(tables["lesion_free_share"], label="A", ensemble="e0").assign(ensemble=n) for n in "abcd"])
    stretches = pd.DataFrame(
        [("A", "pooled", i / 4, (i + 1) / 4, n, i / 5, i / 3, 0.6) for i, n in enumerate("abcd")],
        columns=["label", "view", "from_share", "to_share", "best", "from_low", "from_high", "draws_best"],
    )
    drawing = cohorts(shares, stretches, "A", list("abcd"))
    assert "c 50 to 75 % (from 40 to 66.7 %, 60 % of draws)" in drawing.caption
    (axis,) = drawing.figure.axes
    lines = [line for line in axis.get_lines() if isinstance(line, Line2D) and ": best at" in str(line.get_label())]
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == len(lines) == 4


def test_texts_are_moved_apart_and_no_further() -> None:
    assert apart([0.0, 10.0, 20.0], 5) == [0, 10, 20]
    assert apart([10.0, 10.0], 4) == [8, 12]
    assert apart([1.0, 0.0, 0.5], 1) == pytest.approx([1.5, -0.5, 0.5])
    assert apart([1.0, 1.0], 2, low=1) == [1, 3]
    assert apart([1.0, 1.0], 2, high=1) == [-1, 1]
    assert apart([], 1) == []


def test_a_rerun_writes_the_same_files_and_they_carry_their_captions(tables: Tables, tmp_path: Path) -> None:
    results = Results(tmp_path)
    for name, table in tables.items():
        write_table(results.table(name), table, {column: {} for column in table.columns})
    write_figures(results, ["A"])
    written = sorted(path.name for path in (results.root / "figures").iterdir())
    names = [name for name in FIGURES if name != GALLERY]
    assert written == sorted(f"{name}_A.{kind}" for name in names for kind in ("json", "png", "svg"))
    for name in names:
        about = json.loads(results.figure(name, "A", "json").read_text())
        assert set(about["tables"]) <= set(tables)
        svg = results.figure(name, "A", "svg").read_text()
        assert f"<dc:title>{about['title']}</dc:title>" in svg and "<dc:description>" in svg and "dc:date" not in svg
        assert imread(results.figure(name, "A", "png")).shape[1] > 1500
    again = draw_tables(read_tables(results), "A")
    for name in ("cohorts", "false_volume", "rank_stability"):
        for kind in ("svg", "png"):
            save(again[name], tmp_path / f"again.{kind}")
            assert (tmp_path / f"again.{kind}").read_bytes() == results.figure(name, "A", kind).read_bytes(), name


def test_a_figure_that_cannot_be_written_leaves_nothing(tables: Tables, tmp_path: Path) -> None:
    drawing = distributions(tables["metrics"], "A", DICE, ["e0"])
    (tmp_path / "good.png").write_bytes(b"before")
    with pytest.raises(ValueError, match="not supported"):
        save(drawing, tmp_path / "figure.unknown")
    assert [path.name for path in tmp_path.iterdir()] == ["good.png"]
