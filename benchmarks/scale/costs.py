"""What scans cost in a real run, and 100,000 of them: from the files that its jobs left.

    python benchmarks/scale/costs.py RESULTS

Prints, by stage, the processor seconds of its jobs per scan (`benchmark:` files of Snakemake; the start of a job and
what it loads included), the median of the seconds per scan as the clock has them, and what follows: core hours of
100,000 scans, and how long a shard of 64 takes. Where no job was on a GPU, none of it says what a GPU would take.
"""

from __future__ import annotations

import sys

import pandas as pd

from flairflow.paths import Results
from flairflow.tables import read_table

SCANS, SHARD = 100_000, 64


def main() -> None:
    results = Results(sys.argv[1])
    jobs = []
    for path in sorted((results.root / "benchmarks").rglob("*.scans.tsv")):
        stage, shard = path.parent.relative_to(results.root / "benchmarks").as_posix(), path.name.split(".")[0]
        one_pass = " (archive, one pass)" if "-archive-" in shard and stage.startswith("segment") else ""
        scans = read_table(path).query("status == 'ok'")
        cpu = float(read_table(results.benchmark(stage, shard))["cpu_time"].iloc[0])
        jobs.append((stage + one_pass, len(scans), cpu, scans["seconds"].median(), scans["peak_mb"].max()))
    table = pd.DataFrame(jobs, columns=["stage", "scans", "cpu", "seconds", "peak"]).groupby("stage")
    print(
        "| stage | scans | core s per scan | s per scan (median) | peak MB | core hours per 100,000 | hours a shard |"
    )
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for stage, rows in table:
        count, seconds = rows["scans"].sum(), rows["seconds"].median()
        each = rows["cpu"].sum() / count
        print(
            f"| {stage} | {count} | {each:.1f} | {seconds:.1f} | {rows['peak'].max():.0f} | {each * SCANS / 3600:,.0f} "
            f"| {seconds * SHARD / 3600:.2f} |"
        )


if __name__ == "__main__":
    main()
