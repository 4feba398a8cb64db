"""What flairflow adds to Snakemake's own start, with a cohort of 10,000 scans.

    python benchmarks/parse.py [SCANS]

Times whole processes, in turn, five times each, and prints medians (s): Snakemake with a Snakefile of one rule,
flairflow's Snakefile parsed, a single job's start (what every cluster job does first), and the dry run of everything.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from flairflow.cohort.index import write_shard_lists, write_shards
from flairflow.cohort.scan import Mask, Scan, columns, to_row
from flairflow.paths import Results, dictionary
from flairflow.tables import write_table

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = "labels: [WMH, ISL]\ndatasets:\n  ds: {root: data, labels: {WMH: {}, ISL: {}}}\n"
SHARD_SIZE = 64


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shard = make_cohort(root, count)
        (root / "one.smk").write_text("rule all:\n    shell: 'true'\n")
        ours = ["-s", str(REPOSITORY / "Snakefile"), "--configfile", "config.yaml"]
        commands = {
            "snakemake alone (one rule)": ["-s", "one.smk", "-n", "-q"],
            "flairflow, parsed": [*ours, "--list-rules"],
            "flairflow, one job's start": [*ours, "-n", str(Results("results").ledger("register", shard)), "-q"],
            "flairflow, dry run of all": [*ours, "-n", "-q"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(5):
            for name, arguments in commands.items():
                command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
                started = time.perf_counter()
                subprocess.run(command, cwd=root, check=True, capture_output=True)
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    base = next(iter(medians.values()))
    print(f"{count} scans in shards of {SHARD_SIZE}")
    for name, median in medians.items():
        print(f"{name:30} {median:6.2f} s   {median - base:+6.2f} s")


def make_cohort(root: Path, count: int) -> str:
    """The tables that an index of `count` scans leaves; returns the name of one shard."""
    (root / "data").mkdir()
    (root / "config.yaml").write_text(CONFIG)
    results = Results(root / "results")
    masks = {"WMH": Mask("mask", "derivatives/manual/mask.nii.gz"), "ISL": Mask()}
    splits = ["train"] * 6 + ["validation"] + ["test"] * 3
    scans = []
    for number in range(count):
        split, name = splits[number % 10], f"sub-{number:06d}"
        shard = f"ds-{split}-{number // (10 * SHARD_SIZE) + 1:04d}"
        images = {"FLAIR": f"{name}/anat/{name}_FLAIR.nii.gz"}
        scans.append(
            Scan(
                f"ds_{name}", "ds", name[4:], "", f"ds_{name}", images, masks, split=split, shard=shard, digest="0" * 64
            )
        )
    table = pd.DataFrame([to_row(scan) for scan in scans]).replace("", None)
    write_table(results.cohort, table, columns(("WMH", "ISL"), ("FLAIR",)))
    write_shards(results.shards, scans)
    write_shard_lists(results, scans)
    assert dictionary(results.cohort).exists()
    return scans[0].shard


if __name__ == "__main__":
    main()
