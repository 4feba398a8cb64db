"""The scans of a BIDS dataset, by the names of its files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from flairflow.cohort.annotation import drawn_elsewhere, mask_of_file, mask_without_file, person_of
from flairflow.cohort.scan import Mask, Scan
from flairflow.config.models import Config, Dataset, FilePattern, LabelSource
from flairflow.errors import ConfigError
from flairflow.tables import read_foreign_table, records

Entities = dict[str, str]

# Entities that tell images of one sequence in one session apart.
TELLING_APART = ("acq", "rec", "run", "dir", "echo", "part", "ce")


def scans_by_name(name: str, dataset: Dataset, config: Config) -> list[Scan]:
    """The scans of a BIDS dataset: one per image of the reference sequence, the masks found by their names.

    Raises ConfigError when participants.tsv is not what the configuration takes it for.
    """
    files = _Files(dataset.root)
    participants = _participants(name, dataset)
    scans = []
    for path in files.matching(FilePattern(suffix=config.reference, entities=dataset.select)):
        entities = files.entities[path]
        about = participants.get(entities["sub"], {})
        problems = files.strays(path, config.reference, dataset.labels)

        def find(
            pattern: FilePattern,
            beside: str = path,
            sequence: bool = False,
            problems: list[str] = problems,
        ) -> str:
            found, problem = files.companion(beside, pattern, sequence)
            if problem:
                problems.append(problem)
            return found

        images = {config.reference: path}
        for sequence in config.images[1:]:
            images[sequence] = find(FilePattern(suffix=sequence), sequence=True)
        masks = {label: Mask() for label in config.labels}
        for label, source in dataset.labels.items():
            # A mask drawn on another sequence has that one's acquisition and run in its name, not the reference's.
            mask = find(source, sequence=drawn_elsewhere(source, config.reference))
            if not mask:
                masks[label] = mask_without_file(source, about)
                continue
            drawn_on = find(FilePattern(suffix=source.drawn_on or ""), mask, sequence=True)
            ignore = find(source.ignore_mask, mask) if source.ignore_mask else ""
            masks[label] = mask_of_file(source, mask, drawn_on, ignore, config.reference)
        scan = Scan(
            scan=f"{name}_{_stem(path).rsplit('_', 1)[0]}",
            dataset=name,
            participant=entities["sub"],
            session=entities.get("ses", ""),
            person=person_of(name, entities["sub"], about, dataset),
            images=images,
            masks=masks,
            brain_mask=find(dataset.brain_mask) if dataset.brain_mask else "",
            reason="; ".join(problems),
        )
        scans.append(scan)
    return scans


class _Files:
    """The image files of one dataset by participant and session, its derivative folders as they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entities: dict[str, Entities] = {}
        self._groups: dict[str, dict[tuple[str, str], list[str]]] = {}
        self._participants: dict[str, dict[str, list[str]]] = {}

    def matching(self, pattern: FilePattern) -> list[str]:
        groups = self._folder(pattern.folder)
        return [path for paths in groups.values() for path in paths if self._fits(path, pattern)]

    def companion(self, reference: str, pattern: FilePattern, sequence: bool) -> tuple[str, str]:
        """The file of `pattern` that goes with another file: same participant and session, no entity that both have
        but differ in (unless it is of another `sequence`), as many in common as possible. Returns its path, or "" and
        what the problem is, if any."""
        own = self.entities[reference]
        scored = []
        for path in self._folder(pattern.folder).get((own["sub"], own.get("ses", "")), []):
            # Another sequence has acquisitions and runs of its own; a mask of this image does not differ from it.
            if self._fits(path, pattern) and (sequence or self._agree(path, reference)):
                same = sum(self.entities[path].get(key) == own[key] for key in TELLING_APART if key in own)
                scored.append((same, path))
        best = sorted(path for score, path in scored if score == max(scored)[0])
        if len(best) > 1 and (isinstance(pattern, LabelSource) or not sequence):
            names = " and ".join(PurePosixPath(path).name for path in best[:2])
            return "", f"more than one file fits {pattern.suffix}: {names}; narrow it down under 'entities'"
        return (best[-1], "") if best else ("", "")

    def strays(self, reference: str, suffix: str, labels: Mapping[str, LabelSource]) -> list[str]:
        """Masks of the participant that agree with none of its reference images: a slip in a name must not turn a known
        mask into an unknown or an empty one. A mask drawn on another sequence must share a session with one."""
        participant, session = self.entities[reference]["sub"], self.entities[reference].get("ses", "")
        strays = []
        for source in labels.values():
            for path in self._of_participant(source.folder, participant):
                if not self._fits(path, source):
                    continue
                own = self.entities[path].get("ses", "")
                images = [
                    image
                    for image in self._folder("").get((participant, own), [])
                    if self._fits(image, FilePattern(suffix=suffix))
                ]
                agree = images if source.drawn_on not in (None, suffix) else [x for x in images if self._agree(path, x)]
                if not agree and (own == session or not images):
                    strays.append(f"{PurePosixPath(path).name}: agrees with no {suffix} image of its session")
        return strays

    def _of_participant(self, folder: str, participant: str) -> list[str]:
        self._folder(folder)
        return self._participants[folder].get(participant, [])

    def _agree(self, path: str, other: str) -> bool:
        theirs, own = self.entities[path], self.entities[other]
        return all(theirs[key] == own[key] for key in TELLING_APART if key in theirs and key in own)

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
            self._participants[folder] = defaultdict(list)
            for (participant, _), paths in groups.items():
                self._participants[folder][participant] += paths
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


def _participants(name: str, dataset: Dataset) -> dict[str, dict[str, str]]:
    """participants.tsv by participant label, with or without its `sub-`; empty where there is none.

    Raises ConfigError when it cannot be read or lacks a column that the configuration names.
    """
    path = dataset.root / "participants.tsv"
    wanted = {column for source in dataset.labels.values() for column in source.none_where}
    wanted |= {dataset.person_column} if dataset.person_column else set()
    if not path.is_file() and not wanted:
        return {}
    table = read_foreign_table(path)
    if missing := sorted(wanted - set(table.columns)):
        raise ConfigError(f"config: datasets.{name}: {path} has no column {', '.join(missing)}")
    if "participant_id" not in table.columns:
        return {}
    return {row["participant_id"].removeprefix("sub-"): row for row in records(table)}
