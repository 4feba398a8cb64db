"""The scans of an archive that is not BIDS, from a table."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from flairflow.cohort.annotation import mask_of_file, mask_without_file, no_image_below, person_of, warn_of_unused
from flairflow.cohort.scan import Mask, Scan
from flairflow.config.models import Config, Dataset
from flairflow.errors import ConfigError
from flairflow.tables import read_foreign_table, records, whole

log = logging.getLogger(__name__)


def scans_of_manifest(name: str, dataset: Dataset, config: Config) -> list[Scan]:
    """Scans of an archive that is not BIDS. Columns: participant, [session], [run], [person], a column per sequence,
    mask_<label>, [ignore_<label>], [<the sequence a mask was drawn on>], [brain_mask]; separated by tabs, commas or
    semicolons; paths relative to the root, or absolute. A file that stands for two scans is none's."""
    assert dataset.manifest is not None
    if not dataset.manifest.is_file():
        raise ConfigError(f"config: datasets.{name}.manifest: {dataset.manifest} is not a file")
    table = read_foreign_table(dataset.manifest)
    if twice := table.attrs["twice"]:
        raise ConfigError(f"{dataset.manifest}: has two columns {', '.join(twice)}; leave one of each")
    for needed in ("participant", config.reference):
        if needed not in table.columns:
            raise ConfigError(
                f"config: datasets.{name}.manifest: {dataset.manifest.name} has no column {needed!r}, "
                f"but {', '.join(map(repr, table.columns))}"
            )
    _warn_of_columns(name, dataset, config, table.columns)
    rows = list(zip(table.attrs["lines"], records(table), strict=True))
    warn_of_unused(name, dataset, [row for _, row in rows], dataset.manifest.name)
    scans: dict[str, Scan] = {}
    labels_seen: dict[str, str] = {}
    lines: dict[str, list[int]] = {}
    for line, row in rows:
        participant, session, run = (bids_label(row.get(key, "")) for key in ("participant", "session", "run"))
        parts = [f"sub-{participant}", f"ses-{session}" * bool(session), f"run-{run}" * bool(run)]
        identity = f"{name}_" + "_".join(part for part in parts if part)
        problems = []
        if not participant:
            problems.append(f"line {line} of the manifest has no participant")
        if labels_seen.setdefault(participant, row["participant"]) != row["participant"]:
            problems.append(
                f"participants {labels_seen[participant]!r} and {row['participant']!r} get the same BIDS label"
            )
        if identity in scans:
            problems.append(f"stands twice in the manifest, again in line {line} (add a column 'run')")
            identity = f"{identity}_line-{line}"

        def find(key: str, row: Mapping[str, str] = row, problems: list[str] = problems) -> str:
            path, problem = _inside(row.get(key, ""), dataset.root)
            if problem:
                problems.append(f"manifest: {key}: {problem}")
            return path

        masks = {label: Mask() for label in config.labels}
        for label, source in dataset.labels.items():
            path = find(f"mask_{label}")
            if not path:
                masks[label] = mask_without_file(source, row)
                continue
            drawn_on = find(source.drawn_on or "")
            if problem := no_image_below(source, path, drawn_on, config.reference):
                problems.append(problem)
            masks[label] = mask_of_file(source, path, drawn_on, find(f"ignore_{label}"), config.reference)
        images = {sequence: find(sequence) for sequence in config.images}
        if images[config.reference]:
            lines.setdefault(images[config.reference], []).append(line)
        scans[identity] = Scan(
            scan=identity,
            dataset=name,
            participant=participant,
            session=session,
            person=person_of(name, participant, row, dataset),
            images=images,
            masks=masks,
            brain_mask=find("brain_mask"),
            reason="; ".join(problems),
        )
    shared = {path: found for path, found in lines.items() if len(found) > 1}
    return [_alone(scan, shared.get(scan.images[config.reference])) for scan in scans.values()]


def _alone(scan: Scan, lines: Sequence[int] | None) -> Scan:
    if not lines:
        return scan
    return scan.excluded(f"one {next(iter(scan.images))} for several scans: lines {' and '.join(map(str, lines))}")


def _inside(path: str, root: Path) -> tuple[str, str]:
    """A path of a manifest, relative to the root where it lies in it, or "" and what the problem is."""
    if ".." in PurePosixPath(path).parts:
        return "", f"{path!r} must lie inside the dataset's root, or be an absolute path"
    for above in (root, root.absolute(), root.resolve()):
        if path.startswith("/") and PurePosixPath(path).is_relative_to(above):
            return str(PurePosixPath(path).relative_to(above)), ""
    return str(PurePosixPath(path)) if path else "", ""


def _warn_of_columns(name: str, dataset: Dataset, config: Config, columns: Iterable[str]) -> None:
    wanted = [*config.images[1:], *(f"mask_{label}" for label in dataset.labels)]
    wanted += [source.drawn_on for source in dataset.labels.values() if source.drawn_on]
    if lost := sorted(set(wanted) - set(columns)):
        log.warning("datasets.%s.manifest: there is no column %s", name, ", ".join(lost))


def bids_label(text: str) -> str:
    """What BIDS allows in a label: letters and digits. `MSS3_ED_166` becomes `MSS3ED166`."""
    return re.sub(r"[^A-Za-z0-9]", "", whole(text).removeprefix("sub-").removeprefix("ses-"))
