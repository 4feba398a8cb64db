"""All figures of a comparison, from the tables on disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

import pandas as pd

from flairflow.cohort.index import read_scans
from flairflow.comparison.figures.agreement import agreement
from flairflow.comparison.figures.cohorts import cohorts
from flairflow.comparison.figures.differences import differences
from flairflow.comparison.figures.distributions import distributions
from flairflow.comparison.figures.false_volume import false_volume
from flairflow.comparison.figures.gallery import Picture, best_median_worst, gallery
from flairflow.comparison.figures.rank_stability import rank_stability
from flairflow.comparison.figures.ranking import ranking
from flairflow.comparison.figures.size_recall import size_recall
from flairflow.comparison.figures.style import Drawing, of_label, save
from flairflow.config.models import Config
from flairflow.errors import ScanError
from flairflow.files import write_text
from flairflow.images.overlays import Axial, axial
from flairflow.inference.segmented_scan import read_segmented
from flairflow.metrics.registry import METRICS, Metric
from flairflow.paths import GALLERY, Results
from flairflow.shards.ledger import stage_rows
from flairflow.tables import read_table

log = logging.getLogger(__name__)

TABLES = (
    "metrics",
    "summary",
    "pairs",
    "ranks",
    "rank_stability",
    "agreement",
    "size_recall",
    "lesion_free_share",
    "crossings",
)
DICE, WHOLE = METRICS["dice"], METRICS["dice_or_empty"]
# What figures show of lesions and of false predictions: the first of these that most ensembles have, as imported
# results do not have all.
LESIONS = ("lesion_f1", "lesion_f1_6", "ldsc")
FALSE = ("false_ml", "false_lesions", "lfp_empty")


def write_figures(results: Results, labels: Sequence[str], empty: bool = True) -> None:
    """The figures of FIGURES but the gallery, for every label: each as SVG, PNG and a JSON that says what it shows.
    `empty`: also those that show nothing, which a workflow has announced; else such files are removed."""
    tables = read_tables(results)
    for label in labels:
        log.info("drawing the figures of %s", label)
        for name, drawing in draw_tables(tables, label).items():
            if empty or not drawing.empty:
                _write(drawing, name, label, results)
            else:
                log.info("figure %s of %s: there is nothing to show", name, label)
                for kind in ("svg", "png", "json"):
                    results.figure(name, label, kind).unlink(missing_ok=True)


def write_galleries(config: Config, results: Results) -> None:
    """The same of the gallery, of the ensemble that delivers the masks."""
    metrics = read_tables(results)["metrics"]
    for label in config.labels:
        pictures = _pictures(metrics, label, config, results)
        drawing = gallery(pictures, label, config.segmenter, native=config.evaluation.grid == "native")
        _write(drawing, GALLERY, label, results)


def read_tables(results: Results) -> dict[str, pd.DataFrame]:
    """The tables that figures are made from, by name. Metrics that nobody was scored by are columns without a value."""
    tables = {name: read_table(results.table(name)) for name in TABLES}
    lacking = {name: float("nan") for name in METRICS if name not in tables["metrics"].columns}
    return tables | {"metrics": tables["metrics"].assign(**lacking)}


def draw_tables(tables: Mapping[str, pd.DataFrame], label: str) -> dict[str, Drawing]:
    """Every figure of a label that is made from tables alone, by name. Tables as `read_tables` gives them."""
    metrics = tables["metrics"]
    own = of_label(metrics, label)
    ensembles = list(dict.fromkeys(own["ensemble"])) or list(dict.fromkeys(metrics["ensemble"]))
    lesions, false = _common(own, LESIONS), _common(own, FALSE)
    baseline = ensembles[0] if ensembles else "none"
    return {
        "ranking": ranking(metrics, label, DICE, WHOLE, ensembles),
        "cohorts": cohorts(tables["lesion_free_share"], tables["crossings"], label, ensembles),
        "differences": differences(tables["pairs"], label, (DICE, WHOLE, lesions), baseline, ensembles),
        "rank_stability": rank_stability(tables["rank_stability"], tables["ranks"], label, (DICE, WHOLE), ensembles),
        "distributions": distributions(metrics, label, DICE, ensembles),
        "lesion_distributions": distributions(metrics, label, lesions, ensembles),
        "size_recall": size_recall(tables["size_recall"], label, ensembles),
        "false_volume": false_volume(metrics, tables["summary"], label, false, ensembles),
        "agreement": agreement(metrics, tables["agreement"], label, ensembles),
    }


def _common(rows: pd.DataFrame, names: Sequence[str]) -> Metric:
    """The first of some metrics of which most ensembles have scores."""
    known = {name: rows.loc[rows[name].notna(), "ensemble"].nunique() for name in names}
    return METRICS[max(names, key=lambda name: known[name])]


def _write(drawing: Drawing, name: str, label: str, results: Results) -> None:
    save(drawing, *(results.figure(name, label, kind) for kind in ("svg", "png")))
    about = {"title": drawing.title, "caption": drawing.caption, "tables": drawing.tables, "empty": drawing.empty}
    write_text(results.figure(name, label, "json"), json.dumps(about, indent=2) + "\n")


def _pictures(metrics: pd.DataFrame, label: str, config: Config, results: Results) -> list[Picture]:
    """The gallery of the ensemble that delivers the masks; empty where none of its scans is scored."""
    chosen = best_median_worst(metrics, label, config.segmenter)
    if not chosen:
        return []
    scans = {scan.scan: scan for scan in read_scans(results.cohort, config.labels, config.images)}
    registered, segmented = (
        stage_rows(results, stage, ["test"], having="annotated")
        for stage in ("register", f"segment/{config.segmenter}")
    )

    def look(scan: str) -> Axial | str:
        try:
            image, brain, predicted, known = read_segmented(
                scans[scan], registered[scan], segmented[scan], config, results
            )
        except ScanError as problem:
            return f"cannot be shown: {problem}"
        return axial(image, brain, {"predicted": predicted[label], "known": known[label]})

    return [
        Picture(
            place,
            str(row["scan"]),
            float(row["dice"]),
            float(row["reference_ml"]),
            float(row["predicted_ml"]),
            look(str(row["scan"])),
        )
        for place, row in chosen
    ]
