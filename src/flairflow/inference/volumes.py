"""The table of volumes, gathered from the ledgers of the whole cohort's shards."""

from __future__ import annotations

import logging
from collections import Counter

import pandas as pd

from flairflow.cohort.index import read_scans
from flairflow.cohort.withdrawn import WITHDREW
from flairflow.config.models import Config
from flairflow.paths import Results
from flairflow.shards.ledger import Row, stage_rows
from flairflow.tables import Column, column, write_table

log = logging.getLogger(__name__)

VOLUME_COLUMNS: dict[str, Column] = {
    "scan": column("Scan id, as in cohort.tsv"),
    "dataset": column("Name of the dataset in the configuration"),
    "participant": column("Participant, as BIDS spells it (sub-...)"),
    "session": column("Session, as BIDS spells it (ses-...); n/a: the scan's name has none"),
    "split": column(
        "Part the scan played; volumes of training scans are of scans the model has seen; n/a: the scan is excluded"
    ),
    "label": column("Lesion label"),
    "volume_ml": column(
        "Lesion volume in the native scan; n/a: the scan is excluded or failed, the reason says why", "ml"
    ),
    "brain_ml": column("Volume of the brain mask", "ml"),
    "percent_of_brain": column("Lesion volume relative to the brain mask", "percent"),
    "brain_shown": column("Share of the template's brain that lies in the image's field of view (0..1)"),
    "ensemble": column("What segmented: strategy or given model"),
    "precision": column(
        "Numbers that its networks computed with; they differ between machines unless `segmentation.precision` is set",
        levels={"fp32": "32 bits", "bf16": "16 bits with the range of 32", "fp16": "16 bits"},
    ),
    "flag": column("What to look at before the volume is used, such as a doubtful registration"),
    "note": column("How its images were read where that was not plain, and what was clipped"),
    "reason": column("Why there is no volume"),
}


def write_volumes(config: Config, results: Results) -> None:
    """tables/volumes.tsv: ml per scan and label, by the chosen ensemble, whose masks become the delivered ones.

    Excluded scans have rows too, but for those of participants who withdrew.
    """
    link = results.delivered
    # Not there where no scan could be used.
    results.masks(config.segmenter).mkdir(parents=True, exist_ok=True)
    if not (link.is_symlink() and link.readlink().name == results.masks(config.segmenter).name):
        fresh = link.with_name(f".{link.name}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(results.masks(config.segmenter).name)
        fresh.replace(link)
    segmented = stage_rows(results, f"segment/{config.segmenter}")
    rows = []
    for scan in read_scans(results.cohort, config.labels, config.images):
        if scan.reason == WITHDREW:
            continue
        row = segmented[scan.scan] if scan.included else Row(scan.scan, "failed", "", f"excluded: {scan.reason}")
        brain = row.values.get("brain_ml")
        for label in config.labels:
            volume = row.values.get(f"{label}_ml")
            share = 100 * float(volume) / float(brain) if volume is not None and brain else None
            session = f"ses-{scan.session}" if scan.session else None
            about = (scan.scan, scan.dataset, f"sub-{scan.participant}", session, scan.split or None, label)
            seen = (volume, brain, share, row.values.get("brain_shown"))
            how = (config.segmenter, row.values.get("precision"), row.values.get("flag"))
            rows.append((*about, *seen, *how, row.values.get("note"), row.reason or None))
    table = pd.DataFrame(rows, columns=list(VOLUME_COLUMNS))
    if mixed := mixed_precisions(table):
        log.warning("%s", mixed)
    write_table(results.table("volumes"), table, VOLUME_COLUMNS)


def mixed_precisions(volumes: pd.DataFrame) -> str:
    """What is to be said where the masks of a table of volumes were not all predicted in one precision, if so."""
    counts = Counter(volumes.drop_duplicates("scan")["precision"].dropna())
    if len(counts) < 2:
        return ""
    scans = ", ".join(f"{count} scans in {precision}" for precision, count in counts.most_common())
    return (
        f"masks were predicted in more than one precision ({scans}): volumes may differ a little for that alone; "
        f"segmentation.precision: {counts.most_common(1)[0][0]} makes them all alike"
    )
