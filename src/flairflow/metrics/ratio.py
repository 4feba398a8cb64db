"""Division that says what nothing over nothing is."""

from __future__ import annotations

from math import nan


def ratio(part: float, whole: float, empty: float = nan) -> float:
    """part / whole; `empty` where the whole is 0 (default: not defined)."""
    return part / whole if whole else empty
