"""Paths as people write them: `~`, and variables of the environment. Without this they would be names of folders."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from flairflow.errors import ConfigError


def with_places(values: Any, key: str = "") -> Any:
    """A configuration with `~`, `~user`, `$NAME` and `${NAME}` put in where a text begins with one, or where one is a
    part of a path. Raises ConfigError naming the key where there is no such user or variable."""
    if isinstance(values, dict):
        return {name: with_places(value, f"{key}.{name}" if key else str(name)) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [with_places(value, f"{key}.{number}") for number, value in enumerate(values)]
    if not isinstance(values, str) or not re.match(r"[~$]|.*/\$", values):
        return values
    place = os.path.expandvars(values)
    with suppress(RuntimeError):
        place = str(Path(place).expanduser()) if place.startswith("~") else place
    if left := re.search(r"^~[^/]*|(?:^|(?<=/))\$(\w+|\{\w+\})", place):
        what = "user" if left.group().startswith("~") else "variable of the environment"
        raise ConfigError(
            f"config: 1 fault(s), nothing was run\n  {key}: there is no {what} {left.group()} (given: {values!r})"
        )
    return place
