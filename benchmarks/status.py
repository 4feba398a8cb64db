"""How long `flairflow status` takes for 100,000 scans: half of the archive is segmented, 200 shards are being worked on
(a tenth of the scans is labelled and went through all stages). Tables are made up; there are no images.

    python benchmarks/status.py FOLDER [SCANS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from flairflow.cohort.index import write_shards
from flairflow.cohort.scan import Mask, Scan, columns, to_row
from flairflow.config import load_config
from flairflow.config.load import resolved
from flairflow.paths import Results
from flairflow.shards.ledger import Row, write_ledger
from flairflow.status.jobs import plan
from flairflow.status.run_state import Watcher
from flairflow.tables import to_tsv

LABELS = ("WMH", "ISL")
FILES = {name: f"derivatives/flairflow-pseudolabels/archive/sub-000000/anat/sub-000000_{name}" for name in "abcdef"}


def main(folder: Path, count: int) -> None:
    """Make the results in a folder, and print what looking at them takes."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    results = Results("results")
    if not results.config.exists():
        _make(results, count)
    command = [sys.executable, "-m", "flairflow.cli", "status", "--once"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, _, usage = os.wait4(process.pid, 0)
    print(
        f"{count:,} scans, flairflow status --once: {time.perf_counter() - started:.2f} s, of these "
        f"{usage.ru_utime + usage.ru_stime:.2f} s at work; {usage.ru_maxrss / 1024:.0f} MB"
    )
    watcher = Watcher(results.root)
    watcher.look(None)
    started, worked = time.perf_counter(), time.process_time()
    watcher.look(None)
    print(
        f"refreshed, nothing having changed: {time.perf_counter() - started:.2f} s, of these "
        f"{time.process_time() - worked:.2f} s at work"
    )


def _make(results: Results, count: int) -> None:
    labelled = {"root": "labelled", "labels": {label: {} for label in LABELS}}
    config = load_config({"labels": LABELS, "datasets": {"labelled": labelled, "archive": {"root": "archive"}}})
    results.root.mkdir()
    results.config.write_text(resolved(config))
    scans = [_scan(number, "labelled" if number < count // 10 else "archive") for number in range(count)]
    results.cohort.write_text(to_tsv(_table(scans)))
    write_shards(results.shards, scans)
    by_shard: dict[str, list[str]] = {}
    for scan in scans:
        by_shard.setdefault(scan.shard, []).append(scan.scan)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    for stage in plan(config, results, Watcher(results.root).look(None).cohort, Path.cwd()):
        for number, job in enumerate(job for job in stage.jobs if job.scans):
            if job.rule == "segment_archive" and number > len(stage.jobs) // 2 + 200:
                continue
            rows = [Row(scan, "ok", "0123456789abcdef", files=FILES) for scan in by_shard[job.name]]
            if job.rule == "segment_archive" and number > len(stage.jobs) // 2:
                path = results.state(stage.name, job.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(json.dumps(row.__dict__) + "\n" for row in rows[:32]))
            else:
                write_ledger(job.outputs[0], rows)
            costs = results.scan_costs(stage.name, job.name)
            costs.parent.mkdir(parents=True, exist_ok=True)
            costs.write_text("scan\n" + "".join(f"{row.scan}\tok\t20.00\t900\t{now}\n" for row in rows))


def _scan(number: int, dataset: str) -> Scan:
    split = ("train", "validation", "test")[number % 3] if dataset == "labelled" else "archive"
    known = "mask" if dataset == "labelled" else "missing"
    name = f"sub-{number:06d}"
    return Scan(
        scan=f"{dataset}_{name}",
        dataset=dataset,
        participant=name,
        session="",
        person=name,
        images={"FLAIR": f"{name}/anat/{name}_FLAIR.nii.gz"},
        masks={label: Mask(known if label == "WMH" or number % 2 else "missing") for label in LABELS},
        split=split,
        shard=f"{dataset}-{split}-{number // (192 if split != 'archive' else 64):04d}",
        digest="0" * 64,
    )


def _table(scans: list[Scan]) -> pd.DataFrame:
    return pd.DataFrame([to_row(scan) for scan in scans])[list(columns(LABELS, ("FLAIR",)))]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
