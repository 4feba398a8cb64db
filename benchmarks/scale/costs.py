"""What scans cost in a real run, and 100,000 of them: from the cost files that its jobs left.

    python benchmarks/scale/costs.py RESULTS [THREADS]

Prints, by stage, the median of the seconds per scan, the hours of 100,000 scans, and how long a shard of 64 takes. A
stage that ran on THREADS cores (default 1) is that many times as many core hours. Where no job of the run was on a GPU,
none of it says what a GPU would take.
"""

from __future__ import annotations

import sys

import pandas as pd

from flairflow.paths import Results
from flairflow.tables import read_table

SCANS, SHARD = 100_000, 64


def main() -> None:
    results = Results(sys.argv[1])
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    costs = []
    for path in sorted((results.root / "benchmarks").rglob("*.scans.tsv")):
        stage = path.parent.relative_to(results.root / "benchmarks").as_posix()
        one_pass = " (archive, one pass)" if "-archive-" in path.name else ""
        costs.append(read_table(path).assign(stage=f"{stage}{one_pass}"))
    table = pd.concat(costs).query("status == 'ok'").groupby("stage")
    print("| stage | scans | s per scan (median) | lowest-highest | peak MB | core hours per 100,000 | hours a shard |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for stage, rows in table:
        seconds, memory = rows["seconds"], rows["peak_mb"].max()
        each = seconds.median()
        print(
            f"| {stage} | {len(rows)} | {each:.1f} | {seconds.min():.1f}-{seconds.max():.1f} | {memory:.0f} "
            f"| {each * SCANS * threads / 3600:,.0f} | {each * SHARD / 3600:.2f} |"
        )


if __name__ == "__main__":
    main()
