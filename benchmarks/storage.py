"""Files and bytes per scan and stage, of any results folder.

    python benchmarks/storage.py [RESULTS]

Counts what is there, and what prepared images and pseudolabels would take at voxels of 1 mm: they are uncompressed, so
their size goes with the number of voxels, that is with the third power of `preprocessing.spacing`.
"""

from __future__ import annotations

import json
import sys

from flairflow.cleaning.disk_use import measure
from flairflow.paths import Results


def main() -> None:
    results = Results(sys.argv[1] if len(sys.argv) > 1 else "results")
    spacing = json.loads(results.config.read_text(encoding="utf-8"))["preprocessing"]["spacing"]
    print("| what | scans | files | MB | files per scan | MB per scan | MB per scan at 1 mm |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for row in measure(results).to_dict("records"):
        by_scan = row["files_per_scan"] == row["files_per_scan"]
        cells = [row["what"], row["scans"] if by_scan else "", row["files"], f"{row['bytes'] / 1e6:.2f}"]
        cells += [f"{row['files_per_scan']:.1f}", f"{row['bytes_per_scan'] / 1e6:.2f}"] if by_scan else ["", ""]
        voxels = row["what"] == "preprocess" or row["what"].startswith("pseudolabel/")
        cells.append(f"{row['bytes_per_scan'] / 1e6 * spacing**3:.1f}" if by_scan and voxels else "")
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
