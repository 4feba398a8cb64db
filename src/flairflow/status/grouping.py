"""Things put together by what is said of them."""

from __future__ import annotations

from collections.abc import Iterable


def grouped(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """The names by what is said of them, given as (said, name): what is said of most first."""
    groups: dict[str, list[str]] = {}
    for said, name in pairs:
        groups.setdefault(said, []).append(name)
    return sorted(groups.items(), key=lambda group: -len(group[1]))
