"""Tables for people: TSV with `n/a` for what is not there (BIDS), each beside a JSON data dictionary.

Pandas is imported by what uses it: `flairflow status` and the rules need only the names here.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flairflow.errors import ConfigError
from flairflow.files import write_text
from flairflow.paths import dictionary

if TYPE_CHECKING:
    import pandas as pd

Column = dict[str, Any]


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
    """Read a TSV that others wrote, all text, "" for missing: with or without byte-order mark, quotes as they stand,
    ragged at the end of lines. Raises ConfigError naming the file when it is no table."""
    import pandas as pd

    try:
        table = pd.read_csv(
            path,
            sep="\t",
            dtype=str,
            encoding="utf-8-sig",
            encoding_errors="replace",
            na_filter=False,
            index_col=False,
            quoting=csv.QUOTE_NONE,
            on_bad_lines=lambda cells: cells,
            engine="python",
        )
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise ConfigError(f"{path}: cannot be read as a tab-separated table ({error})") from None
    return table.fillna("").replace("n/a", "")


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
