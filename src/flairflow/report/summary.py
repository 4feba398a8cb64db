"""What a run came to, in a screenful of text: printed when the workflow ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.files import write_text
from flairflow.paths import Results


def scored(comparison: pd.DataFrame) -> pd.DataFrame:
    """The rows of the comparison that stand on at least one scan."""
    return comparison[comparison["lesion_scans"] + comparison["lesion_free_scans"] > 0]


def write_summary(
    config: Config, results: Results, scans: Sequence[Scan], volumes: pd.DataFrame, comparison: pd.DataFrame
) -> None:
    """Write report/summary.txt: counts, what was left out and why, scores, and where to look."""
    included = [scan for scan in scans if scan.included]
    failed = volumes[volumes["reason"].notna()].drop_duplicates("scan")
    excluded = len(scans) - len(included)
    lines = [
        "",
        f"{len(scans)} scans: {len(included) - len(failed)} segmented, {excluded} excluded, {len(failed)} failed"
        + (f" (reasons: {results.cohort}, {results.table('volumes')})" if excluded or len(failed) else ""),
    ]
    reasons = Counter([scan.reason for scan in scans if not scan.included] + list(failed["reason"]))
    lines += [f"  {count} x {reason}" if count > 1 else f"  {reason}" for reason, count in reasons.most_common(5)]
    if len(reasons) > 5:
        lines.append(f"  ... and {len(reasons) - 5} other reasons")
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
