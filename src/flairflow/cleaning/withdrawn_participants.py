"""`flairflow purge`: what was made of participants who withdrew goes; the models that learnt from them are named."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flairflow.cleaning.known_participants import check_known, note_purged
from flairflow.cohort.withdrawn import WITHDREW, listed, withdrawn_participants
from flairflow.config.models import Config
from flairflow.errors import ConfigError, in_short
from flairflow.files import atomic
from flairflow.paths import Results
from flairflow.shards.lock import held
from flairflow.tables import read_table, records

log = logging.getLogger(__name__)

# A scan id (dataset_sub-label...) or a path (dataset/sub-label/...). Labels end where letters and digits do.
OF_PARTICIPANT = re.compile(r"(?<![A-Za-z0-9])([A-Za-z][A-Za-z0-9]*)[_/]sub-([A-Za-z0-9]+)")
LOCKS = Path(".snakemake") / "locks"


@dataclass
class Purged:
    """What was removed, and the model folders whose training or validation scans were among it, with their number."""

    files: int = 0
    bytes: int = 0
    rows: int = 0
    models: dict[Path, int] = field(default_factory=dict)


def purge(config: Config, results: Results) -> Purged:
    """Remove from the results all files, rows and lines of participants on the datasets' lists of withdrawn ones.

    Participants are known by names of folders and by scan ids, so it does not matter whether the workflow ran since a
    list grew. Text files change whole or not at all. Nothing outside of the results folder is touched, no link is
    followed. Raises ConfigError, before anything is removed, when no list is configured, when a list has a name that
    nobody here has or had (a misspelt one would else leave all in place), or while a run of snakemake or a job works on
    the results.
    """
    lists = {name: dataset.withdrawn for name, dataset in config.datasets.items() if dataset.withdrawn}
    if not lists:
        raise ConfigError(
            "config: no dataset has a list of withdrawn participants; name one under datasets.<name>.withdrawn"
        )
    if any(LOCKS.glob("*")):
        raise ConfigError(
            f"{LOCKS}: a run of snakemake works on these results; wait for its end (was it killed: snakemake --unlock)"
        )
    state = results.root / "state"
    if working := sorted(str(path.relative_to(state).with_suffix("")) for path in results.locks() if held(path)):
        raise ConfigError(f"jobs of a run that was killed still work on {in_short(working)}; wait for their end")
    people = _Withdrawn(lists, results)
    check_known(config, results, {name: listed(name, path) for name, path in lists.items()})
    purged = Purged()
    learnt = results.learnt_scans()
    for model, record in learnt.items():
        if count := sum(map(people.named_in, json.loads(record.read_text(encoding="utf-8")))):
            purged.models[model] = count
            log.warning("%s learnt from, or was selected on, %d scans of participants who withdrew", model, count)
    others = [path for path in _of_others(results.root, people, purged) if path not in learnt.values()]
    # Last the records that say which models to name: should this be interrupted, the next purge still knows.
    for path in [*others, *learnt.values()]:
        _clean(path, people, results, purged)
    note_purged(results, people.participants)
    log.info("removed %d files (%.3g MB) and %d rows", purged.files, purged.bytes / 1e6, purged.rows)
    if purged.files or purged.rows:
        log.info(
            "the next run of snakemake makes tables and report again%s",
            ", and trains again those of the models that it uses" * bool(purged.models),
        )
    return purged


class _Withdrawn:
    """Who withdrew, and what of the results is about them."""

    def __init__(self, lists: Mapping[str, Path], results: Results) -> None:
        self.participants = {name: withdrawn_participants(name, path) for name, path in lists.items()}
        # A second before the first of the lists.
        self.since = min(path.stat().st_mtime for path in lists.values()) - 1
        # Names that the participants' own label does not show: files of manifests, persons of a person column.
        self.files: set[tuple[str, str]] = set()
        self.persons: set[str] = set()
        if results.cohort.exists():
            others = set()
            for row in records(read_table(results.cohort, text=True)):
                if row["participant"] in self.participants.get(row["dataset"], ()):
                    self.persons.add(row["person"])
                    self.files |= {(row["dataset"], value) for value in row.values()}
                else:
                    others.add(row["person"])
            self.persons -= others

    def named_in(self, text: str) -> bool:
        """Whether a scan of theirs, or a path with their folder, is named in a text."""
        return any(label in self.participants.get(dataset, ()) for dataset, label in OF_PARTICIPANT.findall(text))

    def checked(self, line: str) -> bool:
        """Whether a line of the file checks is about a file of theirs, or may be: a kill cut it short."""
        try:
            dataset, path, _ = json.loads(line)
        except ValueError:
            return True
        return (dataset, path) in self.files or any(
            label in self.participants.get(dataset, ()) for label in re.findall(r"sub-([A-Za-z0-9]+)", path)
        )

    def assigned(self, line: str) -> bool:
        """Whether a row of assignments is of a scan or of a person of theirs."""
        return self.named_in(line) or line.split("\t")[0] in self.persons

    def used(self, line: str) -> bool:
        """Whether a row of the cohort table is of a scan of theirs that is not excluded for that reason."""
        return self.named_in(line) and WITHDREW not in line


def _of_others(root: Path, people: _Withdrawn, purged: Purged) -> list[Path]:
    """The files below a folder that may name someone; folders and files of participants who withdrew are removed."""
    others = []
    for place, folders, files in os.walk(root):
        folder = Path(place)
        for name in list(folders):
            path = folder / name
            if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
                log.warning("%s is a link to elsewhere: what is there was not looked at", path)
            if name.startswith("sub-"):
                # No folder of a participant names another one.
                folders.remove(name)
                if people.named_in(f"{folder.name}/{name}"):
                    _remove(path, purged)
        for name in files:
            path = folder / name
            if people.named_in(name):
                _remove(path, purged)
            elif not path.is_symlink():
                others.append(path)
    return others


def _clean(path: Path, people: _Withdrawn, results: Results, purged: Purged) -> None:
    """Take out of a text file what names a participant who withdrew."""
    about = {
        results.cohort: people.used,
        results.file_checks: people.checked,
        results.split_assignments: people.assigned,
        results.shard_assignments: people.assigned,
    }.get(path, people.named_in)
    if path.suffix in (".tsv", ".csv", ".jsonl", ".begun", ".log"):
        if _drop_lines(path, about, purged):
            if path == results.cohort:
                # Older than the lists: so the next run indexes again, whatever their time.
                os.utime(path, (people.since, people.since))
            elif any(folder in path.parents for folder in results.record_folders):
                _remove_without_rows(path)
    elif path.suffix == ".json" and path != results.config:
        _drop_entries(path, about, purged)
    elif path.suffix in (".html", ".txt", ".svg", ".png") and about(_read(path)):
        # The report, and figures that show them, as their captions within say: made again by the next run.
        _remove(path, purged)


def _drop_lines(path: Path, about: Callable[[str], bool], purged: Purged) -> int:
    lines = _read(path).splitlines(keepends=True)
    kept = [line for line in lines if not about(line)]
    if dropped := len(lines) - len(kept):
        _write(path, "".join(kept))
        purged.rows += dropped
    return dropped


def _drop_entries(path: Path, about: Callable[[str], bool], purged: Purged) -> None:
    text = _read(path)
    if not about(text):
        return

    def stays(value: Any) -> bool:
        gone = isinstance(value, str) and about(value)
        purged.rows += gone
        return not gone

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(entry) for key, entry in value.items() if stays(key) and stays(entry)}
        return [without(entry) for entry in value if stays(entry)] if isinstance(value, list) else value

    _write(path, json.dumps(without(json.loads(text)), indent=2) + "\n")


def _remove(path: Path, purged: Purged) -> None:
    if path.is_dir() and not path.is_symlink():
        for part in path.rglob("*"):
            if not part.is_dir() or part.is_symlink():
                purged.files += 1
                purged.bytes += part.lstat().st_size
        shutil.rmtree(path)
    else:
        purged.files += 1
        purged.bytes += path.lstat().st_size
        path.unlink()


def _remove_without_rows(path: Path) -> None:
    """A ledger, record or list of a shard in which nobody is left."""
    if len(_read(path).splitlines()) <= (path.suffix == ".tsv"):
        path.unlink()


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _write(path: Path, text: str) -> None:
    with atomic(path) as partial:
        partial.write_bytes(text.encode("utf-8", "surrogateescape"))
