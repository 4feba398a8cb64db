"""Reading many small files again and again, each only when it changed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

Parsed = TypeVar("Parsed")


class Reader:
    """Remembers what it made of each file, by the file's time and size."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, object], tuple[tuple[int, int], object]] = {}

    def read(self, path: Path, parse: Callable[[str], Parsed]) -> Parsed | None:
        """What `parse` makes of the text of a file; None where no file can be read. Damaged bytes are replaced."""
        try:
            found = path.stat()
            mark = found.st_mtime_ns, found.st_size
            known = self._known.get((path, parse))
            if known is None or known[0] != mark:
                known = mark, parse(path.read_text(encoding="utf-8", errors="replace"))
                self._known[path, parse] = known
        except OSError:
            return None
        return known[1]  # type: ignore[return-value]


def table_rows(text: str) -> Iterator[dict[str, str]]:
    """The rows of a table, without pandas; "" for `n/a` and for cells that are not there. Ends at what is no table."""
    lines = table_lines(text)
    header = next(lines, [])
    for cells in lines:
        values = ["" if cell == "n/a" else cell for cell in cells]
        yield dict.fromkeys(header, "") | dict(zip(header, values, strict=False))


def table_lines(text: str) -> Iterator[list[str]]:
    """The cells of a table, its header first, for tables of many rows."""
    try:
        yield from csv.reader(io.StringIO(text.replace("\0", "")), delimiter="\t")
    except csv.Error:
        return
