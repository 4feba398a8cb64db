"""The two kinds of expected failure; everything else is a bug and keeps its traceback."""

from __future__ import annotations

import re
from collections.abc import Sequence

# How many faults a message lists.
SHOWN = 5


class ScanError(Exception):
    """A scan that cannot be processed. It becomes a row with this reason; the rest of the cohort goes on."""


class ConfigError(Exception):
    """A configuration that cannot be used: the key's path, what is wrong and what is allowed."""


def in_short(faults: Sequence[str]) -> str:
    """The first few of them for a message, and how many more there are."""
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return "; ".join(faults[:SHOWN]) + more


def unexpected_reason(stage: str, what: str) -> str:
    """The reason of a scan that met a bug, a crash or the end of memory. One line, whatever an exception says."""
    text = " ".join(what.split())
    return f"{stage}: unexpected {text if len(text) <= 300 else text[:300] + '...'}"


def is_unexpected(reason: str) -> bool:
    """Whether a reason is one of these."""
    return re.match(r"\w+: unexpected ", reason) is not None
