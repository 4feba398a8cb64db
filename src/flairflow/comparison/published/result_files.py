"""Per-scan results of others as they are written: a JSON file per ensemble, a tidy TSV, or the table of metrics of
another run. Nothing is derived here."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from flairflow.comparison.published.scan_ids import repeated
from flairflow.errors import ConfigError
from flairflow.metrics.registry import METRICS
from flairflow.paths import dictionary
from flairflow.tables import read_foreign_table

SUMMARY = "summary"
NEEDED = ("scan", "label", "metric", "value")
OPTIONAL = ("ensemble", "dataset", "participant")
Summary = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Given:
    """The results of one file.

    values  : scan (the id in the file), ensemble, label, metric, value (float; NaN: undefined there) and, where they
              are given, dataset and participant ("" where not), or person, by whatever name; each scan, ensemble, label
              and metric once.
    summary : metric -> label -> what the file itself says of all scans: mean, std, n, frac_present. Empty: nothing.
    """

    path: Path
    values: pd.DataFrame
    summary: Summary = field(default_factory=dict)


def read_results(path: Path) -> Given:
    """Read one file of results.

    `.json`: scan -> metric -> {label: value}, and `summary`; the ensemble is the file's name. NaN everywhere says that
    the scan has no reference of that label. Other names: a tidy TSV with the columns scan, label, metric, value and
    optionally ensemble (else the file's name), dataset and participant, or one with a column per metric, as
    tables/metrics.tsv.
    Raises ConfigError, naming the file, where it has another form.
    """
    return _read_json(path) if path.suffix == ".json" else _read_table(path)


def result_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, and of folders every `.json` and `.tsv` (data dictionaries of tables are none). Raises
    ConfigError where there is nothing."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            tables = sorted(path.glob("*.tsv"))
            own = [*tables, *sorted(set(path.glob("*.json")) - {dictionary(table) for table in tables})]
            if not own:
                raise ConfigError(f"{path}: holds no .json and no .tsv file of results")
            files += own
        elif path.is_file():
            files.append(path)
        else:
            raise ConfigError(f"{path}: is neither a file nor a folder")
    return files


def _read_json(path: Path) -> Given:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repeated)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict) or not set(content) - {SUMMARY}:
        raise ConfigError(f"{path}: holds no scans; its form must be scan -> metric -> {{label: value}}")
    summary = _summary(path, content.pop(SUMMARY, {}))
    columns: dict[str, list[Any]] = {name: [] for name in NEEDED}
    labels: tuple[str, set[str]] | None = None
    for scan, metrics in content.items():
        if metrics == {}:
            raise ConfigError(f"{path}: {scan}: has no results; leave it out, or NaN where there is no reference")
        for metric, by_label in (metrics if isinstance(metrics, dict) else {"": metrics}).items():
            where = f"{scan} -> {metric}"
            if not isinstance(by_label, dict):
                raise ConfigError(f"{path}: {where}: must be {{label: value}}, is {by_label!r}")
            labels = labels or (where, set(by_label))
            if set(by_label) != labels[1]:
                raise ConfigError(
                    f"{path}: {where}: has the labels {', '.join(by_label)}, but {labels[0]} has "
                    f"{', '.join(sorted(labels[1]))}; use the same everywhere, NaN where there is no reference"
                )
            for label, value in by_label.items():
                for name, item in zip(NEEDED, (scan, label, metric, _number(value, f"{path}: {where}")), strict=True):
                    columns[name].append(item)
    return Given(path, pd.DataFrame(columns).assign(ensemble=path.stem), summary)


def _summary(path: Path, said: Any) -> Summary:
    """metric -> label -> name -> number, if it is that; null is NaN."""
    form = f"{path}: {SUMMARY}: must be metric -> label -> {{mean, std, n, frac_present}}"
    if not isinstance(said, dict):
        raise ConfigError(f"{form}, is {said!r}")
    summary: Summary = {}
    for metric, by_label in said.items():
        if not isinstance(by_label, dict):
            raise ConfigError(f"{form}; {metric} is {by_label!r}")
        summary[metric] = {}
        for label, numbers in by_label.items():
            where = f"{metric} of {label}"
            if not isinstance(numbers, dict):
                raise ConfigError(f"{form}; {where} is {numbers!r}")
            summary[metric][label] = {
                name: _number(value, f"{path}: {SUMMARY}: {where}: {name}") for name, value in numbers.items()
            }
    return summary


def _read_table(path: Path) -> Given:
    table = read_foreign_table(path)
    # Taken out: pandas copies what is in `attrs` with every operation.
    lines = table.attrs.pop("lines")
    table = _checked(path, table).assign(line=lines) if _is_tidy(table) else _tidied(path, table.assign(line=lines))
    table = table.assign(ensemble=path.stem) if "ensemble" not in table.columns else table
    keys = ["scan", "ensemble", "label", "metric"]
    for key in keys:
        if (table[key] == "").any():
            raise ConfigError(f"{path}: line {table['line'][table[key] == ''].iloc[0]}: has no {key}")
    if (twice := table.duplicated(keys)).any():
        row = table[twice].iloc[0]
        raise ConfigError(
            f"{path}: {row['scan']}: {row['metric']} of {row['label']} by {row['ensemble']} stands "
            f"{int((table[keys] == row[keys]).all(axis=1).sum())} times; leave one"
        )
    cells = zip(table["value"], table["line"], strict=True)
    numbers = [_number(text or None, f"{path}: line {line}") for text, line in cells]
    values = table.drop(columns="line").assign(value=pd.Series(numbers, index=table.index, dtype=float))
    return Given(path, values)


def _is_tidy(table: pd.DataFrame) -> bool:
    columns = set(table.columns)
    return bool({"metric", "value"} & columns) or not {"scan", "label"} <= columns or not set(METRICS) & columns


def _checked(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """A tidy table, if it has the columns of one."""
    if missing := [name for name in NEEDED if name not in table.columns]:
        raise ConfigError(
            f"{path}: has no column {', '.join(missing)}; a table of results needs {', '.join(NEEDED)} and may have "
            f"{', '.join(OPTIONAL)}, or has a column per metric in the place of metric and value"
        )
    if unknown := [str(name) for name in table.columns if name not in (*NEEDED, *OPTIONAL)]:
        raise ConfigError(f"{path}: column {', '.join(unknown)}: only {', '.join((*NEEDED, *OPTIONAL))} are known")
    return table


def _tidied(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """A row per metric of a table with a column per metric. Its participants are persons, whose names say nothing of
    the scan; its datasets those of the scans' ids."""
    about = ["scan", "label", *OPTIONAL, "line"]
    if unknown := [str(name) for name in table.columns if name not in (*about, *METRICS)]:
        raise ConfigError(f"{path}: column {', '.join(unknown)} is no metric (docs/metrics.md has all)")
    # What no row has was not measured.
    metrics = [name for name in table.columns if name in METRICS and (table[name] != "").any()]
    tidy = table.melt([name for name in about if name in table], metrics, var_name="metric")
    return tidy.drop(columns="dataset", errors="ignore").rename(columns={"participant": "person"})


def _number(value: Any, where: str) -> float:
    if value is None:
        return math.nan
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: {value!r} is no number (NaN or n/a: undefined there)") from None


def _without_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := repeated(key for key, _ in pairs):
        raise ValueError(f"stands twice in the same place: {', '.join(twice)}; leave one")
    return dict(pairs)
