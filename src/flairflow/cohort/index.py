"""The index: from datasets to the cohort table, the shards, and the assignments that are kept."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from flairflow.cohort.checks import check_scans
from flairflow.cohort.choose_reference import choose_per_session
from flairflow.cohort.find_scans import discover
from flairflow.cohort.left_out import COLUMNS, LeftOut, summary, tell, without_name
from flairflow.cohort.manifest_table import bids_label
from flairflow.cohort.scan import Scan, columns, from_row, to_row
from flairflow.cohort.sharding import assign_shards
from flairflow.cohort.splits import assign_splits
from flairflow.cohort.withdrawn import WITHDREW, withdrawn_participants, without_withdrawn
from flairflow.config.models import Config
from flairflow.errors import in_short
from flairflow.files import write_text
from flairflow.paths import Results
from flairflow.tables import read_table, to_tsv, write_table

log = logging.getLogger(__name__)


def index(config: Config, threads: int) -> str:
    """Write the cohort table with its data dictionary, what was found in all, the table of shards, and the shard lists
    that changed. Returns why no scan can be used, or "".

    Raises ConfigError where the configuration and the datasets contradict each other; a faulty scan is an excluded row.
    """
    results = Results(config.results)
    scans: list[Scan] = []
    left_out: dict[str, list[LeftOut]] = {}
    for name, dataset in config.datasets.items():
        found, left_out[name] = discover(name, dataset, config)
        log.info("%s: %d %s images", name, len(found), config.reference)
        if dataset.withdrawn:
            found = without_withdrawn(name, found, dataset.withdrawn)
            withdrawn = withdrawn_participants(name, dataset.withdrawn)
            left_out[name] = [one for one in left_out[name] if bids_label(one.participant) not in withdrawn]
        if not found:
            log.warning("%s: no %s image found under %s", name, config.reference, dataset.root)
        for sequence in config.images[1:]:
            if found and not any(scan.images[sequence] for scan in found):
                log.warning("%s: no %s image found (images)", name, sequence)
        for label in dataset.labels:
            count = sum(scan.masks[label].annotation == "mask" for scan in found)
            log.log(logging.INFO if count or not found else logging.WARNING, "%s: %d %s masks", name, count, label)
        tell(name, left_out[name])
        scans += found
    scans = _one_row_for_a_file(scans, config)
    roots = {name: dataset.root for name, dataset in config.datasets.items()}
    # Files of participants who withdrew are not even opened.
    usable = [scan for scan in scans if scan.reason != WITHDREW]
    checked = {scan.scan: scan for scan in check_scans(usable, roots, results.file_checks, threads)}
    scans = [checked.get(scan.scan, scan) for scan in scans]
    scans = choose_per_session(scans, config.index.prefer)
    if config.preprocessing.brain_mask == "provided":
        scans = [scan if scan.brain_mask else scan.excluded("no brain mask was provided with it") for scan in scans]
    splits = _kept(results.split_assignments)
    scans = assign_splits(scans, config.datasets, config.index.splits, config.seed, splits)
    shards = _kept(results.shard_assignments)
    scans = assign_shards(scans, config.index.shard_size, shards)
    included = [scan for scan in scans if scan.included]
    _keep(results.split_assignments, splits | {scan.person: scan.split for scan in included if scan.split != "archive"})
    _keep(results.shard_assignments, shards | {scan.scan: scan.shard for scan in included})
    write_shard_lists(results, included)
    dictionary = columns(config.labels, config.images)
    write_table(results.cohort, _table(scans).reindex(columns=list(dictionary)), dictionary)
    write_shards(results.shards, included)
    reasons = {name: [(scan.scan, scan.reason) for scan in scans if scan.dataset == name] for name in config.datasets}
    write_table(results.cohort_summary, summary(left_out, reasons), COLUMNS)
    for scan in scans:
        if not scan.included and scan.reason != WITHDREW:
            log.warning("%s excluded: %s", scan.scan, scan.reason)
    log.info("%d scans included, %d excluded", len(included), len(scans) - len(included))
    return "" if included else _nothing_to_use(scans, left_out, config)


def _one_row_for_a_file(scans: Sequence[Scan], config: Config) -> list[Scan]:
    """Two datasets may have one root: an image is a scan of the first alone."""
    roots = {name: dataset.root.resolve() for name, dataset in config.datasets.items()}
    first: dict[Path, Scan] = {}
    kept = []
    for scan in scans:
        image = scan.images[config.reference]
        other = first.setdefault(roots[scan.dataset] / image, scan) if scan.included and image else scan
        kept.append(scan if other.dataset == scan.dataset else scan.excluded(f"the same file as {other.scan}"))
    return kept


def _nothing_to_use(scans: Sequence[Scan], left_out: Mapping[str, Sequence[LeftOut]], config: Config) -> str:
    """What to say of a cohort without a scan: the reasons, most frequent first, or where images were looked for."""
    if not scans:
        roots = ", ".join(str(dataset.root) for dataset in config.datasets.values())
        files = Counter(one.reason for found in left_out.values() for one in found)
        there = "; there are: " + in_short([f"{count} x {reason}" for reason, count in files.most_common()])
        return f"no scan can be used: no {config.reference} image found under {roots}" + there * bool(files)
    reasons = Counter(without_name(scan.reason) for scan in scans)
    first = {without_name(scan.reason): scan.scan for scan in reversed(scans)}
    told = [f"{count} x {reason} (such as {first[reason]})" for reason, count in reasons.most_common()]
    return f"no scan can be used, all {len(scans)} are excluded: {in_short(told)}"


def read_scans(path: Path, labels: Sequence[str], images: Sequence[str]) -> list[Scan]:
    """The scans of a cohort table or of a shard list."""
    rows = read_table(path, text=True).to_dict("records")
    return [from_row({str(key): str(value) for key, value in row.items()}, labels, images) for row in rows]


def write_shard_lists(results: Results, scans: Sequence[Scan]) -> None:
    """The rows of each shard in a list of their own, rewritten only when they changed."""
    groups: dict[str, list[Scan]] = {}
    for scan in scans:
        groups.setdefault(scan.shard, []).append(scan)
    for shard, members in groups.items():
        path, text = results.shard_list(shard), to_tsv(_table(members))
        # An untouched list is what tells Snakemake that this shard has nothing new.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)


def write_shards(path: Path, scans: Sequence[Scan]) -> None:
    """The table of shards, from which the rules know what there is to do."""
    counts = Counter((scan.shard, scan.dataset, scan.split) for scan in scans)
    table = pd.DataFrame(
        [(*key, count) for key, count in sorted(counts.items())], columns=["shard", "dataset", "split", "scans"]
    )
    largest = dict.fromkeys(table["shard"], 0)
    for scan in scans:
        largest[scan.shard] = max(largest[scan.shard], scan.voxels)
    for name in ("annotated", "incomplete"):
        having = {scan.shard for scan in scans if getattr(scan, name)}
        table[name] = ["yes" if shard in having else "no" for shard in table["shard"]]
    # What jobs ask for follows from it.
    table["voxels"] = [largest[shard] for shard in table["shard"]]
    write_text(path, to_tsv(table))


def _table(scans: Sequence[Scan]) -> pd.DataFrame:
    return pd.DataFrame([to_row(scan) for scan in scans]).replace("", None)


def _kept(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    table = read_table(path, text=True)
    return dict(zip(table["name"], table["assigned"], strict=True))


def _keep(path: Path, assigned: Mapping[str, str]) -> None:
    write_text(path, to_tsv(pd.DataFrame(sorted(assigned.items()), columns=["name", "assigned"])))
