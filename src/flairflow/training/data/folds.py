"""Folds of persons, so that a scan can be taught by who has not learnt from it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from flairflow.cohort.scan import Scan


def assign_folds(scans: Sequence[Scan], folds: int, seed: int) -> dict[str, int]:
    """The fold, 0 to `folds` - 1, of each training scan, by scan; all scans of a person are in the same one.

    Each stratum (dataset x labels annotated; a person counts in the first) is dealt out evenly, in an order that only
    the seed and the persons' names decide.
    """
    strata: dict[str, tuple[str, ...]] = {}
    own = [scan for scan in scans if scan.included and scan.split == "train"]
    for scan in own:
        strata.setdefault(scan.person, (scan.dataset, *scan.annotated))
    persons: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for person, stratum in strata.items():
        persons[stratum].append(person)
    fold: dict[str, int] = {}
    for stratum in sorted(persons):
        # Goes on where the last stratum ended, else the first folds would get more of many small strata.
        first = len(fold)
        for number, person in enumerate(sorted(persons[stratum], key=lambda name: _order(seed, name))):
            fold[person] = (first + number) % folds
    return {scan.scan: fold[scan.person] for scan in own}


def _order(seed: int, person: str) -> str:
    return hashlib.sha256(f"{seed} {person}".encode()).hexdigest()
