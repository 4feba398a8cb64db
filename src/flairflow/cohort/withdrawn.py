"""Participants who withdrew: their scans are never used, and what was made of them is removed by `flairflow purge`."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flairflow.cohort.manifest_table import bids_label
from flairflow.cohort.scan import Scan
from flairflow.errors import ConfigError

log = logging.getLogger(__name__)

WITHDREW = "participant withdrew"


def withdrawn_participants(name: str, path: Path) -> frozenset[str]:
    """The labels on the list of a dataset, as `listed` has them."""
    return frozenset(listed(name, path))


def listed(name: str, path: Path) -> list[str]:
    """The labels on the list of a dataset, without `sub-`: the first cell of every line, what follows a `#` left out.

    Raises ConfigError when the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise ConfigError(f"config: datasets.{name}.withdrawn: {path} cannot be read ({error.strerror})") from None
    cells = (re.split(r"[,;\t]", line.split("#")[0])[0] for line in text.splitlines())
    return [label for cell in cells if (label := bids_label(cell.strip(" \"'")))]


def without_withdrawn(name: str, scans: Sequence[Scan], path: Path) -> list[Scan]:
    """The scans of a dataset, those of participants on its list of withdrawn ones excluded. The log says how many, not
    who. Raises ConfigError when the list cannot be read."""
    withdrawn = withdrawn_participants(name, path)
    there = {bids_label(scan.participant) for scan in scans}
    if unknown := len(withdrawn - there):
        log.warning("%s: %d of %d names in %s have no scan here", name, unknown, len(withdrawn), path.name)
    kept = [replace(scan, reason=WITHDREW) if bids_label(scan.participant) in withdrawn else scan for scan in scans]
    log.info("%s: %d scans of participants who withdrew", name, sum(scan.reason == WITHDREW for scan in kept))
    return kept
