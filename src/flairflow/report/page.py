"""The report page and the summary that ends a run."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from flairflow import __version__
from flairflow.cleaning.set_aside import read_gone
from flairflow.cohort.index import read_scans
from flairflow.cohort.scan import Scan
from flairflow.cohort.withdrawn import WITHDREW
from flairflow.comparison.tables.ensembles import COLUMNS as COMPARED
from flairflow.comparison.tables.main_table import COLUMNS as MAIN
from flairflow.comparison.tables.main_table import blocks, grid_note
from flairflow.config.models import Config
from flairflow.errors import ScanError
from flairflow.files import atomic, write_text
from flairflow.images.overlays import write_mosaic
from flairflow.inference.segmented_scan import read_segmented
from flairflow.paths import FIGURES, Results
from flairflow.report.counts import cohort_counts, pseudolabel_counts, volume_summary
from flairflow.report.previews import in_its_place
from flairflow.report.summary import scored, write_summary
from flairflow.shards.ledger import Row, stage_rows
from flairflow.tables import read_table, to_tsv


def write_report(config: Config, results: Results) -> None:
    """Write report/index.html with its mosaics and figures beside it, small ones in it, and report/summary.txt."""
    scans = read_scans(results.cohort, config.labels, config.images)
    volumes = read_table(results.table("volumes"))
    # The excluded ones are listed from the cohort.
    volumes = volumes[volumes["scan"].isin([scan.scan for scan in scans if scan.included])]
    comparison, main = (
        read_table(results.table(name)) if config.scores else pd.DataFrame(columns=list(columns))
        for name, columns in (("comparison", COMPARED), ("main", MAIN))
    )
    registered = stage_rows(results, "register", ("train", "validation", "test"))
    figures = _figures([label for label in config.labels if label in set(main["label"])], results)
    mosaics = _mosaics(scans, registered, volumes, config, results)
    _show_alone([*figures, *mosaics], results)
    context = {
        "title": config.report.title,
        "version": __version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "labels": config.labels,
        "segmenter": config.segmenter,
        "grid": config.evaluation.grid,
        "counts": cohort_counts(scans, registered, config.labels),
        "excluded": _excluded(scans),
        "left": sorted(read_gone(results).items()),
        "failed": _pairs(volumes[volumes["reason"].notna()], "reason"),
        "flagged": _pairs(volumes[volumes["flag"].notna()], "flag"),
        "comparison": scored(comparison).to_dict("records"),
        "main_table": list(blocks(main)),
        "grid_note": grid_note(main, config.compared, config.evaluation.grid),
        "figures": figures,
        "filled_in": pseudolabel_counts(scans, config, results),
        "volumes": volume_summary(volumes),
        "mosaics": mosaics,
    }
    template = resources.files("flairflow.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "spread": _spread_of}
    write_text(results.report, environment.from_string(template).render(context))
    write_summary(config, results, scans, volumes, comparison)


def _figures(labels: Sequence[str], results: Results) -> list[dict[str, Any]]:
    """The figures of the comparison with their captions, by figure and label; of labels that were scored, and
    without those that show nothing.

    They and the tables they are made from are copied beside the page, so that the report's folder can be passed on;
    those of earlier reports go.
    """
    for folder in ("figures", "tables"):
        shutil.rmtree(results.report.parent / folder, ignore_errors=True)
    shown = []
    for name, label in itertools.product(FIGURES, labels):
        about = json.loads(results.figure(name, label, "json").read_text(encoding="utf-8"))
        if about.pop("empty", False):
            continue
        kinds = {kind: _with_the_page(results.figure(name, label, kind), results) for kind in ("svg", "png")}
        tables = {table: _with_the_page(results.table(table), results) for table in about["tables"]}
        shown.append({**about, **kinds, "tables": tables})
    return shown


def _with_the_page(path: Path, results: Results) -> str:
    """A copy of a file of the results in a folder of the same name beside the page; its path from there. Who was
    scanned, an archive's own pseudonym, is in no table that is passed around."""
    place = f"{path.parent.name}/{path.name}"
    copy = results.report.parent / place
    if copy.exists():
        return place
    if path.suffix == ".tsv":
        table = pd.read_csv(path, sep="\t", dtype=str, na_filter=False)
        write_text(copy, to_tsv(table.drop(columns="participant", errors="ignore")))
    else:
        with atomic(copy) as partial:
            shutil.copyfile(path, partial)
    return place


def _show_alone(shown: Sequence[dict[str, Any]], results: Results) -> None:
    """Give each picture of the page, `png` or `file`, what shows it where the page is alone, as `alone`."""
    pictures = [(one, one.get("png") or one.get("file")) for one in shown]
    there = [(one, place) for one, place in pictures if place]
    for one, place in there:
        one["alone"] = in_its_place(results.report.parent / place, len(there))


def _excluded(scans: Sequence[Scan]) -> list[tuple[str, str]]:
    """Excluded scans with their reasons; a page that is passed around does not name who withdrew."""
    excluded = [(scan.scan, scan.reason) for scan in scans if not scan.included and scan.reason != WITHDREW]
    withdrawn = sum(scan.reason == WITHDREW for scan in scans)
    return [*excluded, *([(f"{withdrawn} scans", WITHDREW)] if withdrawn else [])]


def _mosaics(
    scans: Sequence[Scan], registered: Mapping[str, Row], volumes: pd.DataFrame, config: Config, results: Results
) -> list[dict[str, Any]]:
    """Test scans first, then a spread over the rest, one file each beside the page; those of earlier reports go."""
    folder = results.report.parent / "mosaics"
    shutil.rmtree(folder, ignore_errors=True)
    segmented = stage_rows(results, f"segment/{config.segmenter}")
    ready = [scan for scan in scans if scan.included and segmented[scan.scan].status == "ok"]
    tested = [scan for scan in ready if scan.split == "test"]
    others = [scan for scan in ready if scan.split != "test"]
    wanted = config.report.mosaics
    first = _spread(tested, max(wanted - wanted // 3, wanted - len(others)))
    chosen = [*first, *_spread(others, wanted - len(first))]
    shown: list[dict[str, Any]] = []
    for scan in chosen:
        path = folder / f"{scan.scan}.png"
        try:
            write_mosaic(path, *read_segmented(scan, registered.get(scan.scan), segmented[scan.scan], config, results))
        except ScanError as problem:
            shown.append({"scan": scan.scan, "split": scan.split, "problem": str(problem)})
            continue
        own = volumes[volumes["scan"] == scan.scan]
        ml = dict(zip(own["label"], own["volume_ml"], strict=True))
        about = {"scan": scan.scan, "split": scan.split, "file": f"mosaics/{path.name}", "ml": ml}
        shown.append(about | {"known": scan.annotated, "flag": segmented[scan.scan].values.get("flag")})
    return shown


def _spread(scans: Sequence[Scan], count: int) -> list[Scan]:
    """Up to `count` scans, evenly over the list, so that every dataset is seen."""
    if count <= 0 or not scans:
        return []
    numbers = np.unique(np.linspace(0, len(scans) - 1, min(count, len(scans))).round().astype(int))
    return [scans[number] for number in numbers]


def _pairs(table: pd.DataFrame, about: str) -> list[tuple[str, str]]:
    unique = table.drop_duplicates("scan")
    return list(zip(unique["scan"], unique[about], strict=True))


def _spread_of(mean: Any, deviation: Any, digits: int) -> str:
    """Mean and standard deviation; of a single scan only the former."""
    text = _number(mean, digits)
    return text if pd.isna(deviation) else f"{text} ± {_number(deviation, digits)}"


def _number(value: Any, digits: int = 2) -> str:
    return "n/a" if value is None or pd.isna(value) else f"{float(value):.{digits}f}"
