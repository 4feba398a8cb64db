"""Which scans and masks a dataset holds, by BIDS names or by a manifest. Nothing is opened here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from flairflow.cohort.scan import Mask, Scan
from flairflow.config.models import Config, Dataset, FilePattern, LabelSource
from flairflow.errors import ConfigError
from flairflow.tables import read_table

Entities = dict[str, str]
TELLING_APART = ("acq", "rec", "run", "dir", "echo", "part", "ce")


def discover(name: str, dataset: Dataset, config: Config) -> list[Scan]:
    """The scans of one dataset, sorted by id: one per reference image, with the masks that go with it.

    A scan whose files cannot be told apart is excluded with a reason. Raises ConfigError when the root or the manifest
    is not there.
    """
    if not dataset.root.is_dir():
        raise ConfigError(f"config: datasets.{name}.root: {dataset.root} is not a folder")
    scans = _from_manifest(name, dataset, config) if dataset.manifest else _from_names(name, dataset, config)
    return sorted(scans, key=lambda scan: scan.scan)


def _from_names(name: str, dataset: Dataset, config: Config) -> list[Scan]:
    files = _Files(dataset.root)
    participants = _participants(dataset.root)
    scans = []
    for path in files.matching(FilePattern(suffix=config.reference, entities=dataset.select)):
        entities = files.entities[path]
        participant, session = entities["sub"], entities.get("ses", "")
        about = participants.get(participant, {})
        problems: list[str] = []

        def find(pattern: FilePattern, sequence: bool = False, path: str = path, problems: list[str] = problems) -> str:
            found, problem = files.companion(path, pattern, sequence)
            if problem:
                problems.append(problem)
            return found

        images = {config.reference: path}
        for sequence in config.images[1:]:
            images[sequence] = find(FilePattern(suffix=sequence), sequence=True)
        scan = Scan(
            scan=f"{name}_{_stem(path).rsplit('_', 1)[0]}",
            dataset=name,
            participant=participant,
            session=session,
            person=_person(name, participant, about, dataset),
            images=images,
            masks={label: _mask(dataset.labels.get(label), find, about, config) for label in config.labels},
            brain_mask=find(dataset.brain_mask) if dataset.brain_mask else "",
            reason="; ".join(problems),
        )
        scans.append(scan)
    return scans


def _mask(source: LabelSource | None, find: Any, about: Mapping[str, str], config: Config) -> Mask:
    if source is None:
        return Mask()
    path = find(source)
    drawn_on = source.drawn_on if source.drawn_on != config.reference else None
    if path:
        return Mask(
            annotation="mask",
            path=path,
            drawn_on=find(FilePattern(suffix=drawn_on), sequence=True) or f"(no {drawn_on} image)" if drawn_on else "",
            values=source.values,
            ignore_values=source.ignore_values,
            ignore_path=find(source.ignore_mask) if source.ignore_mask else "",
        )
    none = source.absent == "none" or any(about.get(key) in values for key, values in source.none_where.items())
    return Mask(annotation="none" if none else "missing")


def _person(name: str, participant: str, about: Mapping[str, str], dataset: Dataset) -> str:
    return about.get(dataset.person_column or "") or f"{name}_sub-{participant}"


class _Files:
    """The image files of one dataset by participant and session, its derivative folders as they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entities: dict[str, Entities] = {}
        self._groups: dict[str, dict[tuple[str, str], list[str]]] = {}

    def matching(self, pattern: FilePattern) -> list[str]:
        groups = self._folder(pattern.folder)
        return [path for paths in groups.values() for path in paths if self._fits(path, pattern)]

    def companion(self, reference: str, pattern: FilePattern, sequence: bool) -> tuple[str, str]:
        """The file of `pattern` that goes with a reference image: same participant and session, no entity that both
        have but differ in (unless it is another `sequence`), as many in common as possible. Returns its path, or ""
        and what the problem is, if any."""
        own = self.entities[reference]
        scored = []
        for path in self._folder(pattern.folder).get((own["sub"], own.get("ses", "")), []):
            theirs = self.entities[path]
            same = [theirs[key] == own[key] for key in TELLING_APART if key in theirs and key in own]
            # Another sequence has acquisitions and runs of its own; a mask of this image does not differ from it.
            if self._fits(path, pattern) and (sequence or all(same)):
                scored.append((sum(same), path))
        best = sorted(path for score, path in scored if score == max(scored)[0])
        if len(best) > 1 and not sequence:
            names = " and ".join(PurePosixPath(path).name for path in best[:2])
            return "", f"more than one file fits {pattern.suffix}: {names}; narrow it down under 'entities'"
        return (best[-1], "") if best else ("", "")

    def _fits(self, path: str, pattern: FilePattern) -> bool:
        entities = self.entities[path]
        return _stem(path).endswith(f"_{pattern.suffix}") and all(
            entities.get(key) == value for key, value in pattern.entities.items()
        )

    def _folder(self, folder: str) -> dict[tuple[str, str], list[str]]:
        if folder not in self._groups:
            groups: dict[tuple[str, str], list[str]] = defaultdict(list)
            for path in _image_files(self.root / folder):
                relative = str(PurePosixPath(folder) / path)
                self.entities[relative] = _entities(relative)
                groups[self.entities[relative]["sub"], self.entities[relative].get("ses", "")].append(relative)
            self._groups[folder] = groups
        return self._groups[folder]


def _image_files(root: Path) -> list[str]:
    """Image files below a BIDS (derivative) dataset, relative to it, sorted."""
    import bids2table

    table = bids2table.index_dataset(root)
    files = zip(table.column("path").to_pylist(), table.column("sub").to_pylist(), strict=True)
    return sorted(path for path, participant in files if participant and path.endswith((".nii", ".nii.gz")))


def _entities(path: str) -> Entities:
    parts = (part.partition("-") for part in _stem(path).split("_"))
    return {key: value for key, dash, value in parts if dash}


def _stem(path: str) -> str:
    return PurePosixPath(path).name.removesuffix(".gz").removesuffix(".nii")


def _participants(root: Path) -> dict[str, dict[str, str]]:
    """participants.tsv by participant label, with or without its `sub-`; empty where there is none."""
    path = root / "participants.tsv"
    if not path.is_file():
        return {}
    rows: Iterable[dict[str, str]] = read_table(path, text=True).to_dict("records")  # type: ignore[assignment]
    return {row.get("participant_id", "").removeprefix("sub-"): row for row in rows}


def _from_manifest(name: str, dataset: Dataset, config: Config) -> list[Scan]:
    """Scans of an archive that is not BIDS. Columns: participant, [session], [run], [person], a column per sequence,
    mask_<label>, [ignore_<label>], [<the sequence a mask was drawn on>], [brain_mask]; paths relative to the root."""
    assert dataset.manifest is not None
    if not dataset.manifest.is_file():
        raise ConfigError(f"config: datasets.{name}.manifest: {dataset.manifest} is not a file")
    table = read_table(dataset.manifest, text=True)
    for needed in ("participant", config.reference):
        if needed not in table.columns:
            raise ConfigError(f"config: datasets.{name}.manifest: {dataset.manifest.name} has no column {needed!r}")
    scans: dict[str, Scan] = {}
    labels_seen: dict[str, str] = {}
    rows: list[dict[str, str]] = table.to_dict("records")  # type: ignore[assignment]
    for row in rows:
        participant, session, run = (_bids_label(row.get(key, "")) for key in ("participant", "session", "run"))
        parts = [f"sub-{participant}", f"ses-{session}" * bool(session), f"run-{run}" * bool(run)]
        identity = f"{name}_" + "_".join(part for part in parts if part)
        problems = []
        if not participant:
            problems.append("manifest row without a participant")
        if labels_seen.setdefault(participant, row["participant"]) != row["participant"]:
            problems.append(
                f"participants {labels_seen[participant]!r} and {row['participant']!r} get the same BIDS label"
            )
        if identity in scans:
            problems.append("stands twice in the manifest (add a column 'run')")
            identity += f"_line-{len(scans) + 2}"

        def find(key: str, row: Mapping[str, str] = row, problems: list[str] = problems) -> str:
            path = row.get(key, "")
            if path.startswith("/") or ".." in PurePosixPath(path).parts:
                problems.append(f"manifest: {key}: {path!r} must lie inside the dataset's root")
                return ""
            return path

        masks = {}
        for label in config.labels:
            source = dataset.labels.get(label)
            columns = {id(source): f"mask_{label}"}
            if source and source.ignore_mask:
                columns[id(source.ignore_mask)] = f"ignore_{label}"

            def by_column(
                pattern: FilePattern, sequence: bool = False, columns: dict[int, str] = columns, find: Any = find
            ) -> str:
                return str(find(pattern.suffix if sequence else columns[id(pattern)]))

            masks[label] = _mask(source, by_column, row, config)
        scans[identity] = Scan(
            scan=identity,
            dataset=name,
            participant=participant,
            session=session,
            person=_person(name, participant, row, dataset),
            images={sequence: find(sequence) for sequence in config.images},
            masks=masks,
            brain_mask=find("brain_mask"),
            reason="; ".join(problems),
        )
    return list(scans.values())


def _bids_label(text: str) -> str:
    """What BIDS allows in a label: letters and digits. `MSS3_ED_166` becomes `MSS3ED166`."""
    return re.sub(r"[^A-Za-z0-9]", "", text.removeprefix("sub-").removeprefix("ses-"))
