"""The index on small datasets: what is found, what is excluded and why, splits and shards that stay."""

from __future__ import annotations

import gzip
import os
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flairflow.cohort.index import index, read_scans
from flairflow.cohort.scan import Mask, Scan, from_row, to_row
from flairflow.cohort.sharding import assign_shards
from flairflow.cohort.splits import assign_splits
from flairflow.config import Config, load_config
from flairflow.config.models import Dataset, SplitSettings
from flairflow.errors import ConfigError
from flairflow.paths import Results

MASKS = {"folder": "derivatives/manual", "entities": {"label": "A"}}


def make_config(tmp_path: Path, **changes: Any) -> Config:
    dataset = {"root": str(tmp_path / "ds"), "labels": {"A": MASKS}}
    values = {"labels": ["A", "B"], "results": str(tmp_path / "results"), "datasets": {"ds": dataset}}
    return load_config(values | changes)


def run(config: Config) -> dict[str, Scan]:
    index(config, threads=2)
    return {scan.scan: scan for scan in read_scans(Results(config.results).cohort, config.labels, config.images)}


def mask_name(participant: str, label: str = "A") -> str:
    return f"ds/derivatives/manual/sub-{participant}/anat/sub-{participant}_label-{label}_mask.nii.gz"


def flair_name(participant: str) -> str:
    return f"ds/sub-{participant}/anat/sub-{participant}_FLAIR.nii.gz"


def test_missing_and_empty_masks_are_told_apart(tmp_path: Path, make_image: Any) -> None:
    for participant in ("1", "2", "3"):
        make_image(flair_name(participant))
    make_image(mask_name("1"), data=np.ones((8, 9, 10), np.uint8))
    make_image(mask_name("2"), data=np.zeros((8, 9, 10), np.uint8))
    scans = run(make_config(tmp_path))
    assert scans["ds_sub-1"].masks["A"].annotation == "mask"
    assert scans["ds_sub-2"].masks["A"].annotation == "mask"
    assert scans["ds_sub-3"].masks["A"].annotation == "missing"
    assert scans["ds_sub-3"].split == "archive"
    assert all(scan.masks["B"].annotation == "missing" for scan in scans.values())


def test_absent_can_mean_none_for_all_or_by_a_column(tmp_path: Path, make_image: Any) -> None:
    for participant in ("1", "2"):
        make_image(flair_name(participant))
    (tmp_path / "ds" / "participants.tsv").write_bytes(
        "\ufeffparticipant_id\tstroke\r\nsub-1\tno\r\nsub-2\tyes\r\n".encode()
    )
    by_column = {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": MASKS | {"none_where": {"stroke": ["no"]}}}}}
    scans = run(make_config(tmp_path, datasets=by_column))
    assert [scan.masks["A"].annotation for scan in scans.values()] == ["none", "missing"]
    for_all = {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": MASKS | {"absent": "none"}}}}
    scans = run(make_config(tmp_path, datasets=for_all))
    assert [scan.annotated for scan in scans.values()] == [("A",), ("A",)]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _not_finite(path: Path) -> None:
    from flairflow.images.grid import Image
    from flairflow.images.nifti import write_image

    data = np.ones((8, 9, 10), np.float32)
    data[0, 0, 0] = np.nan
    write_image(path, Image(data, np.eye(4)))


def _all_zero(path: Path) -> None:
    from flairflow.images.grid import Image
    from flairflow.images.nifti import write_image

    write_image(path, Image(np.zeros((8, 9, 10), np.float32), np.eye(4)))


def _four_dimensions(path: Path) -> None:
    import nibabel as nib

    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 3), np.float32), np.eye(4)), path)


def _no_image(path: Path) -> None:
    path.write_bytes(gzip.compress(b"no image"))


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.nii.gz")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_truncate, "damaged or truncated"),
        (_not_finite, "not finite"),
        (_all_zero, "all voxels are zero"),
        (_four_dimensions, "not a three-dimensional image"),
        (_no_image, "damaged or truncated"),
        (_dangling, "broken link"),
    ],
)
def test_a_faulty_image_is_excluded_with_file_and_reason(
    tmp_path: Path, make_image: Any, damage: Any, reason: str
) -> None:
    damage(make_image(flair_name("1")))
    make_image(flair_name("2"))
    scans = run(make_config(tmp_path))
    assert reason in scans["ds_sub-1"].reason
    assert "sub-1_FLAIR.nii.gz" in scans["ds_sub-1"].reason
    assert scans["ds_sub-2"].included


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        ({"data": np.ones((8, 9, 9), np.uint8)}, "not on the grid"),
        ({"data": np.ones((8, 9, 10), np.uint8), "affine": np.diag([1, 1, 1.1, 1])}, "not on the grid"),
        ({"data": np.full((8, 9, 10), 0.5, np.float32)}, "no mask"),
        ({"data": np.arange(720, dtype=np.int16).reshape(8, 9, 10)}, "no mask"),
        ({"data": (np.arange(720) % 3).astype(np.uint8).reshape(8, 9, 10)}, "labels.A.values"),
    ],
)
def test_a_faulty_mask_is_excluded_with_file_and_reason(
    tmp_path: Path, make_image: Any, mask: Any, reason: str
) -> None:
    make_image(flair_name("1"))
    make_image(mask_name("1"), **mask)
    scan = run(make_config(tmp_path))["ds_sub-1"]
    assert reason in scan.reason
    assert "label-A_mask.nii.gz" in scan.reason


def test_a_mask_within_rounding_of_its_image_is_fine(tmp_path: Path, make_image: Any) -> None:
    make_image(flair_name("1"))
    off = np.eye(4)
    off[:3, 3] = 0.01
    make_image(mask_name("1"), data=np.ones((8, 9, 10), np.uint8), affine=off)
    assert run(make_config(tmp_path))["ds_sub-1"].included


def test_one_image_per_session_is_chosen_and_the_others_say_so(tmp_path: Path, make_image: Any) -> None:
    coarse, fine = (1.0, 1.0, 1.0), (0.5, 0.5, 5.0)
    make_image("ds/sub-1/anat/sub-1_run-1_FLAIR.nii.gz", spacing=coarse)
    make_image("ds/sub-1/anat/sub-1_run-2_FLAIR.nii.gz", spacing=fine)
    make_image("ds/sub-1/anat/sub-1_run-3_FLAIR.nii.gz", spacing=coarse)
    scans = run(make_config(tmp_path))
    assert [scan.scan for scan in scans.values() if scan.included] == ["ds_sub-1_run-2"]
    assert "ds_sub-1_run-2" in scans["ds_sub-1_run-3"].reason
    scans = run(make_config(tmp_path, index={"prefer": ["latest_run"]}))
    assert [scan.scan for scan in scans.values() if scan.included] == ["ds_sub-1_run-3"]


def test_two_masks_that_both_fit_are_not_guessed_between(tmp_path: Path, make_image: Any) -> None:
    make_image(flair_name("1"))
    for rater in ("a", "b"):
        name = f"ds/derivatives/manual/sub-1/anat/sub-1_label-A_desc-{rater}_mask.nii.gz"
        make_image(name, data=np.ones((8, 9, 10), np.uint8))
    assert "more than one file fits" in run(make_config(tmp_path))["ds_sub-1"].reason


def test_a_mask_that_names_another_acquisition_is_a_slip_not_a_missing_mask(tmp_path: Path, make_image: Any) -> None:
    ones = np.ones((8, 9, 10), np.uint8)
    make_image("ds/sub-1/anat/sub-1_acq-a_FLAIR.nii.gz")
    make_image("ds/derivatives/manual/sub-1/anat/sub-1_acq-b_label-A_mask.nii.gz", data=ones)
    dataset = {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": MASKS | {"absent": "none"}}}}
    assert "agrees with no FLAIR image" in run(make_config(tmp_path, datasets=dataset))["ds_sub-1_acq-a"].reason
    # With an image it agrees with, it is that one's; the other image has none.
    make_image("ds/sub-1/anat/sub-1_acq-b_FLAIR.nii.gz")
    scans = run(make_config(tmp_path))
    assert scans["ds_sub-1_acq-b"].masks["A"].annotation == "mask"
    assert scans["ds_sub-1_acq-a"].masks["A"].annotation == "missing"


def test_a_mask_without_the_session_of_its_image_is_a_slip(tmp_path: Path, make_image: Any) -> None:
    make_image("ds/sub-1/ses-1/anat/sub-1_ses-1_FLAIR.nii.gz")
    make_image(mask_name("1"), data=np.ones((8, 9, 10), np.uint8))
    dataset = {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": MASKS | {"absent": "none"}}}}
    assert "agrees with no FLAIR image" in run(make_config(tmp_path, datasets=dataset))["ds_sub-1_ses-1"].reason


def test_a_mask_drawn_on_another_run_than_the_images_goes_with_its_own(tmp_path: Path, make_image: Any) -> None:
    make_image("ds/sub-1/anat/sub-1_run-2_FLAIR.nii.gz")
    for number in (1, 2):
        make_image(f"ds/sub-1/dwi/sub-1_run-{number}_dwi.nii.gz")
    ones = np.ones((8, 9, 10), np.uint8)
    make_image("ds/derivatives/manual/sub-1/dwi/sub-1_run-1_label-A_mask.nii.gz", data=ones)
    dataset = {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": MASKS | {"drawn_on": "dwi", "absent": "none"}}}}
    mask = run(make_config(tmp_path, datasets=dataset))["ds_sub-1_run-2"].masks["A"]
    assert (mask.annotation, mask.drawn_on) == ("mask", "sub-1/dwi/sub-1_run-1_dwi.nii.gz")


def test_values_that_no_mask_holds_are_no_known_absence(tmp_path: Path, make_image: Any) -> None:
    make_image(flair_name("1"))
    make_image(flair_name("2"))
    make_image(mask_name("1"), data=np.full((8, 9, 10), 255, np.uint8))
    make_image(mask_name("2"), data=np.zeros((8, 9, 10), np.uint8))
    dataset = {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": MASKS | {"values": [1]}}}}
    scans = run(make_config(tmp_path, datasets=dataset))
    assert "holds 255" in scans["ds_sub-1"].reason
    assert scans["ds_sub-2"].included
    make_image(mask_name("2"), data=np.ones((8, 9, 10), np.uint8))
    assert run(make_config(tmp_path, datasets=dataset))["ds_sub-1"].included


@pytest.mark.parametrize(
    "text",
    [
        "participant_id\tage\tstroke\nsub-1\t60\tno\t\nsub-2\t61\tyes\t\n",
        'participant_id\tage\tstroke\nsub-1\t6"0\tno\nsub-2\t61\tyes\textra\n',
        "participant_id\tage\tstroke\nsub-1\tM\xfcller\tno\n2\t61\tyes\n",
    ],
)
def test_odd_participants_tables_are_read(tmp_path: Path, make_image: Any, text: str) -> None:
    for participant in ("1", "2"):
        make_image(flair_name(participant))
    (tmp_path / "ds" / "participants.tsv").write_bytes(text.encode("latin-1"))
    dataset = {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": MASKS | {"none_where": {"stroke": ["no"]}}}}}
    scans = run(make_config(tmp_path, datasets=dataset))
    assert [scan.masks["A"].annotation for scan in scans.values()] == ["none", "missing"]


def test_a_participants_table_without_what_is_asked_of_it_is_an_error(tmp_path: Path, make_image: Any) -> None:
    make_image(flair_name("1"))
    (tmp_path / "ds" / "participants.tsv").write_text("participant_id\tage\nsub-1\t60\n")
    dataset = {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": MASKS | {"none_where": {"strok": ["no"]}}}}}
    with pytest.raises(ConfigError, match="no column strok"):
        run(make_config(tmp_path, datasets=dataset))


def test_a_damaged_file_that_was_mended_is_looked_at_again(tmp_path: Path, make_image: Any) -> None:
    path = make_image(flair_name("1"))
    content, stat = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not run(make_config(tmp_path))["ds_sub-1"].included
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert run(make_config(tmp_path))["ds_sub-1"].included


def test_a_mask_follows_its_run(tmp_path: Path, make_image: Any) -> None:
    for number in (1, 2):
        make_image(f"ds/sub-1/anat/sub-1_run-{number}_FLAIR.nii.gz")
        name = f"ds/derivatives/manual/sub-1/anat/sub-1_run-{number}_label-A_mask.nii.gz"
        make_image(name, data=np.ones((8, 9, 10), np.uint8))
    scans = run(make_config(tmp_path))
    assert "run-2" in scans["ds_sub-1_run-2"].masks["A"].path
    assert "run-1" in scans["ds_sub-1_run-1"].masks["A"].path


def test_a_mask_drawn_on_another_sequence_names_it(tmp_path: Path, make_image: Any) -> None:
    make_image(flair_name("1"))
    make_image(flair_name("2"))
    make_image("ds/sub-1/dwi/sub-1_dwi.nii.gz", shape=(5, 5, 5))
    for participant in ("1", "2"):
        make_image(mask_name(participant), data=np.ones((5, 5, 5), np.uint8))
    dataset = {"ds": {"root": str(tmp_path / "ds"), "labels": {"A": MASKS | {"drawn_on": "dwi"}}}}
    scans = run(make_config(tmp_path, datasets=dataset))
    assert scans["ds_sub-1"].masks["A"].drawn_on == "sub-1/dwi/sub-1_dwi.nii.gz"
    assert "no dwi image" in scans["ds_sub-2"].reason


def test_a_manifest_stands_in_for_bids(tmp_path: Path, make_image: Any) -> None:
    make_image("ds/x/one.nii.gz")
    make_image("ds/x/one_lesions.nii.gz", data=np.ones((8, 9, 10), np.uint8))
    manifest = tmp_path / "ds" / "list.tsv"
    manifest.write_text(
        "participant\tFLAIR\tmask_A\nA_1\tx/one.nii.gz\tx/one_lesions.nii.gz\nB_2\tx/one.nii.gz\tn/a\n"
        "C_3\t../outside.nii.gz\tn/a\n"
    )
    dataset = {"ds": {"root": str(tmp_path / "ds"), "manifest": str(manifest), "labels": {"A": {}}}}
    scans = run(make_config(tmp_path, datasets=dataset))
    assert scans["ds_sub-A1"].masks["A"].annotation == "mask"
    assert scans["ds_sub-B2"].masks["A"].annotation == "missing"
    assert "must lie inside" in scans["ds_sub-C3"].reason


@pytest.mark.parametrize(
    "text",
    [
        "sub-1\n3\n",
        "\ufeff1\r\n3\r\n\r\n",
        "# sent in May\n1 # by letter\n\n sub-3",
        '"1"\n"3"\n',
        "eid\n1,\n3,\n",
        "1,2026-05-01\n3\t2\n",
    ],
)
def test_participants_who_withdrew_are_never_used(
    tmp_path: Path, make_image: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    for participant in ("1", "2", "3", "10"):
        make_image(flair_name(participant))
        make_image(mask_name(participant), data=np.ones((8, 9, 10), np.uint8))
    first = run(make_config(tmp_path))
    (tmp_path / "list.txt").write_text(text, encoding="utf-8", newline="")
    dataset = {"root": str(tmp_path / "ds"), "labels": {"A": MASKS}, "withdrawn": str(tmp_path / "list.txt")}
    caplog.clear()
    scans = run(make_config(tmp_path, datasets={"ds": dataset}))
    withdrew = [name for name, scan in scans.items() if scan.reason == "participant withdrew"]
    assert withdrew == ["ds_sub-1", "ds_sub-3"]
    assert {scans[name].split + scans[name].shard for name in withdrew} == {""}
    assert all(scans[name] == first[name] for name in ("ds_sub-2", "ds_sub-10"))
    checked = (tmp_path / "results/state/file_checks.jsonl").read_text()
    assert "sub-10/" in checked and "sub-1/" not in checked
    assert not any(name in caplog.text for name in withdrew)
    assert ("1 of 3 names in list.txt have no scan here" in caplog.text) == text.startswith("eid")


def test_who_withdrew_is_known_in_a_manifest_and_whatever_else_is_wrong(tmp_path: Path, make_image: Any) -> None:
    make_image("ds/x/one.nii.gz")
    (tmp_path / "ds" / "list.tsv").write_text("participant\tFLAIR\nA_1\tx/one.nii.gz\nB_2\t../outside.nii.gz\n")
    (tmp_path / "gone.txt").write_text("B_2\n")
    dataset = {"root": str(tmp_path / "ds"), "manifest": str(tmp_path / "ds/list.tsv"), "labels": {"A": {}}}
    scans = run(make_config(tmp_path, datasets={"ds": dataset | {"withdrawn": str(tmp_path / "gone.txt")}}))
    assert [scan.reason for scan in scans.values()] == ["", "participant withdrew"]


def test_an_index_that_is_killed_goes_on_after_the_last_file_it_looked_at(tmp_path: Path, make_image: Any) -> None:
    first, second, last = (make_image(flair_name(participant)) for participant in ("1", "2", "3"))
    whole = last.read_bytes()
    last.unlink()
    os.mkfifo(last)  # whoever reads it waits
    config = make_config(tmp_path)
    reader = get_context("spawn").Process(target=index, args=(config, 1))
    reader.start()
    checks = Results(config.results).file_checks
    until = time.monotonic() + 120
    while not (checks.exists() and str(second.relative_to(tmp_path / "ds")) in checks.read_text()):
        assert reader.is_alive() and time.monotonic() < until
        time.sleep(0.05)
    reader.kill()
    reader.join()
    with checks.open("ab") as file:
        file.write(b'["ds", "sub-3/an')  # as a kill leaves it
    last.unlink()
    last.write_bytes(whole)
    # Whoever opened it again would find it damaged.
    stat = first.stat()
    first.write_bytes(bytes(stat.st_size))
    os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert [scan.reason for scan in run(config).values()] == ["", "", ""]
    assert len(checks.read_text().splitlines()) == 3


def test_a_second_index_rewrites_no_shard_list_and_new_scans_move_nobody(tmp_path: Path, make_image: Any) -> None:
    for number in range(8):
        make_image(flair_name(str(number)))
        make_image(mask_name(str(number)), data=np.ones((8, 9, 10), np.uint8))
    config = make_config(tmp_path)
    before = run(config)
    lists = {path: path.stat().st_mtime_ns for path in (tmp_path / "results/state/shards").iterdir()}
    assert run(config) == before
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results/state/shards").iterdir()} == lists
    make_image(flair_name("99"))
    make_image(mask_name("99"), data=np.ones((8, 9, 10), np.uint8))
    after = run(config)
    assert {name: (scan.split, scan.shard) for name, scan in after.items() if name in before} == {
        name: (scan.split, scan.shard) for name, scan in before.items()
    }
    rewritten = [path.stem for path, modified in lists.items() if path.stat().st_mtime_ns != modified]
    assert rewritten == [after["ds_sub-99"].shard]


def test_the_digest_follows_contents_and_meaning_not_times(tmp_path: Path, make_image: Any) -> None:
    path = make_image(flair_name("1"))
    config = make_config(tmp_path)
    first = run(config)["ds_sub-1"].digest
    path.touch()
    assert run(config)["ds_sub-1"].digest == first
    make_image(flair_name("1"), data=np.arange(720, dtype=np.float32).reshape(8, 9, 10))
    assert run(config)["ds_sub-1"].digest != first


def make_scan(name: str, person: str, dataset: str = "ds", annotated: tuple[str, ...] = ("A",)) -> Scan:
    masks = {label: Mask("mask" if label in annotated else "missing") for label in ("A", "B")}
    return Scan(f"{dataset}_sub-{name}", dataset, name, "", person, {"FLAIR": "x"}, masks)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["d1", "d2"])), max_size=60), st.integers(0, 5))
def test_a_person_is_in_one_split(persons: list[tuple[int, str]], seed: int) -> None:
    scans = [make_scan(str(i), f"p{person}", dataset) for i, (person, dataset) in enumerate(persons)]
    datasets = {"d1": Dataset(root=Path("x")), "d2": Dataset(root=Path("x"))}
    placed = assign_splits(scans, datasets, SplitSettings(), seed, {})
    splits: dict[str, set[str]] = {}
    for scan in placed:
        splits.setdefault(scan.person, set()).add(scan.split)
    assert all(len(found) == 1 for found in splits.values())


def test_splits_keep_their_shares_in_every_stratum_as_a_cohort_grows() -> None:
    datasets = {"ds": Dataset(root=Path("x"))}
    kept: dict[str, str] = {}
    for size in (20, 100):
        scans = [make_scan(str(i), f"p{i}", annotated=("A",) if i % 2 else ("A", "B")) for i in range(size)]
        placed = assign_splits(scans, datasets, SplitSettings(), 0, kept)
        assert all(scan.split == kept[scan.person] for scan in placed if scan.person in kept)
        kept = {scan.person: scan.split for scan in placed}
    for odd in (0, 1):
        counts = Counter(scan.split for i, scan in enumerate(placed) if i % 2 == odd)
        assert (counts["train"], counts["validation"], counts["test"]) == pytest.approx((30, 7.5, 12.5), abs=1)


def test_a_person_of_a_test_dataset_is_tested_everywhere() -> None:
    scans = [make_scan("1", "p", "d1"), make_scan("2", "p", "d2")]
    datasets = {"d1": Dataset(root=Path("x")), "d2": Dataset(root=Path("x"), use="test")}
    assert {scan.split for scan in assign_splits(scans, datasets, SplitSettings(), 0, {})} == {"test"}
    with pytest.raises(ConfigError, match="earlier run"):
        assign_splits(scans, datasets, SplitSettings(), 0, {"p": "train"})


def test_fixed_split_lists_rule(tmp_path: Path) -> None:
    path = tmp_path / "splits.tsv"
    path.write_text("participant\tsplit\nsub-1\ttest\n_2\tvalidation\n")
    datasets = {"ds": Dataset(root=Path("x"), split_list=path)}
    placed = assign_splits([make_scan("1", "a"), make_scan("2", "b")], datasets, SplitSettings(), 0, {})
    assert [scan.split for scan in placed] == ["test", "validation"]


@given(st.integers(1, 7), st.integers(0, 40), st.integers(0, 40))
def test_shards_fill_up_and_stay(size: int, first: int, second: int) -> None:
    datasets = {"ds": Dataset(root=Path("x"))}
    everyone = [make_scan(f"{i:03}", f"p{i}") for i in range(first + second)]
    before = assign_splits(everyone[:first], datasets, SplitSettings(), 0, {})
    after = assign_splits(everyone, datasets, SplitSettings(), 0, {scan.person: scan.split for scan in before})
    kept = {scan.scan: scan.shard for scan in assign_shards(before, size, {})}
    placed = assign_shards(after, size, kept)
    assert all(scan.shard == kept[scan.scan] for scan in placed if scan.scan in kept)
    counts = Counter(scan.shard for scan in placed)
    assert all(count <= size for count in counts.values())
    groups = Counter(shard.rsplit("-", 1)[0] for shard, count in counts.items() if count < size)
    assert all(open_ones == 1 for open_ones in groups.values())


def test_rows_round_trip() -> None:
    mask = Mask("mask", "m.nii.gz", "dwi.nii.gz", (1, 2), (3,), "i.nii.gz")
    scan = Scan("ds_sub-1", "ds", "1", "", "p", {"FLAIR": "f", "T1w": ""}, {"A": mask, "B": Mask()}, split="train")
    scan = scan.noted("T1w: one of two").noted("T1w: one of two", "read in another order")
    assert scan.note == "T1w: one of two; read in another order"
    assert from_row(to_row(scan), ["A", "B"], ["FLAIR", "T1w"]) == scan
