"""The scans of an archive that is not BIDS, from a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from flairflow.cohort.annotation import mask_of_file, mask_without_file, person_of
from flairflow.cohort.scan import Mask, Scan
from flairflow.config.models import Config, Dataset
from flairflow.errors import ConfigError
from flairflow.tables import read_foreign_table, records


def scans_of_manifest(name: str, dataset: Dataset, config: Config) -> list[Scan]:
    """Scans of an archive that is not BIDS. Columns: participant, [session], [run], [person], a column per sequence,
    mask_<label>, [ignore_<label>], [<the sequence a mask was drawn on>], [brain_mask]; paths relative to the root."""
    assert dataset.manifest is not None
    if not dataset.manifest.is_file():
        raise ConfigError(f"config: datasets.{name}.manifest: {dataset.manifest} is not a file")
    table = read_foreign_table(dataset.manifest)
    for needed in ("participant", config.reference):
        if needed not in table.columns:
            raise ConfigError(f"config: datasets.{name}.manifest: {dataset.manifest.name} has no column {needed!r}")
    scans: dict[str, Scan] = {}
    labels_seen: dict[str, str] = {}
    for row in records(table):
        participant, session, run = (bids_label(row.get(key, "")) for key in ("participant", "session", "run"))
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

        masks = {label: Mask() for label in config.labels}
        for label, source in dataset.labels.items():
            path, drawn_on = find(f"mask_{label}"), find(source.drawn_on or "")
            masks[label] = (
                mask_of_file(source, path, drawn_on, find(f"ignore_{label}"), config.reference)
                if path
                else mask_without_file(source, row)
            )
        scans[identity] = Scan(
            scan=identity,
            dataset=name,
            participant=participant,
            session=session,
            person=person_of(name, participant, row, dataset),
            images={sequence: find(sequence) for sequence in config.images},
            masks=masks,
            brain_mask=find("brain_mask"),
            reason="; ".join(problems),
        )
    return list(scans.values())


def bids_label(text: str) -> str:
    """What BIDS allows in a label: letters and digits. `MSS3_ED_166` becomes `MSS3ED166`."""
    return re.sub(r"[^A-Za-z0-9]", "", text.removeprefix("sub-").removeprefix("ses-"))
