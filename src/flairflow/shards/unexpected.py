"""The scans of a run that met a bug, crashed or ran out of memory: counted where nobody overlooks it."""

from __future__ import annotations

from collections import Counter

from flairflow.errors import is_unexpected
from flairflow.paths import Results


def unexpected_scans(results: Results) -> dict[tuple[str, str], str]:
    """By stage and scan the reason, from the ledgers as text: there may be thousands of them, and hardly ever one such
    row. Later stages that pass a reason on do not count."""
    found = {}
    for path in sorted((results.root / "ledgers").rglob("*.tsv")):
        text = path.read_text(encoding="utf-8")
        if ": unexpected " in text:
            for line in text.splitlines():
                scan, *cells = line.split("\t")
                reason = cells[1].strip('"') if len(cells) > 1 else ""
                if is_unexpected(reason):
                    found[reason.split(":")[0], scan] = reason
    return found


def last_word(results: Results) -> str:
    """The last line of a run: how many scans ended unexpectedly, in which stages; empty where there are none."""
    found = unexpected_scans(results)
    if not found:
        return ""
    (_, first), reason = next(iter(found.items()))
    stages = ", ".join(f"{count} in {stage}" for stage, count in Counter(stage for stage, _ in found).most_common())
    return (
        f"UNEXPECTED: {len({scan for _, scan in found})} scan(s) met a bug, crashed or ran out of memory ({stages}), "
        f"such as {first}: {reason}. Tracebacks: {results.root / 'logs'}. They are rows with that reason; all others "
        "went on."
    )
