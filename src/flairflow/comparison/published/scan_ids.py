"""Whose scan it is: from the ids of others, `DATASET_SUBJECT`, to the names that flairflow gives its scans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flairflow.cohort.manifest_table import bids_label
from flairflow.errors import ConfigError
from flairflow.tables import read_foreign_table, records


@dataclass(frozen=True)
class Identity:
    """A scan of a dataset: its id in cohort.tsv, and the person, by whom scans are grouped, in tables/metrics.tsv."""

    scan: str
    dataset: str
    person: str


def identify(text: str, renamed: Mapping[str, str]) -> Identity:
    """The scan that an id of others stands for.

    renamed : flairflow's names for datasets whose ids begin otherwise, by that beginning.

    What stands before the first `_` is the dataset, the rest the participant, of which letters and digits stay (BIDS
    allows no others): `D3_D3_ED_166` is `D3_sub-D3ED166`. An id that flairflow itself gave, `D3_sub-01_ses-2`, stays.
    Raises ConfigError where the id has no such form.
    """
    beginning, _, rest = text.partition("_")
    dataset = renamed.get(beginning, beginning)
    label = bids_label(rest.split("_")[0] if rest.startswith("sub-") else rest)
    if not label or not beginning.isalnum():
        raise ConfigError(
            f"{text!r}: an id must be DATASET_SUBJECT, the dataset of letters and digits; rename it, or give the "
            "columns dataset and participant (of a TSV), or a table of ids"
        )
    person = f"{dataset}_sub-{label}"
    return Identity(f"{dataset}_{rest}" if rest.startswith("sub-") else person, dataset, person)


def named(dataset: str, participant: str, scan: str) -> Identity:
    """The scan of a dataset and participant that are given; of the scan's own id only one that flairflow gave stays."""
    person = f"{dataset}_sub-{bids_label(participant)}"
    return Identity(scan if f"{scan}_".startswith(f"{person}_") else person, dataset, person)


def read_ids(paths: Sequence[Path]) -> dict[str, Identity]:
    """Scans by the ids of others, from tables with the columns id, dataset and participant (`import-splits` writes
    such; edit the participants there where a dataset's labels are others). Raises ConfigError for an id twice."""
    found: dict[str, Identity] = {}
    for path in paths:
        table = read_foreign_table(path)
        if missing := {"id", "dataset", "participant"} - set(table.columns):
            raise ConfigError(
                f"{path}: has no column {', '.join(sorted(missing))}; it needs id, dataset and participant"
            )
        for row in records(table):
            identity = named(row["dataset"], row["participant"], row["id"])
            if found.setdefault(row["id"], identity) != identity:
                raise ConfigError(f"{path}: {row['id']} stands twice, for different scans; leave one out")
    return found


def read_list(path: Path) -> list[str]:
    """The ids of a list, one a line. Raises ConfigError where the file cannot be read or an id stands twice."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a list of ids, one a line ({error})") from None
    ids = [line.strip() for line in lines if line.strip()]
    if twice := repeated(ids):
        raise ConfigError(f"{path}: stands twice: {', '.join(twice)}; leave one out")
    return ids


def repeated(names: Iterable[str]) -> list[str]:
    """The names that stand there more than once, each once."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    return list(twice)


def read_renamed(texts: Sequence[str]) -> dict[str, str]:
    """`OLD=NEW` as a mapping. Raises ConfigError for what has another form, or a new name that is no dataset's."""
    renamed = {}
    for text in texts:
        old, _, new = text.partition("=")
        if not (old.isalnum() and new.isalnum()):
            raise ConfigError(f"--rename: {text!r} must be OLD=NEW, both of letters and digits")
        renamed[old] = new
    return renamed
