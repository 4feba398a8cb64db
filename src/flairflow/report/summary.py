"""What a run came to, in a screenful of text: printed when the workflow ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from flairflow.cleaning.set_aside import read_gone
from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.files import write_text
from flairflow.inference.volumes import mixed_precisions
from flairflow.paths import Results
from flairflow.tables import read_table

# Reasons, and flags, that are listed.
MAX_LISTED = 5


def scored(comparison: pd.DataFrame) -> pd.DataFrame:
    """The rows of the comparison that stand on at least one scan."""
    return comparison[comparison["lesion_scans"] + comparison["lesion_free_scans"] > 0]


def write_summary(
    config: Config, results: Results, scans: Sequence[Scan], volumes: pd.DataFrame, comparison: pd.DataFrame
) -> None:
    """Write report/summary.txt: counts, what was left out and why, scores, and where to look."""
    included = [scan for scan in scans if scan.included]
    failed, flagged = (volumes[volumes[what].notna()].drop_duplicates("scan") for what in ("reason", "flag"))
    excluded = len(scans) - len(included)
    to_look_at = f" ({len(flagged)} of them with a flag)" if len(flagged) else ""
    lines = [
        "",
        f"{len(scans)} scans: {len(included) - len(failed)} segmented{to_look_at}, {excluded} excluded, "
        f"{len(failed)} failed"
        + (f" (reasons: {results.cohort}, {results.table('volumes')})" if excluded or len(failed) else ""),
    ]
    if mixed := mixed_precisions(volumes):
        lines.append(f"  {mixed}")
    lines += _most_common([scan.reason for scan in scans if not scan.included] + list(failed["reason"]), "reasons")
    if odd := _unexpected(results):
        lines.append(
            f"  {odd} folders, images and participants are no scans and should be looked at ({results.cohort_summary})"
        )
    if gone := read_gone(results):
        lines.append(f"  {len(gone)} more are no longer in the cohort (what was made of them: {results.left})")
    if len(flagged):
        lines += ["", f"To look at before the volumes are used (column flag of {results.table('volumes')}):"]
        lines += _most_common(list(flagged["flag"]), "flags")
    if len(scored(comparison)):
        lines += ["", "On the test participants (mean over scans; false lesions where there are none):", ""]
        lines.append(f"  {'':32} {'Dice':>6} {'sd':>6} {'scans':>6} {'false':>7} {'false ml':>9} {'scans':>6}")
        numbers = ("dice_mean", "dice_sd", "false_lesions_mean", "false_ml_mean")
        for row in scored(comparison).to_dict("records"):
            dice, spread, false, ml = ("-" if pd.isna(row[key]) else f"{row[key]:.3f}" for key in numbers)
            ensemble = row["ensemble"].replace("_", " ")
            lines.append(
                f"  {row['label']:8} {ensemble:23} {dice:>6} {spread:>6} {row['lesion_scans']:>6}"
                f" {false:>7} {ml:>9} {row['lesion_free_scans']:>6}"
            )
    lines += [
        "",
        f"  report   {results.report}",
        f"  volumes  {results.table('volumes')}",
        f"  masks    {results.delivered}",
        "",
    ]
    write_text(results.summary, "\n".join(lines) + "\n")


def _unexpected(results: Results) -> int:
    """How many things the index found that an archive should not have."""
    if not results.cohort_summary.exists():
        return 0
    table = read_table(results.cohort_summary)
    return int(table.loc[table["expected"] == "no", "count"].sum())


def _most_common(texts: Sequence[str], what: str) -> list[str]:
    """A line for each of the most frequent texts, and one that says how many others there are."""
    counts = Counter(texts)
    lines = [f"  {count} x {text}" if count > 1 else f"  {text}" for text, count in counts.most_common(MAX_LISTED)]
    return [*lines, *([f"  ... and {len(counts) - MAX_LISTED} other {what}"] if len(counts) > MAX_LISTED else [])]
