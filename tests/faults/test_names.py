"""Odd names, tables and choices of an archive: each case says how the input is made, and what is said of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flairflow.cohort.index import index, read_scans
from flairflow.config import load_config
from flairflow.errors import ConfigError
from flairflow.paths import Results
from flairflow.tables import read_table

ONES = np.ones((8, 9, 10), np.uint8)
MASKS = "derivatives/manual"
LABEL_A = {"labels": {"A": {"folder": MASKS, "entities": {"label": "A"}}}}
DRAWN_ON_DWI = {"labels": {"A": {"folder": MASKS, "drawn_on": "dwi"}}}
HEAD, SLAB = {"shape": (40, 48, 40), "spacing": (4, 4, 4)}, {"shape": (64, 64, 8), "spacing": (3, 3, 5)}


@dataclass(frozen=True)
class Case:
    """A dataset `ds` as `make` leaves it, and what the index says of it.

    images   : names of its images below `ds`; with a mapping, arguments of `make_image`. Masks hold ones.
    files    : other files below `ds`.
    dataset  : further keys of the dataset's configuration; `config`: of the whole.
    included : scans that are used; `reasons`: of others, what their reason says; `notes`: what a scan's note says.
    summary  : what a row of cohort_summary.tsv says, with its count; `log`: what the log says.
    """

    name: str
    images: dict[str, dict[str, Any]] | list[str]
    files: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    included: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    summary: dict[str, int] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    more: Callable[[dict[str, Any]], bool] = lambda scans: True


T1W = {"images": ["FLAIR", "T1w"]}
A, B = "sub-1/anat/sub-1", "sub-2/anat/sub-2"

CASES = [
    # A scan is itself.
    Case(
        "twin files are one scan, and the other a row",
        {f"{A}_FLAIR.nii.gz": {}, f"{A}_FLAIR.nii": {"shape": (9, 9, 9)}},
        included=("ds_sub-1",),
        reasons={
            "ds_sub-1_dup-2": "another image of this session was chosen: ds_sub-1 (of files with one name .nii.gz"
        },
        more=lambda scans: scans["ds_sub-1"].images["FLAIR"].endswith(".nii.gz"),
    ),
    Case(
        "a damaged twin does not cost the sound one",
        {f"{A}_FLAIR.nii.gz": {"data": np.zeros((8, 9, 10))}, f"{A}_FLAIR.nii": {}},
        included=("ds_sub-1_dup-2",),
        reasons={"ds_sub-1": "all voxels are zero"},
    ),
    Case(
        "one name in two folders",
        [f"{A}_FLAIR.nii.gz", "sub-1/extra/sub-1_FLAIR.nii.gz"],
        included=("ds_sub-1",),
        reasons={"ds_sub-1_dup-2": "another image of this session"},
    ),
    Case(
        "a session that stands in the folder alone",
        ["sub-1/ses-a/anat/sub-1_FLAIR.nii.gz", "sub-1/ses-b/anat/sub-1_FLAIR.nii.gz"],
        included=("ds_sub-1_ses-a", "ds_sub-1_ses-b"),
        more=lambda scans: (
            scans["ds_sub-1_ses-b"].session == "b" and "ses-b" in scans["ds_sub-1_ses-b"].images["FLAIR"]
        ),
    ),
    Case(
        "and its mask goes with it",
        ["sub-1/ses-a/anat/sub-1_FLAIR.nii.gz", f"{MASKS}/sub-1/ses-a/anat/sub-1_label-A_mask.nii.gz"],
        dataset=LABEL_A,
        included=("ds_sub-1_ses-a",),
        more=lambda scans: scans["ds_sub-1_ses-a"].annotated == ("A",),
    ),
    Case(
        "a name that gives another session than its folder",
        ["sub-1/ses-a/anat/sub-1_ses-b_FLAIR.nii.gz", f"{B}_FLAIR.nii.gz"],
        included=("ds_sub-2",),
        reasons={"ds_sub-1_ses-a": "sub-1_ses-b_FLAIR.nii.gz: its name gives another session than its folder"},
    ),
    Case(
        "a name that gives another participant than its folder",
        ["sub-1/anat/sub-2_FLAIR.nii.gz", f"{B}_FLAIR.nii.gz"],
        included=("ds_sub-2",),
        reasons={"ds_sub-1": "sub-2_FLAIR.nii.gz: its name gives another participant than its folder"},
    ),
    Case(
        "a mask in the folder of another participant is nobody's absence",
        [
            f"{A}_FLAIR.nii.gz",
            f"{B}_FLAIR.nii.gz",
            "sub-3/anat/sub-3_FLAIR.nii.gz",
            f"{MASKS}/sub-1/anat/sub-2_label-A_mask.nii.gz",
        ],
        dataset={"labels": {"A": LABEL_A["labels"]["A"] | {"absent": "none"}}},
        included=("ds_sub-3",),
        reasons=dict.fromkeys(("ds_sub-1", "ds_sub-2"), "gives another participant than its folder"),
    ),
    Case(
        "an entity that stands twice with two values",
        [f"{A}_run-1_run-2_FLAIR.nii.gz", f"{B}_FLAIR.nii.gz"],
        included=("ds_sub-2",),
        reasons={"ds_sub-1_run-1_run-2": "its name says run twice"},
    ),
    Case(
        "one row for a file of two datasets",
        [f"{A}_FLAIR.nii.gz"],
        config={"datasets": {"ds": {}, "again": {}}},
        included=("ds_sub-1",),
        reasons={"again_sub-1": "the same file as ds_sub-1"},
    ),
    # Nothing vanishes.
    Case(
        "labels with other characters",
        [f"{A}_FLAIR.nii.gz", "sub-CC_05/anat/sub-CC_05_FLAIR.nii.gz", "sub-UKB-06/anat/sub-UKB-06_FLAIR.nii.gz"],
        included=("ds_sub-1",),
        reasons={
            "ds_sub-CC05_05": "its folder sub-CC_05 is not understood",
            "ds_sub-UKB06": "its folder sub-UKB-06 is not understood",
        },
        summary={"a participant's folder is named sub- and letters and digits only": 2},
        log=("ds/sub-CC_05", "ds/sub-UKB-06"),
    ),
    Case(
        "a cleaned label meets one that is there",
        [f"{A}_FLAIR.nii.gz", "sub-UKB06/anat/sub-UKB06_FLAIR.nii.gz", "sub-UKB-06/anat/sub-UKB-06_FLAIR.nii.gz"],
        included=("ds_sub-1", "ds_sub-UKB06"),
        reasons={"ds_sub-UKB06_dup-2": "its folder sub-UKB-06 is not understood"},
    ),
    Case(
        "suffixes that nearly are the sequence's",
        [
            f"{A}_FLAIR.nii.gz",
            f"{B}_FLAIR1.nii.gz",
            "sub-3/anat/sub-3_flair.nii.gz",
            "sub-4/anat/sub-4_FLAIR__dup-01.nii.gz",
        ],
        included=("ds_sub-1",),
        summary={
            "its name ends in FLAIR1, not in FLAIR": 1,
            "its name ends in flair, not in FLAIR": 1,
            "its name has no suffix at the end": 1,
            "no reference image": 3,
        },
        log=("ds/sub-2/anat/sub-2_FLAIR1.nii.gz", "sub-4_FLAIR__dup-01.nii.gz"),
    ),
    Case(
        "names without their participant, other formats, other cases, hidden files, links in circles",
        [f"{A}_FLAIR.nii.gz", "sub-1/anat/FLAIR.nii.gz"],
        files={
            "sub-2/anat/sub-2_FLAIR.mgz": "x",
            "sub-3/anat/sub-3_FLAIR.NII.GZ": "x",
            "sub-1/anat/._sub-1_FLAIR.nii.gz": "x",
            "sub-1/.git/annex/x.nii.gz": "x",
            "sub-5_FLAIR.nii.gz": "x",
            "sub-1/anat/round": "-> ..",
        },
        included=("ds_sub-1",),
        reasons={"ds_sub-1_dup-2": "FLAIR.nii.gz: its name does not begin with that of its participant's folder"},
        summary={
            "its format (.mgz) is not read here; convert it to .nii.gz": 1,
            "its ending is not in lower case": 1,
            "hidden file": 1,
            "hidden folder, not looked into": 1,
            "lies beside the participants' folders, not in one": 1,
            "link to a folder above it": 1,
        },
    ),
    Case(
        "names that are no text, and links that lead nowhere",
        [
            f"{A}_FLAIR.nii.gz",
            f"{B}_acq-a\nb_FLAIR.nii.gz",
            f"{B}_acq-\udce9_FLAIR.nii.gz",
            "sub-\t3/anat/sub-3_FLAIR.nii.gz",
        ],
        files={"sub-4/anat": "-> anat", "sub-5": "-> ../elsewhere", "sub-6/anat": "-> nowhere"},
        included=("ds_sub-1",),
        summary={
            "its name has characters that are no text, which no table can hold": 3,
            "link that leads nowhere": 3,
        },
        log=("ds/sub-2/anat/sub-2_acq-a\\nb_FLAIR.nii.gz", "sub-2_acq-\\udce9_FLAIR.nii.gz", "ds/sub-\\t3"),
    ),
    Case(
        "images that nobody asked for are counted",
        [f"{A}_FLAIR.nii.gz", f"{A}_T1w.nii.gz", f"{B}_T1w.nii.gz", "sub-1/func/sub-1_task-rest_bold.nii.gz"],
        included=("ds_sub-1",),
        summary={"T1w: nothing in the configuration asks for it": 2, "no reference image": 1},
    ),
    Case(
        "what select leaves out is counted",
        [f"{A}_acq-3D_FLAIR.nii.gz", f"{B}_acq-2D_FLAIR.nii.gz"],
        dataset={"select": {"acq": "3D"}},
        included=("ds_sub-1_acq-3D",),
        summary={"the dataset's 'select' leaves it out": 1},
    ),
    Case(
        "participants.tsv and the folders differ",
        [f"{A}_FLAIR.nii.gz", f"{B}_FLAIR.nii.gz"],
        files={"participants.tsv": "participant_id\tage\nsub-1\t60\nsub-9\t70\n"},
        included=("ds_sub-1", "ds_sub-2"),
        summary={"a row of participants.tsv, but no folder": 1, "a folder, but no row of participants.tsv": 1},
        log=("ds/sub-9",),
    ),
    Case(
        "an unknown entity tells images apart like a known one",
        [f"{A}_foo-a_FLAIR.nii.gz", f"{MASKS}/sub-1/anat/sub-1_foo-b_label-A_mask.nii.gz", f"{B}_FLAIR.nii.gz"],
        dataset=LABEL_A,
        included=("ds_sub-2",),
        reasons={"ds_sub-1_foo-a": "agrees with no FLAIR image of its session"},
    ),
    # A choice is a rule.
    Case(
        "phase is no magnitude",
        [f"{A}_part-mag_FLAIR.nii.gz", f"{A}_part-phase_FLAIR.nii.gz", f"{B}_part-real_FLAIR.nii.gz"],
        included=("ds_sub-1_part-mag",),
        reasons={
            "ds_sub-1_part-phase": "no magnitude image (part-phase)",
            "ds_sub-2_part-real": "no magnitude image (part-real)",
        },
    ),
    Case(
        "a whole head before a fine slab",
        {f"{A}_acq-slab_FLAIR.nii.gz": SLAB, f"{A}_acq-whole_FLAIR.nii.gz": HEAD},
        included=("ds_sub-1_acq-whole",),
        reasons={"ds_sub-1_acq-slab": "ds_sub-1_acq-whole (whole head before a part of it)"},
    ),
    Case(
        "two halves are no head",
        {f"{A}_acq-low_FLAIR.nii.gz": SLAB, f"{A}_acq-up_FLAIR.nii.gz": SLAB, f"{B}_FLAIR.nii.gz": HEAD},
        included=("ds_sub-1_acq-up", "ds_sub-2"),
        reasons={"ds_sub-1_acq-low": "another image of this session"},
        notes={"ds_sub-1_acq-up": "field of view 192 x 192 x 40 mm: a part of a head only"},
        more=lambda scans: scans["ds_sub-2"].note == "",
    ),
    Case(
        "without contrast agent before with",
        [f"{A}_FLAIR.nii.gz", f"{A}_ce-gadolinium_FLAIR.nii.gz"],
        included=("ds_sub-1",),
        reasons={"ds_sub-1_ce-gadolinium": "without contrast agent before with"},
    ),
    Case(
        "as scanned before processed",
        [f"{A}_FLAIR.nii.gz", f"{A}_space-MNI_desc-preproc_FLAIR.nii.gz"],
        included=("ds_sub-1",),
        reasons={"ds_sub-1_space-MNI_desc-preproc": "as scanned before processed"},
    ),
    Case(
        "run 10 comes after run 2",
        [f"{A}_run-2_FLAIR.nii.gz", f"{A}_run-10_FLAIR.nii.gz"],
        included=("ds_sub-1_run-10",),
        reasons={"ds_sub-1_run-2": "latest run"},
    ),
    Case(
        "which T1w, and which not",
        [
            f"{A}_FLAIR.nii.gz",
            f"{A}_T1w.nii.gz",
            f"{A}_ce-gadolinium_T1w.nii.gz",
            f"{A}_rec-norm_T1w.nii.gz",
            f"{A}_part-phase_T1w.nii.gz",
            f"{B}_FLAIR.nii.gz",
            f"{B}_T1w.nii.gz",
        ],
        config=T1W,
        included=("ds_sub-1", "ds_sub-2"),
        notes={"ds_sub-1": "sub-1_ce-gadolinium_T1w.nii.gz (without contrast agent before with)"},
        more=lambda scans: scans["ds_sub-1"].images["T1w"] == f"{A}_T1w.nii.gz" and "T1w" not in scans["ds_sub-2"].note,
    ),
    Case(
        "a whole T1w before a slab of it",
        {f"{A}_FLAIR.nii.gz": {}, f"{A}_acq-a_T1w.nii.gz": HEAD, f"{A}_acq-b_T1w.nii.gz": SLAB},
        config=T1W,
        included=("ds_sub-1",),
        notes={"ds_sub-1": "sub-1_acq-b_T1w.nii.gz (whole head before a part of it)"},
        more=lambda scans: scans["ds_sub-1"].images["T1w"] == f"{A}_acq-a_T1w.nii.gz",
    ),
    Case(
        "a header that cannot be read is not chosen",
        [f"{A}_FLAIR.nii.gz", f"{A}_acq-a_T1w.nii.gz"],
        files={f"{A}_acq-b_T1w.nii.gz": "no image"},
        config=T1W,
        included=("ds_sub-1",),
        more=lambda scans: scans["ds_sub-1"].images["T1w"] == f"{A}_acq-a_T1w.nii.gz",
    ),
    Case(
        "a phase image alone is no T1w",
        [f"{A}_FLAIR.nii.gz", f"{A}_part-phase_T1w.nii.gz"],
        config=T1W,
        included=("ds_sub-1",),
        notes={"ds_sub-1": "T1w: no magnitude image"},
        log=("ds: no T1w image found",),
        more=lambda scans: scans["ds_sub-1"].images["T1w"] == "",
    ),
    Case(
        "the last of many runs a mask may be drawn on, and a word on the others",
        [
            f"{A}_FLAIR.nii.gz",
            "sub-1/dwi/sub-1_run-2_dwi.nii.gz",
            "sub-1/dwi/sub-1_run-10_dwi.nii.gz",
            f"{MASKS}/sub-1/dwi/sub-1_label-A_mask.nii.gz",
        ],
        dataset=DRAWN_ON_DWI,
        included=("ds_sub-1",),
        notes={"ds_sub-1": "dwi: sub-1_run-10_dwi.nii.gz was taken, not sub-1_run-2_dwi.nii.gz (latest run)"},
        more=lambda scans: "run-10" in scans["ds_sub-1"].masks["A"].drawn_on,
    ),
    Case(
        "a mask that names its run, with a zero more",
        [
            f"{A}_FLAIR.nii.gz",
            "sub-1/dwi/sub-1_run-1_dwi.nii.gz",
            "sub-1/dwi/sub-1_run-2_dwi.nii.gz",
            f"{MASKS}/sub-1/dwi/sub-1_run-01_label-A_mask.nii.gz",
        ],
        dataset=DRAWN_ON_DWI,
        included=("ds_sub-1",),
        more=lambda scans: "run-1_" in scans["ds_sub-1"].masks["A"].drawn_on and "dwi" not in scans["ds_sub-1"].note,
    ),
    Case(
        "there is nothing that a mask was drawn on",
        [f"{A}_FLAIR.nii.gz", f"{MASKS}/sub-1/dwi/sub-1_label-A_mask.nii.gz", f"{B}_FLAIR.nii.gz"],
        dataset=DRAWN_ON_DWI,
        included=("ds_sub-2",),
        reasons={"ds_sub-1": "sub-1_label-A_mask.nii.gz: drawn on another image, but there is no dwi image"},
        more=lambda scans: scans["ds_sub-1"].masks["A"].drawn_on == "",
    ),
    Case(
        "run-1 is run-01",
        [f"{A}_run-01_FLAIR.nii.gz", f"{MASKS}/sub-1/anat/sub-1_run-1_label-A_mask.nii.gz"],
        dataset=LABEL_A,
        included=("ds_sub-1_run-01",),
        more=lambda scans: scans["ds_sub-1_run-01"].annotated == ("A",),
    ),
    Case(
        "and so is a number of the configuration",
        [f"{A}_run-01_FLAIR.nii.gz", f"{A}_run-02_FLAIR.nii.gz"],
        dataset={"select": {"run": 1}},
        included=("ds_sub-1_run-01",),
    ),
    Case(
        "twin masks are not guessed between",
        [
            f"{A}_FLAIR.nii.gz",
            f"{MASKS}/sub-1/sub-1_label-A_mask.nii.gz",
            f"{MASKS}/sub-1/sub-1_label-A_mask.nii",
            f"{B}_FLAIR.nii.gz",
        ],
        dataset=LABEL_A,
        included=("ds_sub-2",),
        reasons={"ds_sub-1": "more than one file fits mask: sub-1_label-A_mask.nii and sub-1_label-A_mask.nii.gz"},
    ),
    # Tables.
    Case(
        "0 that became 0.0, and values that are missing",
        [f"{place}_FLAIR.nii.gz" for place in (A, B, "sub-3/sub-3", "sub-4/sub-4")],
        files={"participants.tsv": 'participant_id\tstroke\nsub-1\t0.0\nsub-2\t1.0\nsub-3\tNaN\nsub-4\t"0"\n'},
        dataset={"labels": {"A": LABEL_A["labels"]["A"] | {"none_where": {"stroke": [0]}}}},
        included=("ds_sub-1", "ds_sub-2", "ds_sub-3", "ds_sub-4"),
        more=lambda scans: [scan.annotated for scan in scans.values()] == [("A",), (), (), ("A",)],
    ),
    Case(
        "No is no",
        [f"{A}_FLAIR.nii.gz", f"{B}_FLAIR.nii.gz"],
        files={"participants.tsv": "participant_id\tstroke\nsub-1\t No \nsub-2\tyes\n"},
        dataset={"labels": {"A": LABEL_A["labels"]["A"] | {"none_where": {"stroke": ["no"]}}}},
        included=("ds_sub-1", "ds_sub-2"),
        more=lambda scans: [scan.annotated for scan in scans.values()] == [("A",), ()],
    ),
    Case(
        "a value that no row has",
        [f"{A}_FLAIR.nii.gz"],
        files={"participants.tsv": "participant_id\tstroke\nsub-1\t1\n"},
        dataset={"labels": {"A": LABEL_A["labels"]["A"] | {"none_where": {"stroke": ["absent"]}}}},
        included=("ds_sub-1",),
        log=("datasets.ds.labels.A.none_where.stroke: no row of participants.tsv has 'absent'; there are 1 (1)",),
    ),
    Case(
        "a column without a value",
        [f"{A}_FLAIR.nii.gz", f"{B}_FLAIR.nii.gz"],
        files={"participants.tsv": "participant_id\tperson\nsub-1\tN/A\nsub-2\t-\n"},
        dataset={"person_column": "person"},
        included=("ds_sub-1", "ds_sub-2"),
        log=("datasets.ds.person_column: participants.tsv has no value in the column 'person'",),
        more=lambda scans: scans["ds_sub-1"].person != scans["ds_sub-2"].person,
    ),
    Case(
        "two rows of a participant that differ in what is asked of them",
        [f"{A}_FLAIR.nii.gz", f"{B}_FLAIR.nii.gz"],
        files={"participants.tsv": "participant_id\tage\tstroke\nsub-1\t60\tno\nsub-2\t61\tno\n\nsub-1\t62\tyes\n"},
        dataset={"labels": {"A": LABEL_A["labels"]["A"] | {"none_where": {"stroke": ["no"]}}}},
        included=("ds_sub-2",),
        reasons={"ds_sub-1": "participants.tsv: lines 2 and 5 differ in stroke of sub-1"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_odd_archive(tmp_path: Path, make_image: Any, caplog: pytest.LogCaptureFixture, case: Case) -> None:
    images = case.images if isinstance(case.images, dict) else {name: {} for name in case.images}
    for name, arguments in images.items():
        make_image(f"ds/{name}", **({"data": ONES} if "_mask" in name else {}) | arguments)
    for name, text in case.files.items():
        path = tmp_path / "ds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
    scans, results = run(tmp_path, case.dataset, caplog, **case.config)
    assert {name for name, scan in scans.items() if scan.included} == set(case.included)
    for name, text in case.reasons.items():
        assert text in scans[name].reason
    if case.reasons:
        assert len(scans) == len(case.included) + len(case.reasons)
    for name, text in case.notes.items():
        assert text in scans[name].note
    summary = read_table(results.cohort_summary).query("what != 'scan'").groupby("reason")["count"].sum()
    assert {reason: summary.get(reason) for reason in case.summary} == case.summary
    for text in case.log:
        assert text in caplog.text
    assert case.more(scans)
    used = [scan.images["FLAIR"] for scan in scans.values() if scan.included]
    assert len(used) == len(set(used))


def run(
    folder: Path, dataset: dict[str, Any], caplog: pytest.LogCaptureFixture, **changes: Any
) -> tuple[dict[str, Any], Results]:
    """The index of `ds`; the scans by id."""
    values = {"labels": ["A"], "results": str(folder / "results"), "datasets": {"ds": {}}} | changes
    values["models"] = {"mine": ["model"]}
    values["datasets"] = {name: {"root": str(folder / "ds")} | dataset for name in values["datasets"]}
    config = load_config(values)
    with caplog.at_level(logging.INFO, logger="flairflow"):
        index(config, threads=2)
    results = Results(config.results)
    scans = read_scans(results.cohort, config.labels, config.images)
    assert len({scan.scan for scan in scans}) == len(scans)
    return {scan.scan: scan for scan in scans}, results


MANIFESTS = {
    "commas and an absolute path": (
        'participant,site,FLAIR,mask_A\nA_1,"Leeds, UK",ds/x/one.nii.gz,NA\n'
        "B_2,York,{root}/x/two.nii.gz,x/two_A.nii.gz\n",
        {"ds_sub-A1": "file not found", "ds_sub-B2": ""},
    ),
    "semicolons, and a path outside of the root": (
        "participant;FLAIR\nA_1;x/one.nii.gz\nB_2;{root}/../elsewhere/three.nii.gz\nC_3;{elsewhere}/three.nii.gz\n",
        {"ds_sub-A1": "", "ds_sub-B2": "must lie inside the dataset's root", "ds_sub-C3": ""},
    ),
    "one file for two participants": (
        "participant\tFLAIR\nA_1\tx/one.nii.gz\nB_2\t./x/one.nii.gz\nC_3\tx/two.nii.gz\n",
        {"ds_sub-A1": "lines 2 and 3", "ds_sub-B2": "lines 2 and 3", "ds_sub-C3": ""},
    ),
    "a participant twice": (
        "participant\tFLAIR\nA_1\tx/one.nii.gz\n\nA-1\tx/two.nii.gz\n",
        {"ds_sub-A1": "", "ds_sub-A1_line-4": "get the same BIDS label"},
    ),
    "whole numbers that became 1.0": (
        "participant\trun\tFLAIR\n7.0\t1.0\tx/one.nii.gz\n8\tNaN\tx/two.nii.gz\n",
        {"ds_sub-7_run-1": "", "ds_sub-8": ""},
    ),
    "UTF-16, as spreadsheets write": (
        "participant\tFLAIR\nÄ_1\tx/one.nii.gz\n",
        {"ds_sub-1": ""},
    ),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_an_odd_manifest(tmp_path: Path, make_image: Any, caplog: pytest.LogCaptureFixture, name: str) -> None:
    for image in ("ds/x/one", "ds/x/two", "elsewhere/three"):
        make_image(f"{image}.nii.gz")
    make_image("ds/x/two_A.nii.gz", data=ONES)
    text, expected = MANIFESTS[name]
    path = tmp_path / "list.csv"
    path.write_text(
        text.format(root=tmp_path / "ds", elsewhere=tmp_path / "elsewhere"),
        encoding="utf-16" if name.startswith("UTF-16") else "utf-8",
    )
    scans, _ = run(tmp_path, {"manifest": str(path), "labels": {"A": {"none_where": {"lesions": ["no"]}}}}, caplog)
    assert set(scans) == set(expected)
    for scan, reason in expected.items():
        assert reason in scans[scan].reason and bool(reason) != scans[scan].included
    assert "list.csv has no value in the column 'lesions'" in caplog.text
    assert ("there is no column mask_A" in caplog.text) == ("mask_A" not in text)


def test_the_manifest_of_the_documentation(
    tmp_path: Path, make_image: Any, caplog: pytest.LogCaptureFixture, repository: Path
) -> None:
    text = (repository / "docs/archives.md").read_text()
    manifest, configuration = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1] for kind in ("csv", "yaml"))  # type: ignore[index]
    manifest = manifest.replace("/elsewhere", str(tmp_path / "elsewhere"))
    for path in re.findall(r"[^,\n]+\.nii\.gz", manifest):
        place = path if path.startswith("/") else f"ds/{path}"
        make_image(place, **({"data": ONES} if "masks/" in path else {}))
    (tmp_path / "scans.csv").write_text(manifest)
    values = yaml.safe_load(configuration)
    dataset = values["datasets"]["study"] | {"root": str(tmp_path / "ds"), "manifest": str(tmp_path / "scans.csv")}
    changes = {"labels": values["labels"], "images": values["images"], "datasets": {"study": {}}}
    scans, _ = run(tmp_path, dataset, caplog, **changes)
    assert {name: (scan.reason, scan.annotated) for name, scan in scans.items()} == {
        "study_sub-MSS001_ses-1": ("", ("WMH", "ISL")),
        "study_sub-MSS001_ses-2": ("", ("WMH", "ISL")),
        "study_sub-MSS002_ses-1": ("", ("ISL",)),
    }
    assert scans["study_sub-MSS001_ses-1"].masks["ISL"].drawn_on == "raw/001/dwi.nii.gz"


@pytest.mark.parametrize("second", ["train", "test"])
def test_a_participant_of_two_splits_is_refused_with_both_lines(
    tmp_path: Path, make_image: Any, caplog: pytest.LogCaptureFixture, second: str
) -> None:
    make_image(f"ds/{A}_FLAIR.nii.gz")
    path = tmp_path / "splits.tsv"
    path.write_text(f"participant\tsplit\nsub-1\ttest\nsub-2\ttrain\n\n_1\t{second}\n")
    with pytest.raises(ConfigError, match=rf"names sub-1 twice: line 2 says test, line 5 says {second}; leave one"):
        run(tmp_path, {"split_list": str(path)}, caplog)


def test_an_unquoted_no_is_refused_in_words() -> None:
    values = {"labels": ["A"], "datasets": {"ds": {"root": "x", "labels": {"A": {"none_where": {"stroke": [False]}}}}}}
    with pytest.raises(ConfigError, match="YAML reads what stands here as false: put it in quotes"):
        load_config(values)


def test_who_withdrew_is_not_named_among_what_was_left_out(
    tmp_path: Path, make_image: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for place in (A, B):
        make_image(f"ds/{place}_FLAIR.nii.gz")
        make_image(f"ds/{place}_T1w.nii.gz")
    (tmp_path / "gone.txt").write_text("sub-2\n")
    _, results = run(tmp_path, {"withdrawn": str(tmp_path / "gone.txt")}, caplog)
    assert "sub-1_T1w" in results.cohort_summary.read_text() and "sub-1_T1w" in caplog.text
    assert "sub-2" not in results.cohort_summary.read_text() + caplog.text


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    ("content", "says"),
    [("participant_id\tstroke\tstroke\nsub-1\tno\tyes\n", "has two columns stroke; leave one"), ("", "it is empty")],
)
def test_a_table_ends_the_index_only_where_it_is_asked(
    tmp_path: Path, make_image: Any, caplog: pytest.LogCaptureFixture, content: str, says: str, asked: bool
) -> None:
    make_image(f"ds/{A}_FLAIR.nii.gz")
    (tmp_path / "ds/participants.tsv").write_text(content)
    if asked:
        with pytest.raises(ConfigError, match=says):
            run(tmp_path, {"labels": {"A": {"none_where": {"stroke": ["no"]}}}}, caplog)
    else:
        scans, _ = run(tmp_path, {}, caplog)
        assert scans["ds_sub-1"].included


def test_two_columns_of_a_manifest_with_one_name_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ds").mkdir()
    (tmp_path / "list.csv").write_text("participant,FLAIR,FLAIR\n1,a.nii,b.nii\n")
    with pytest.raises(ConfigError, match=r"list.csv: has two columns FLAIR; leave one of each"):
        run(tmp_path, {"manifest": str(tmp_path / "list.csv")}, caplog)
