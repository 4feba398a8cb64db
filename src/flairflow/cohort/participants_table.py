"""What participants.tsv of a BIDS dataset says."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from flairflow.cohort.annotation import warn_of_unused
from flairflow.config.models import Dataset
from flairflow.errors import ConfigError
from flairflow.tables import read_foreign_table, records, same_value, whole

log = logging.getLogger(__name__)


@dataclass
class Participants:
    """Rows by participant label (without `sub-`), and what is wrong with some; both empty where there is no table."""

    rows: dict[str, Mapping[str, str]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def read_participants(name: str, dataset: Dataset) -> Participants:
    """The table of a dataset, with labels as they stand there. Columns and values that are configured and that no row
    has are warned of. Raises ConfigError when the configuration names a column, and the table cannot be read or has it
    not, or twice."""
    path = dataset.root / "participants.tsv"
    wanted = {column for source in dataset.labels.values() for column in source.none_where}
    wanted |= {dataset.person_column} if dataset.person_column else set()
    found = Participants()
    if not path.is_file() and not wanted:
        return found
    try:
        table = read_foreign_table(path)
    except ConfigError as problem:
        if wanted:
            raise
        log.warning("%s: %s", name, problem)
        return found
    if missing := sorted((wanted | {"participant_id"} if wanted else wanted) - set(table.columns)):
        raise ConfigError(f"config: datasets.{name}: {path} has no column {', '.join(missing)}")
    if twice := [column for column in table.attrs["twice"] if column in {*wanted, "participant_id"}]:
        raise ConfigError(f"config: datasets.{name}: {path} has two columns {', '.join(twice)}; leave one")
    if "participant_id" not in table.columns:
        return found
    lines: dict[str, int] = {}
    for line, row in zip(table.attrs["lines"], records(table), strict=True):
        label = whole(row["participant_id"]).removeprefix("sub-")
        first = found.rows.setdefault(label, row)
        # Several visits of one participant may have a row each, but not several answers.
        differ = sorted(column for column in wanted if not same_value(first[column], row[column]))
        if differ:
            found.problems[label] = (
                f"{path.name}: lines {lines[label]} and {line} differ in {', '.join(differ)} of sub-{label}"
            )
        lines.setdefault(label, line)
    found.rows.pop("", None)
    warn_of_unused(name, dataset, found.rows.values(), path.name)
    return found
