"""Results belong to one cohort: what was made of scans that are no longer in it is moved aside, and back when they
return."""

from __future__ import annotations

import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from flairflow.cohort.index import read_scans
from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.files import write_text
from flairflow.paths import Results
from flairflow.shards.files_kept import files_of, recorded_scans
from flairflow.tables import Column, column, read_table, records, to_tsv, write_table

log = logging.getLogger(__name__)

COLUMNS: dict[str, Column] = {
    "scan": column("Scan id, as it was in cohort.tsv"),
    "stage": column("Stage that wrote the files; n/a: there are none"),
    "reason": column("Why the scan is not in the cohort, or what else has its name now"),
    "files": column("Number of files that were moved"),
    "folder": column("Folder below this one to which they were moved, each with its path in the results folder"),
    "since": column("When that was, UTC"),
    "fingerprint": column("Of what the files were made of and how (column fingerprint of ledgers)"),
    "digest": column("Of the contents of the scan's own files (column digest of cohort.tsv); n/a: not known"),
}

EXCLUDED = "excluded: "


@dataclass(frozen=True)
class Left:
    """A row of the table of what was moved aside: of one scan by one stage."""

    scan: str
    stage: str
    reason: str
    files: str
    folder: str
    since: str
    fingerprint: str
    digest: str


def set_aside(config: Config, results: Results) -> None:
    """Compare what the results hold with the cohort that was just indexed.

    Files of scans that are not in it (any more), or whose dataset has another root and other contents than at the last
    index, are moved to `aside/<time>/`; those of scans that came back as they were are moved back. `aside/left.tsv`
    lists what was moved, the log counts it, by dataset. Nothing is deleted but ledgers and lists of shards in which no
    scan is left. Where no scan at all can be used nothing is moved: more likely the archive is not mounted.
    """
    scans = {scan.scan: scan for scan in read_scans(results.cohort, config.labels, config.images)}
    if not any(scan.included for scan in scans.values()):
        return
    roots = {name: dataset.root.as_posix() for name, dataset in config.datasets.items()}
    before = _last(results)
    reasons = _reasons(scans, before, roots)
    _warn_of_other_archives(scans, before, roots)
    now = datetime.now(UTC)
    folder = results.aside / now.strftime("%Y-%m-%dT%H%M%SZ")
    listed = {(left.scan, left.stage, left.fingerprint): left for left in read_left(results)}
    moved: Counter[str] = Counter()
    back: Counter[str] = Counter()
    for stage, _, row in recorded_scans(results):
        scan, key = scans.get(row.scan), (row.scan, stage, row.fingerprint)
        if scan and scan.included and row.scan not in reasons:
            if (left := listed.get(key)) and left.digest in ("", scan.digest):
                back[scan.dataset] += _bring_back(results.aside / left.folder, row.files, results)
                del listed[key]
        elif files := files_of(row, results):
            for path in files:
                _move(path, folder / path.relative_to(results.root), results.root)
            why = reasons.get(row.scan) or _why(row.scan, scans, roots)
            digest = before[row.scan][1] if row.scan in before else ""
            about = (folder.name, now.isoformat(timespec="seconds"), row.fingerprint, digest)
            listed[key] = Left(row.scan, stage, why, str(len(files)), *about)
            moved[row.scan.split("_")[0]] += len(files)
    _note(listed, scans, before, reasons, roots, now, results)
    _forget_empty_shards(results, {scan.shard for scan in scans.values() if scan.included})
    for dataset, count in moved.items():
        gone = len({left.scan for left in listed.values() if left.folder == folder.name and _of(left.scan) == dataset})
        log.warning(
            "%s: %d scans are no longer in the cohort: the %d files made of them were moved to %s; %s lists them",
            dataset,
            gone,
            count,
            folder,
            results.left,
        )
    for dataset, count in back.items():
        log.info("%s: %d files of scans that came back were moved back", dataset, count)


def read_left(results: Results) -> list[Left]:
    """What the table of what was moved aside lists; nothing where there is none."""
    if not results.left.exists():
        return []
    return [Left(**{name: row[name] for name in COLUMNS}) for row in records(read_table(results.left, text=True))]


def read_gone(results: Results) -> dict[str, str]:
    """Scans that are no longer in the cohort, nor excluded from it, with the reason."""
    return {left.scan: left.reason for left in read_left(results) if not left.reason.startswith(EXCLUDED)}


def _of(scan: str) -> str:
    return scan.split("_", 1)[0]


def _last(results: Results) -> dict[str, tuple[str, str]]:
    """Root of its dataset and digest by scan, of those that the last index included."""
    if not results.last_index.exists():
        return {}
    rows = records(read_table(results.last_index, text=True))
    return {row["scan"]: (row["root"], row["digest"]) for row in rows}


def _reasons(
    scans: Mapping[str, Scan], before: Mapping[str, tuple[str, str]], roots: Mapping[str, str]
) -> dict[str, str]:
    """Scans of the cohort that are others than those that had their ids at the last index."""
    return {
        name: f"another scan has this name now: its dataset was at {root}"
        for name, (root, digest) in before.items()
        if (scan := scans.get(name)) and scan.included and root != roots[scan.dataset] and digest != scan.digest
    }


def _why(scan: str, scans: Mapping[str, Scan], roots: Mapping[str, str]) -> str:
    if scan in scans:
        return f"{EXCLUDED}{scans[scan].reason}"
    root = roots.get(_of(scan))
    return f"no longer in {root}" if root else f"no dataset {_of(scan)} in the configuration"


def _warn_of_other_archives(
    scans: Mapping[str, Scan], before: Mapping[str, tuple[str, str]], roots: Mapping[str, str]
) -> None:
    had: dict[str, list[str]] = defaultdict(list)
    for name in before:
        had[_of(name)].append(name)
    for dataset, names in had.items():
        if dataset not in roots:
            log.warning("%s: is no dataset of the configuration any more, and had %d scans", dataset, len(names))
            continue
        there = [name for name in names if name in scans and scans[name].included]
        same = sum(scans[name].digest == before[name][1] for name in there)
        root = before[names[0]][0]
        if root != roots[dataset]:
            moved = f"{dataset}: its root was {root} and is {roots[dataset]} now"
            if same == len(names):
                log.info("%s; all %d scans are there, and are the same", moved, same)
            else:
                log.warning(
                    "%s; of the %d scans that it had %d are there with the same contents. If this is another archive "
                    "give it a name of its own",
                    moved,
                    len(names),
                    same,
                )
        elif len(there) < len(names) / 2:
            log.warning("%s: only %d of its %d scans are left: is %s whole?", dataset, len(there), len(names), root)


def _note(
    listed: dict[tuple[str, str, str], Left],
    scans: Mapping[str, Scan],
    before: Mapping[str, tuple[str, str]],
    reasons: Mapping[str, str],
    roots: Mapping[str, str],
    now: datetime,
    results: Results,
) -> None:
    """Write the table of what was moved aside, and for the next index what this one included."""
    import pandas as pd

    included = {name: scan for name, scan in scans.items() if scan.included}
    of_files = {left.scan for left in listed.values() if left.stage}
    for name in before.keys() - included.keys() - of_files:
        if (name, "", "") not in listed:
            why, since = _why(name, scans, roots), now.isoformat(timespec="seconds")
            listed[name, "", ""] = Left(name, "", why, "0", "", since, "", before[name][1])
    rows = [left for left in listed.values() if left.stage or (left.scan not in included and left.scan not in of_files)]
    if rows or results.left.exists():
        table = pd.DataFrame([asdict(left) for left in sorted(rows, key=lambda left: (left.scan, left.since))])
        write_table(results.left, table.reindex(columns=list(COLUMNS)).replace("", None), COLUMNS)
    last = [(scan.scan, roots[scan.dataset], scan.digest) for scan in included.values()]
    text = to_tsv(pd.DataFrame(last, columns=["scan", "root", "digest"]))
    if not results.last_index.exists() or results.last_index.read_text(encoding="utf-8") != text:
        write_text(results.last_index, text)


def _move(path: Path, place: Path, root: Path) -> None:
    """Move a file, and with the last file of a dataset what describes that; folders that are left empty go."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, place)
    for folder in path.parents:
        if folder == root:
            break
        if any(folder.iterdir()):
            if (folder / "dataset_description.json").exists() and not any(entry.is_dir() for entry in folder.iterdir()):
                for file in list(folder.iterdir()):
                    _move(file, place.parents[len(path.relative_to(folder).parts) - 1] / file.name, root)
            break
        folder.rmdir()


def _bring_back(folder: Path, files: Mapping[str, str], results: Results) -> int:
    """Move the files of a row, with their sidecars, back to their place, where nothing has taken it; how many."""
    count = 0
    for name in files.values():
        stem = Path(name).name.removesuffix(".gz").removesuffix(".nii")
        for path in (folder / name, *((folder / name).with_name(f"{stem}.{kind}") for kind in ("json", "tsv"))):
            place = results.root / path.relative_to(folder)
            if path.is_file() and not place.exists():
                _move(path, place, results.root)
                count += 1
    return count


def _forget_empty_shards(results: Results, shards: set[str]) -> None:
    """Remove ledgers and lists of shards that no scan is in: they would name files that are gone. Both are made again
    when a scan comes back."""
    for folder in (results.shard_list("x").parent, results.root / "ledgers"):
        for path in folder.rglob("*.tsv"):
            if path.stem not in shards:
                path.unlink()
