"""What `flairflow segment` says while it works, and what it prints for programs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from flairflow.inference.single_images.table import Row

log = logging.getLogger(__name__)


class Progress:
    """A line in the log per image, and below them, on a terminal, a bar with the image that is worked on."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.done = names, 0
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True)
        self.bar = Bar(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("loading the model", total=len(names))

    def __enter__(self) -> Self:
        self.bar.start()
        # The bar stands below what goes through its own stderr.
        _log_to_stderr()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.stop()
        _log_to_stderr()

    def start(self) -> None:
        """The models are loaded."""
        self._show_next()

    def finish(self, row: Row, labels: Sequence[str]) -> None:
        """An image is finished."""
        self.done += 1
        where = f"{self.done}/{len(self.names)} {row['image']}"
        if row["reason"]:
            log.error("%s: %s", where, row["reason"])
        else:
            log.info("%s: %s (%.0f s)", where, _volumes(row, labels), row["seconds"])
        if row["flag"]:
            log.warning("%s: %s: look at the picture %s_overlay.png", where, row["flag"], row["name"])
        self.bar.advance(self.task)
        self._show_next()

    def _show_next(self) -> None:
        if self.done < len(self.names):
            self.bar.update(self.task, description=self.names[self.done])


def as_json(rows: Sequence[Row], labels: Sequence[str]) -> str:
    """The rows as JSON; `null` for what there is not."""
    return json.dumps({"labels": list(labels), "images": list(rows)}, indent=2)


def _volumes(row: Row, labels: Sequence[str]) -> str:
    found = [f"{label} {row[f'{label}_ml']:.2f} ml" for label in labels]
    return ", ".join([*found, f"brain {row['brain_ml']:.0f} ml"])


def _log_to_stderr() -> None:
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(sys.stderr)
