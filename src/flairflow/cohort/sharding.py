"""Scans in groups of one dataset and one split, each the work of one job; kept once given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flairflow.cohort.scan import SPLITS, Scan
from flairflow.paths import Results
from flairflow.tables import read_table


def assign_shards(scans: Sequence[Scan], size: int, kept: Mapping[str, str]) -> list[Scan]:
    """Give every included scan its shard, `<dataset>-<split>-<number>`.

    kept : shard by scan from earlier runs. New scans fill the last open shard of their dataset and split, then open new
    ones; excluded scans keep their place without being in any list, so that a fixed file finds its shard again.
    """
    sizes = Counter(kept.values())
    last: Counter[str] = Counter()
    for shard in sizes:
        group, number = shard.rsplit("-", 1)
        last[group] = max(last[group], int(number))
    placed = []
    for scan in scans:
        group = f"{scan.dataset}-{scan.split}"
        shard = kept.get(scan.scan, "")
        if scan.included and not shard.startswith(f"{group}-"):
            if not last[group] or sizes[_name(group, last[group])] >= size:
                last[group] += 1
            shard = _name(group, last[group])
            sizes[shard] += 1
        placed.append(replace(scan, shard=shard) if scan.included else scan)
    return placed


def shard_names(results: Results, splits: Sequence[str] = SPLITS, having: str | None = None) -> list[str]:
    """The shards of some splits, as the last index wrote them; `having`: those with a scan that is `annotated` (has a
    known mask), or `incomplete` (also lacks one)."""
    table = read_table(results.shards, text=True)
    table = table[table["split"].isin(list(splits))]
    return list((table[table[having] == "yes"] if having else table)["shard"])


def _name(group: str, number: int) -> str:
    return f"{group}-{number:04d}"
