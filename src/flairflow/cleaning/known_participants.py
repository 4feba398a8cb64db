"""Which participants there are or were: a name on a list of withdrawn ones that nobody has is misspelt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from flairflow.cohort.manifest_table import bids_label
from flairflow.config.models import Config
from flairflow.errors import ConfigError, in_short
from flairflow.files import write_text
from flairflow.paths import Results
from flairflow.tables import read_foreign_table, read_table

_OF_SCAN = re.compile(r"^([A-Za-z][A-Za-z0-9]*)_sub-([A-Za-z0-9]+)")


def check_known(config: Config, results: Results, listed: Mapping[str, Sequence[str]]) -> None:
    """Raises ConfigError naming those of the listed participants (by dataset, without `sub-`, in the list's order) that
    are neither in the dataset, nor in the results, nor were purged before."""
    known = {(name, label) for name in listed for label in _in_dataset(config, name)} | set(_in_tables(results))
    before = _noted(results)
    faults = []
    for name, labels in listed.items():
        others = [label for dataset, label in known if dataset == name]
        unknown = [x for x in labels if (name, x) not in known and _hash(name, x) not in before]
        if len(labels) > 1 and unknown[:1] == [labels[0]] and labels[0].isalpha():
            # The heading of a table.
            unknown = unknown[1:]
        for label in unknown:
            if not any(path.parent.name == name for path in results.root.rglob(f"sub-{label}")):
                near = get_close_matches(label, others, 1)
                faults.append(f"{name}: {label!r}" + (f" (is {near[0]!r} meant?)" if near else ""))
    if faults:
        raise ConfigError(
            f"withdrawn: nobody is known by {len(faults)} of the names listed, so nothing was removed: "
            f"{in_short(faults)}; correct the lists, or take out whom this archive never had"
        )


def note_purged(results: Results, listed: Mapping[str, Iterable[str]]) -> None:
    """Remember, by hashes alone, whom purge knows: they stay on the lists when nothing else of them is left."""
    before = _noted(results)
    hashes = before | {_hash(name, label) for name, labels in listed.items() for label in labels}
    if hashes != before:
        write_text(results.purged, "\n".join(sorted(hashes)) + "\n")


def _noted(results: Results) -> set[str]:
    return set(results.purged.read_text(encoding="utf-8").split()) if results.purged.exists() else set()


def _in_dataset(config: Config, name: str) -> Iterator[str]:
    dataset = config.datasets[name]
    if dataset.manifest and dataset.manifest.is_file():
        table = read_foreign_table(dataset.manifest)
        yield from map(bids_label, table["participant"] if "participant" in table.columns else ())
    elif dataset.root.is_dir():
        yield from (bids_label(path.name) for path in dataset.root.glob("sub-*"))


def _in_tables(results: Results) -> Iterator[tuple[str, str]]:
    for path, column in ((results.cohort, "scan"), (results.shard_assignments, "name")):
        if path.exists():
            for scan in read_table(path, text=True)[column]:
                if found := _OF_SCAN.match(str(scan)):
                    yield found[1], found[2]


def _hash(name: str, label: str) -> str:
    return hashlib.sha256(f"{name} {label}".encode()).hexdigest()[:16]
