"""How far a training is and how fast it goes, from the lines of its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flairflow.paths import CHECKPOINT
from flairflow.status.file_cache import Reader, table_rows

_LINE = re.compile(r"^(\d{4}-[\d-]+ [\d:]+,\d{3}) INFO update (\d+) of (\d+): loss ([\d.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Training:
    """Updates done and to be done (None: not known yet), seconds an update takes with its share of the validations
    (None: not known yet), and the last mean loss."""

    update: int = 0
    updates: int | None = None
    seconds_per_update: float | None = None
    loss: float | None = None

    @property
    def seconds_left(self) -> float | None:
        if self.updates is None or self.seconds_per_update is None:
            return None
        return (self.updates - self.update) * self.seconds_per_update


def training(log: Path, history: Path, updates: int | None, reader: Reader) -> Training:
    """The state of a training.

    log     : of the job that trains or trained it.
    history : `log.csv` in its working folder, beside the checkpoint from which a job that is started again goes on.
    updates : what the configuration gives it; the log knows better.
    """
    found = reader.read(log, parse_log)
    if found:
        return found
    # Without its checkpoint a training starts anew, whatever an earlier one left.
    resumes = history.with_name(CHECKPOINT).exists()
    return Training((reader.read(history, _last_update) or 0) if resumes else 0, updates)


def parse_log(text: str) -> Training | None:
    """What the log of a training says; None before its first update. The first is not counted into the speed."""
    lines = _LINE.findall(text)
    if not lines:
        return None
    (start, first, _, _), (end, last, updates, loss) = lines[0], lines[-1]
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    done = int(last) - int(first)
    return Training(int(last), int(updates), seconds / done if done > 0 and seconds > 0 else None, float(loss))


def _last_update(text: str) -> int:
    updates = [row.get("update", "") for row in table_rows(text.replace(",", "\t"))]
    return max((int(update) for update in updates if update.isdigit()), default=0)
