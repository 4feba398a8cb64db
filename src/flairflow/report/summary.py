"""What a run came to, in a screenful of text: printed when the workflow ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.files import write_text
from flairflow.paths import Results


def scores_by_ensemble(metrics: pd.DataFrame) -> pd.DataFrame:
    """Per label and ensemble: mean Dice and its n over scans with a lesion, mean absolute volume error, and over scans
    known to have none how many got a false lesion and the mean false volume."""
    rows = []
    for (label, ensemble), group in metrics.groupby(["label", "ensemble"], sort=False):
        bearing, free = group[group["dice"].notna()], group[group["dice"].isna()]
        rows.append(
            {
                "label": label,
                "ensemble": ensemble,
                "bearing": len(bearing),
                "dice": bearing["dice"].astype(float).mean(),
                "volume_error_ml": bearing["volume_error_ml"].astype(float).abs().mean(),
                "free": len(free),
                "false_scans": int((free["false_ml"].astype(float) > 0).sum()),
                "false_ml": free["false_ml"].astype(float).mean(),
            }
        )
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["label", "ensemble"]).sort_values(
        "label", kind="stable"
    )


def write_summary(
    config: Config, results: Results, scans: Sequence[Scan], volumes: pd.DataFrame, metrics: pd.DataFrame
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
    if len(metrics):
        lines += ["", "On the test participants (mean over scans):", ""]
        lines.append(f"  {'label':8} {'ensemble':20} {'Dice':>6} {'scans':>6} {'false ml':>9} {'lesion-free':>12}")
        for row in scores_by_ensemble(metrics).to_dict("records"):
            dice, false = (f"{row[key]:.3f}" if not pd.isna(row[key]) else "-" for key in ("dice", "false_ml"))
            lines.append(
                f"  {row['label']:8} {row['ensemble']:20} {dice:>6} {row['bearing']:>6} {false:>9} {row['free']:>12}"
            )
    lines += [
        "",
        f"  report   {results.report}",
        f"  volumes  {results.table('volumes')}",
        f"  masks    {results.delivered}",
        "",
    ]
    write_text(results.summary, "\n".join(lines) + "\n")
