"""What the index found: the shards with their scans, and the scans that were excluded."""

from __future__ import annotations

from dataclasses import dataclass

from flairflow.errors import ConfigError
from flairflow.paths import Results
from flairflow.status.file_cache import Reader, table_lines, table_rows


@dataclass(frozen=True)
class Shard:
    """A shard with how many of its scans have a known mask (annotated), and how many also lack one (incomplete)."""

    name: str
    split: str
    scans: int
    annotated: int
    incomplete: int


@dataclass(frozen=True)
class Cohort:
    """The shards in the order of their table, and the reason by excluded scan."""

    shards: tuple[Shard, ...]
    excluded: dict[str, str]

    @property
    def scans(self) -> int:
        return sum(shard.scans for shard in self.shards)


def read_cohort(results: Results, reader: Reader) -> Cohort | None:
    """The cohort as the last index left it; None before the first one has ended. Raises ConfigError where its tables
    are none."""
    try:
        shards = reader.read(results.shards, _shards)
        scans = reader.read(results.cohort, _scans)
    except (ValueError, KeyError, IndexError):
        raise ConfigError(
            f"{results.cohort} or {results.shards} is damaged: make them again with snakemake -R index"
        ) from None
    if shards is None or scans is None:
        return None
    annotated, incomplete, excluded = scans
    return Cohort(
        tuple(
            Shard(name, split, count, annotated.get(name, 0), incomplete.get(name, 0)) for name, split, count in shards
        ),
        excluded,
    )


def _shards(text: str) -> list[tuple[str, str, int]]:
    return [(row["shard"], row["split"], int(row["scans"])) for row in table_rows(text)]


def _scans(text: str) -> tuple[dict[str, int], dict[str, int], dict[str, str]]:
    """Annotated and incomplete scans by shard, and the reason by excluded scan."""
    annotated: dict[str, int] = {}
    incomplete: dict[str, int] = {}
    excluded: dict[str, str] = {}
    lines = table_lines(text)
    header = next(lines, [])
    scan, status, reason, shard = map(header.index, ("scan", "status", "reason", "shard"))
    annotations = [place for place, name in enumerate(header) if name.startswith("annotation_")]
    for cells in lines:
        if cells[status] == "excluded":
            excluded[cells[scan]] = cells[reason]
            continue
        missing = sum(cells[place] == "missing" for place in annotations)
        if missing < len(annotations):
            name = cells[shard]
            annotated[name] = annotated.get(name, 0) + 1
            incomplete[name] = incomplete.get(name, 0) + (missing > 0)
    return annotated, incomplete, excluded
