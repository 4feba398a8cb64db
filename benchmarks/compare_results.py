"""What comparing published ensembles takes, beside the same of another version in a worktree.

    python benchmarks/compare_results.py RESULTS_FOLDER [--lists TEST.csv] [--against WORKTREE/src]

RESULTS_FOLDER has a JSON file per ensemble, as docs/paper.md says; two of them stand in the comparison twice, under
other names, to make the ten published ones twelve. Prints CPU seconds, seconds and peak memory of one run each, and
where p values or intervals of the tables differ.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

import flairflow
from flairflow.comparison.published.import_results import import_results

TWICE = ("marginal_loss", "pseudolabels")
RUN = "from flairflow.cli import main; import sys; sys.exit(main(sys.argv[1:]))"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lists", type=Path)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    own = Path(flairflow.__file__).parents[1]
    versions = {"this version": own} | ({"the other": options.against} if options.against else {})
    with tempfile.TemporaryDirectory() as place:
        tables = [Path(place) / "ten.tsv", Path(place) / "two.tsv"]
        import_results([options.folder], tables[0], scans=options.lists)
        twice = [options.folder / f"{name}.json" for name in TWICE]
        import_results(twice, tables[1], scans=options.lists, prefix="again_")
        for name, source in versions.items():
            print(name, _run(source, tables, Path(place) / name.split()[-1]))
        if len(versions) == 2:
            _compare(*(Path(place) / name.split()[-1] / "tables" / "pairs.tsv" for name in versions))


def _run(source: Path, tables: list[Path], out: Path) -> str:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    arguments = ["compare-results", *map(str, tables), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", RUN, *arguments], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # The peak is of the largest child so far: this version runs first.
    return f"{used:6.1f} s CPU, {time.perf_counter() - start:6.1f} s, {after.ru_maxrss / 1024:6.0f} MB"


def _compare(own: Path, other: Path) -> None:
    keys = ["label", "metric", "view", "dataset", "ensemble", "other"]
    both = pd.read_csv(own, sep="\t").merge(pd.read_csv(other, sep="\t"), on=keys, suffixes=("", "_other"))
    pooled = both[both["view"] == "pooled"]
    for name in ("p", "p_holm"):
        turned = (pooled[name] < 0.05) != (pooled[f"{name}_other"] < 0.05)
        far = (pooled[name] - pooled[f"{name}_other"]).abs().max()
        print(f"{name}: {turned.sum()} of {len(pooled)} pooled rows on the other side of 0.05, at most {far:.4f} apart")
    width = (pooled["high"] - pooled["low"]) / (pooled["high_other"] - pooled["low_other"])
    print(f"intervals of differences: median width {width.median():.3f} times the other's")
    print(f"opposite: {pooled['opposite'].sum()} pooled rows, {both['opposite'].sum()} of all {len(both)}")


if __name__ == "__main__":
    main()
