"""Tables for people: TSV with `n/a` for what is not there (BIDS), each beside a JSON data dictionary.

Pandas is imported by what uses it: `flairflow status` and the rules need only the names here.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flairflow.errors import ConfigError
from flairflow.files import write_text
from flairflow.paths import dictionary

if TYPE_CHECKING:
    import pandas as pd

Column = dict[str, Any]

# What people and programs write where there is no value.
MISSING = frozenset({"", "n/a", "na", "n.a.", "#n/a", "<na>", "nan", "null", "-", "--", "."})
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")


def column(description: str, units: str | None = None, levels: Mapping[str, str] | None = None) -> Column:
    """One entry of a data dictionary, with the keys BIDS uses."""
    entry: Column = {"Description": description}
    if units:
        entry["Units"] = units
    if levels:
        entry["Levels"] = dict(levels)
    return entry


def write_table(path: Path, table: pd.DataFrame, columns: Mapping[str, Column]) -> None:
    """Write a table and its data dictionary. Raises KeyError when a column has no entry."""
    write_text(path, to_tsv(table))
    write_text(dictionary(path), json.dumps({name: columns[name] for name in table.columns}, indent=2) + "\n")


def to_tsv(table: pd.DataFrame) -> str:
    """The text of a table: tab-separated, `n/a` for missing, numbers with six significant digits."""
    text: str = table.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.6g", lineterminator="\n")
    return text


def read_foreign_table(path: Path) -> pd.DataFrame:
    """Read a table that others wrote, all text, "" for missing values however they are spelled: separated by tabs,
    commas or semicolons, with or without byte-order mark, ragged at the end of lines. `attrs["lines"]` has the line of
    the file that each row ends on, `attrs["twice"]` the names that several columns have. Raises ConfigError naming the
    file when it is no table."""
    import pandas as pd

    try:
        text = _text(path.read_bytes())
        header_line = text.partition("\n")[0]
        separator = "\t" if "\t" in header_line else max(",;", key=header_line.count)
        dialect: type[csv.Dialect] = _Tabs if separator == "\t" else csv.excel
        reader = csv.reader(io.StringIO(text, newline=""), dialect, delimiter=separator)
        rows = [(reader.line_num, [plain(cell) for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as a table ({error})") from None
    if not rows:
        raise ConfigError(f"{path}: cannot be read as a table (it is empty)")
    (_, header), *rows = rows
    names = [name if header.index(name) == place else f"{name}.{place}" for place, name in enumerate(header)]
    cells = [[*row, *[""] * (len(names) - len(row))][: len(names)] for _, row in rows]
    table = pd.DataFrame(cells, columns=names, dtype=str)
    table.attrs["lines"] = [line for line, _ in rows]
    table.attrs["twice"] = sorted({name for name in header if name and header.count(name) > 1})
    return table


class _Tabs(csv.excel_tab):
    """In tables separated by tabs quotes are just characters, such as that of 6"."""

    quoting = csv.QUOTE_NONE


def _text(content: bytes) -> str:
    """What spreadsheets call Unicode text is UTF-16, known by its first two bytes."""
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def plain(cell: str) -> str:
    """A cell without the spaces and quotes around it; "" where it says that there is no value, however spelled."""
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        cell = cell[1:-1].strip()
    return "" if cell.casefold() in MISSING else cell


def whole(cell: str) -> str:
    """A whole number without the `.0` that it gets in programs whose whole numbers cannot be missing."""
    return re.sub(r"^(\d+)\.0+$", r"\1", cell)


def same_value(one: str, other: str) -> bool:
    """Whether two cells say the same: `0`, `0.0` and `"0"` do, and `no` and `No`, and two that are missing."""
    return _value(one) == _value(other)


@lru_cache(maxsize=4096)
def _value(cell: str) -> str:
    cell = plain(cell).casefold()
    return f"{float(cell):.15g}" if NUMBER.fullmatch(cell) else cell


def records(table: pd.DataFrame) -> list[dict[str, str]]:
    """The rows of a table of text."""
    return table.to_dict("records")  # type: ignore[return-value]


def read_table(path: Path, text: bool = False) -> pd.DataFrame:
    """Read a table. `text` leaves all columns as strings with "" for missing."""
    import pandas as pd

    if text:
        table = pd.read_csv(path, sep="\t", dtype=str, encoding="utf-8-sig", na_filter=False)
        return table.replace("n/a", "")
    return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False, encoding="utf-8-sig")
