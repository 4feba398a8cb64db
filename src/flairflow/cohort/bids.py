"""The scans of a BIDS dataset, by the names of its files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from flairflow.cohort.annotation import (
    drawn_elsewhere,
    mask_of_file,
    mask_without_file,
    no_image_below,
    person_of,
)
from flairflow.cohort.bids_files import Walked, walk
from flairflow.cohort.bids_names import FileName, agree, folder_problem, read_name, same_entity
from flairflow.cohort.image_preference import NOT_MAGNITUDE, look, order, rank, why
from flairflow.cohort.left_out import LeftOut, left_out_files
from flairflow.cohort.participants_table import Participants, read_participants
from flairflow.cohort.scan import Mask, Scan
from flairflow.config.models import Config, Dataset, FilePattern, LabelSource


def scans_by_name(name: str, dataset: Dataset, config: Config) -> tuple[list[Scan], list[LeftOut]]:
    """The scans of a BIDS dataset: one per image of the reference sequence, the masks found by their names; and what
    else lies there.

    Raises ConfigError when participants.tsv is not what the configuration takes it for.
    """
    files = _Files(dataset.root, config.index.prefer)
    participants = read_participants(name, dataset)
    scans: dict[str, Scan] = {}
    for reference in files.references(FilePattern(suffix=config.reference, entities=dataset.select)):
        scan = _scan(_unused(f"{name}_{reference.scan}", scans), reference, files, participants, name, dataset, config)
        scans[scan.scan] = scan
    left_out = [*left_out_files(files.others(), dataset, config), *_folders(files, scans.values(), participants)]
    return list(scans.values()), left_out


def _scan(
    identity: str,
    reference: FileName,
    files: _Files,
    participants: Participants,
    name: str,
    dataset: Dataset,
    config: Config,
) -> Scan:
    participant, session = reference.owner
    about = participants.rows.get(participant, {})
    problems = [f"{reference.name}: {problem}" for problem in (reference.problem, _not_magnitude(reference)) if problem]
    problems += [problem for problem in (participants.problems.get(participant, ""),) if problem]
    problems += files.strays(reference, config.reference, dataset.labels)
    notes: list[str] = []

    def kept(found: tuple[str, str], said: list[str]) -> str:
        path, remark = found
        said += [remark] if remark else []
        return path

    images = {config.reference: reference.path}
    for sequence in config.images[1:]:
        images[sequence] = kept(files.sequence(reference, sequence), notes)
    masks = {label: Mask() for label in config.labels}
    for label, source in dataset.labels.items():
        # A mask drawn on another sequence has that one's acquisition and run in its name, not the reference's.
        elsewhere = drawn_elsewhere(source, config.reference)
        mask = kept(files.companion(reference, source, anyway=elsewhere), problems)
        if not mask:
            masks[label] = mask_without_file(source, about)
            continue
        drawn = files.names[mask]
        drawn_on = kept(files.sequence(drawn, source.drawn_on or "", own=True), notes) if elsewhere else ""
        problems += [problem for problem in (no_image_below(source, mask, drawn_on, config.reference),) if problem]
        ignore = kept(files.companion(drawn, source.ignore_mask), problems) if source.ignore_mask else ""
        masks[label] = mask_of_file(source, mask, drawn_on, ignore, config.reference)
    brain_mask = kept(files.companion(reference, dataset.brain_mask), problems) if dataset.brain_mask else ""
    scan = Scan(
        scan=identity,
        dataset=name,
        participant=participant,
        session=session,
        person=person_of(name, participant, about, dataset),
        images=images,
        masks=masks,
        brain_mask=brain_mask,
        reason="; ".join(dict.fromkeys(problems)),
    )
    return scan.noted(*notes)


class _Files:
    """The image files of one dataset by participant and session, its derivative folders as they are asked for."""

    def __init__(self, root: Path, prefer: tuple[str, ...]) -> None:
        self.root, self.prefer = root, prefer
        self.names: dict[str, FileName] = {}
        self.walked: dict[str, Walked] = {}
        self._used: set[str] = set()
        self._groups: dict[str, dict[tuple[str, str], list[FileName]]] = {}
        self._participants: dict[str, dict[str, list[FileName]]] = {}

    def references(self, pattern: FilePattern) -> list[FileName]:
        """All files of the reference sequence, those first that get their scan's name where several have the same."""
        self._folder(pattern.folder)
        found = [file for file in self.names.values() if self._fits(file, pattern)]
        self._used.update(file.path for file in found)
        return sorted(found, key=lambda file: (file.scan, bool(file.problem), not file.path.endswith(".gz"), file.path))

    def companion(self, beside: FileName, pattern: FilePattern, anyway: bool = False) -> tuple[str, str]:
        """The file of `pattern` that goes with another file: same participant and session, no entity that tells images
        apart in both with another value (unless it goes with it `anyway`), as many in common as possible. Returns its
        path, or "" and what the problem is, if any."""
        fitting = [file for file in self._folder(pattern.folder).get(beside.owner, []) if self._fits(file, pattern)]
        self._used.update(file.path for file in fitting)
        # A slip in a name must not turn a known mask into an unknown or an empty one.
        for file in fitting:
            if file.problem:
                return "", f"{file.name}: {file.problem}"
        best = _most_alike(beside, [file for file in fitting if anyway or agree(file.entities, beside.entities)])
        if len(best) > 1:
            names = " and ".join(sorted(_apart(best))[:2])
            return "", f"more than one file fits {pattern.suffix}: {names}; narrow it down under 'entities'"
        return (best[0].path, "") if best else ("", "")

    def sequence(self, beside: FileName, suffix: str, own: bool = False) -> tuple[str, str]:
        """The image of another sequence in the session of a file, and a note on those that were not taken. With `own`
        it is the one that the file was drawn on: what both have in their names counts first."""
        pattern = FilePattern(suffix=suffix)
        fitting = [file for file in self._folder("").get(beside.owner, []) if self._fits(file, pattern)]
        usable = [file for file in fitting if not file.problem]
        self._used.update(file.path for file in usable)
        if own:
            usable = [file for file in usable if agree(file.entities, beside.entities)] or usable
            usable = _most_alike(beside, usable)
        if not (taken := [file for file in usable if not _not_magnitude(file)]):
            return "", f"{suffix}: no magnitude image" if usable else ""
        if len(usable) == 1:
            return taken[0].path, ""
        ranks = {
            file.path: rank(file.entities, *look(self.root / file.path), self.prefer, _alike(file, beside))
            for file in usable
        }
        # Two files of one name differ in their endings.
        best = max(taken, key=lambda file: (order(ranks[file.path]), file.path.endswith(".gz"), file.path))
        others = [f"{file.name} ({why(ranks[best.path], ranks[file.path])})" for file in usable if file is not best]
        return best.path, f"{suffix}: {best.name} was taken, not {', '.join(others)}"

    def strays(self, reference: FileName, suffix: str, labels: Mapping[str, LabelSource]) -> list[str]:
        """Masks of the participant that agree with none of its reference images: a slip in a name must not turn a known
        mask into an unknown or an empty one. A mask drawn on another sequence must share a session with one."""
        participant, session = reference.owner
        strays = []
        for source in labels.values():
            self._folder(source.folder)
            for file in self._participants[source.folder].get(participant, []):
                if file.problem or not self._fits(file, source):
                    continue
                own = file.owner[1]
                images = [
                    image
                    for image in self._folder("").get((participant, own), [])
                    if self._fits(image, FilePattern(suffix=suffix))
                ]
                alike = images
                if source.drawn_on in (None, suffix):
                    alike = [image for image in images if agree(file.entities, image.entities)]
                if not alike and (own == session or not images):
                    strays.append(f"{file.name}: agrees with no {suffix} image of its session")
                    self._used.add(file.path)
        return strays

    def others(self) -> Iterator[tuple[FileName | str, str]]:
        """What lies below the participants' folders and was not used: images, and paths with what is wrong there."""
        for folder, walked in self.walked.items():
            yield from ((str(PurePosixPath(folder) / path), reason) for path, reason in walked.faults.items())
        yield from ((file, "") for file in self.names.values() if file.path not in self._used)

    def _fits(self, file: FileName, pattern: FilePattern) -> bool:
        entities = file.entities
        return (
            file.is_read
            and file.has_suffix(pattern.suffix)
            and all(
                entities.get(key) is None if value is None else same_entity(key, value, entities.get(key, ""))
                for key, value in pattern.entities.items()
            )
        )

    def _folder(self, folder: str) -> dict[tuple[str, str], list[FileName]]:
        if folder not in self._groups:
            groups: dict[tuple[str, str], list[FileName]] = defaultdict(list)
            participants: dict[str, list[FileName]] = defaultdict(list)
            self.walked[folder] = walk(self.root / folder)
            for path in self.walked[folder].files:
                file = read_name(path, folder)
                self.names[file.path] = file
                for owner in dict.fromkeys((file.owner, file.also or file.owner)):
                    groups[owner].append(file)
                participants[file.owner[0]].append(file)
            self._groups[folder], self._participants[folder] = groups, participants
        return self._groups[folder]


def _folders(files: _Files, scans: Iterable[Scan], participants: Participants) -> Iterator[LeftOut]:
    """Participants who are not understood, without a scan, or in one of folders and table only."""
    with_scan = {scan.participant for scan in scans}
    labels = [folder.removeprefix("sub-") for folder in files.walked[""].folders]
    for folder, label in zip(files.walked[""].folders, labels, strict=True):
        if problem := folder_problem(folder):
            yield LeftOut("folder", problem, folder, label)
            continue
        if label not in with_scan:
            yield LeftOut("participant", "no reference image", folder, label, expected=True)
        if participants.rows and label not in participants.rows:
            yield LeftOut("participant", "a folder, but no row of participants.tsv", folder, label)
    for label in sorted(set(participants.rows) - set(labels)):
        yield LeftOut("participant", "a row of participants.tsv, but no folder", f"sub-{label}", label)


def _unused(identity: str, taken: Mapping[str, Scan]) -> str:
    """The identity, or one behind it where another file has it already."""
    number, free = 1, identity
    while free in taken:
        number += 1
        free = f"{identity}_dup-{number}"
    return free


def _not_magnitude(file: FileName) -> str:
    part = file.entities.get("part", "")
    return f"no magnitude image (part-{part})" if part in NOT_MAGNITUDE else ""


def _most_alike(beside: FileName, files: list[FileName]) -> list[FileName]:
    scored = [(_alike(file, beside), file) for file in files]
    return [file for score, file in scored if score == max(scored, key=lambda pair: pair[0])[0]]


def _alike(file: FileName, beside: FileName) -> int:
    """How many entities two files have in common, besides their owner."""
    return sum(
        key in beside.entities and same_entity(key, value, beside.entities[key])
        for key, value in file.entities.items()
        if key not in ("sub", "ses")
    )


def _apart(files: list[FileName]) -> list[str]:
    """Names that tell files apart: with their folders where they have one name."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [file.path for file in files]
