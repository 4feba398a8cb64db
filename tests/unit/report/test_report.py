"""Counts, scores and overlays of the report."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import jinja2
import nibabel as nib
import numpy as np
import pytest
from matplotlib import image

from flairflow.cohort.scan import Mask, Scan
from flairflow.images.grid import Grid, Image
from flairflow.images.overlays import _radiological, write_mosaic
from flairflow.paths import Results
from flairflow.report.counts import cohort_counts
from flairflow.report.page import _number, _spread_of, _with_the_page
from flairflow.shards.ledger import Row


def test_missing_and_empty_masks_are_counted_apart() -> None:
    def scan(number: int, mask: Mask, split: str = "train", reason: str = "") -> Scan:
        return Scan(f"d_sub-{number}", "d", str(number), "", "p", {}, {"A": mask}, split=split, reason=reason)

    scans = [
        scan(1, Mask("mask", "m")),
        scan(2, Mask("none"), "test"),
        scan(3, Mask("missing"), "archive"),
        scan(4, Mask("mask", "m"), "", "damaged"),
        scan(5, Mask("mask", "m")),
        scan(6, Mask("mask", "m")),
    ]
    rows = [Row("d_sub-1", "ok", "", values={"A_known_ml": 2.5}), Row("d_sub-5", "ok", "", values={"A_known_ml": 0.0})]
    registered = {row.scan: row for row in rows}
    (row,) = cohort_counts(scans, registered, ["A"])
    assert row["annotated"]["A"] == {"lesion": 2, "none": 2, "missing": 1}
    assert (row["found"], row["included"], row["train"], row["test"], row["archive"]) == (6, 5, 3, 1, 1)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "ASR", "SPL"])
def test_slices_are_shown_with_the_patients_right_on_the_left_and_the_front_up(axes: str) -> None:
    ras = np.zeros((6, 8, 5), np.float32)
    ras[-1, -1, -1] = 1  # right, front, top
    turn = nib.orientations.axcodes2ornt(axes)
    there = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), turn)
    data = nib.orientations.apply_orientation(ras, there)
    affine = nib.orientations.inv_ornt_aff(there, ras.shape)
    x, y, z = data.shape
    shown = _radiological(data, Grid((x, y, z), affine))
    assert shown.shape == (8, 6, 5)
    assert shown[0, 0, -1] == 1


def test_a_mosaic_shows_predicted_and_known_lesions(tmp_path: Path) -> None:
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (40, 48, 30)], indexing="ij"), -1)
    brain = np.linalg.norm(points, axis=-1) < 0.9
    lesion = np.linalg.norm(points - [0.3, 0.2, 0.0], axis=-1) < 0.2
    flair = Image(np.where(brain, 100 + 80 * lesion, 5).astype(np.float32), np.diag([4.0, 4.0, 5.0, 1.0]))
    write_mosaic(tmp_path / "with.png", flair, brain, {"A": lesion}, {"A": lesion})
    write_mosaic(tmp_path / "without.png", flair, brain, {"A": np.zeros_like(lesion)})
    shown, plain = (image.imread(tmp_path / f"{name}.png")[..., :3] for name in ("with", "without"))
    orange = (np.abs(shown - np.array([0.902, 0.624, 0.0])).max(axis=-1) < 0.15).sum()
    assert orange > 1.5 * (np.abs(plain - np.array([0.902, 0.624, 0.0])).max(axis=-1) < 0.15).sum()


def test_tables_beside_the_page_say_the_same_but_not_who_was_scanned(tmp_path: Path) -> None:
    results = Results(tmp_path)
    tables = {
        "metrics": ("scan\tparticipant\tdice\nd_sub-1\tP77\t0.5\nd_sub-2\tP78\tn/a\n", "scan\tdice\nd_sub-1\t0.5\n"),
        "pairs": ("label\tp\nNA\t1e-06\n", "label\tp\nNA\t1e-06\n"),
    }
    for name, (text, start) in tables.items():
        results.table(name).parent.mkdir(exist_ok=True)
        results.table(name).write_text(text)
        copy = results.report.parent / _with_the_page(results.table(name), results)
        assert copy == results.report.parent / f"tables/{name}.tsv"
        assert copy.read_text().startswith(start) and "P7" not in copy.read_text()
        assert copy.read_text().count("n/a") == text.count("n/a")


def test_imported_scores_are_shown_without_any_of_ones_own() -> None:
    source = resources.files("flairflow.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters |= {"number": _number, "spread": _spread_of}
    words = ("title", "version", "date", "segmenter", "grid", "grid_note")
    lists = (
        "counts",
        "excluded",
        "left",
        "failed",
        "flagged",
        "comparison",
        "figures",
        "filled_in",
        "volumes",
        "mosaics",
    )
    context = {**dict.fromkeys(words, "-"), **{name: [] for name in lists}, "labels": ["A"]}
    template = environment.from_string(source)
    tables = [("Standard metrics", ["label", "ensemble", "n", "dice"], [["A", "theirs", "2 + 0", "0.5 [0.4, 0.6]"]])]
    page = template.render(context, main_table=tables)
    assert ">theirs</td>" in page and "[0.4, 0.6]</small>" in page
    assert "all scores are imported" in page and "nothing to compare" not in page
    assert "nothing to compare" in template.render(context, main_table=[])
