"""Train, validation and test by person: seeded per stratum, and kept once given."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from flairflow.cohort.manifest_table import bids_label
from flairflow.cohort.scan import SPLITS, Scan
from flairflow.config.models import Dataset, SplitSettings
from flairflow.errors import ConfigError
from flairflow.tables import read_foreign_table

log = logging.getLogger(__name__)


def assign_splits(
    scans: Sequence[Scan], datasets: Mapping[str, Dataset], settings: SplitSettings, seed: int, kept: Mapping[str, str]
) -> list[Scan]:
    """Give every included scan its split; all scans of a person get the same one, but for unannotated ones of a person
    with no annotated scan, which are `archive`.

    kept : split by person from earlier runs. New persons of a stratum (dataset x labels annotated) go, in an order that
    only the seed and their name decide, to the split that is furthest below its share.
    Scans that a split list with `unlisted: exclude` does not name are excluded.
    Raises ConfigError where a fixed split contradicts another one or one that was given before.
    """
    lists = {name: _split_list(name, dataset.split_list) for name, dataset in datasets.items() if dataset.split_list}
    scans = [_unlisted_left_out(scan, datasets[scan.dataset], lists) for scan in scans]
    fixed = _fixed(scans, datasets, lists)
    given: dict[str, str] = dict(kept)
    for person, (split, where) in fixed.items():
        if given.get(person, split) != split:
            raise ConfigError(
                f"config: {where}: {person} is to be {split}, but was given {given[person]} in an earlier run and "
                "models may have seen it so; start a new results folder, or keep the split"
            )
        given[person] = split
    strata: dict[str, set[str]] = defaultdict(set)
    for person, stratum in _strata(scans).items():
        strata[stratum].add(person)
    shares = settings.model_dump()
    for _, persons in sorted(strata.items()):
        counts = Counter(given[person] for person in persons if person in given)
        for person in sorted(persons - set(given), key=lambda name: _order(seed, name)):
            total = sum(counts[split] for split in shares) + 1
            split = max(shares, key=lambda name: (shares[name] * total - counts[name], shares[name]))
            given[person] = split
            counts[split] += 1
    return [replace(scan, split=given.get(scan.person, "archive")) if scan.included else scan for scan in scans]


def _unlisted_left_out(scan: Scan, dataset: Dataset, lists: Mapping[str, Mapping[str, str]]) -> Scan:
    if dataset.unlisted == "exclude" and scan.participant not in lists[scan.dataset]:
        return scan.excluded(f"the split list of {scan.dataset} does not name it (datasets.{scan.dataset}.unlisted)")
    return scan


def _fixed(
    scans: Sequence[Scan], datasets: Mapping[str, Dataset], lists: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[str, str]]:
    fixed: dict[str, tuple[str, str]] = {}
    for name, listed in lists.items():
        if unknown := sorted(set(listed) - {scan.participant for scan in scans if scan.dataset == name}):
            log.warning(
                "%s: %d participants of its split list have no scan: %s", name, len(unknown), ", ".join(unknown[:5])
            )
    for scan in scans:
        if scan.dataset in lists:
            split = lists[scan.dataset].get(scan.participant)
            where = f"datasets.{scan.dataset}.split_list"
        else:
            split = "test" if datasets[scan.dataset].use == "test" else None
            where = f"datasets.{scan.dataset}.use"
        if split is None or not scan.included:
            continue
        if fixed.get(scan.person, (split, ""))[0] != split:
            other, elsewhere = fixed[scan.person]
            raise ConfigError(f"config: {where} says {split} for {scan.person}, {elsewhere} says {other}")
        fixed[scan.person] = (split, where)
    return fixed


def _split_list(name: str, path: Path) -> dict[str, str]:
    """Participant label -> split, from a TSV with the columns participant and split."""
    table = read_foreign_table(path)
    if not {"participant", "split"} <= set(table.columns):
        raise ConfigError(f"config: datasets.{name}.split_list: {path.name} needs the columns participant and split")
    if wrong := set(table["split"]) - set(SPLITS):
        raise ConfigError(f"config: datasets.{name}.split_list: {sorted(wrong)} are none of {', '.join(SPLITS)}")
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, participant, split in zip(table.attrs["lines"], table["participant"], table["split"], strict=True):
        label = bids_label(participant)
        if label in found:
            raise ConfigError(
                f"config: datasets.{name}.split_list: {path} names sub-{label} twice: line {lines[label]} says "
                f"{found[label]}, line {line} says {split}; leave one"
            )
        found[label], lines[label] = split, line
    return found


def _strata(scans: Iterable[Scan]) -> dict[str, str]:
    """Person -> stratum, for persons with an annotated scan: that of their most fully annotated one."""
    strata: dict[str, tuple[int, str]] = {}
    for scan in scans:
        if scan.included and scan.annotated:
            stratum = (len(scan.annotated), f"{scan.dataset} {' '.join(scan.annotated)}")
            strata[scan.person] = max(strata.get(scan.person, stratum), stratum)
    return {person: stratum for person, (_, stratum) in strata.items()}


def _order(seed: int, person: str) -> str:
    return hashlib.sha256(f"{seed} {person}".encode()).hexdigest()
