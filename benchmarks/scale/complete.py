"""A cohort after a complete run: ledgers and records as long as real ones, everything else a few bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from process import Run, apart, snakemake

from flairflow.cohort.index import read_scans
from flairflow.cohort.scan import Scan
from flairflow.metrics.registry import METRICS
from flairflow.paths import Results, derivative
from flairflow.shards.ledger import Row, write_ledger

LABELS, IMAGES = ("WMH", "ISL"), ("FLAIR",)
MEASURED = {"quality_MNI152": 0.8532, "starts_MNI152": 300.0, "flag": None, "brain_ml": 1662.848}
# By stage, the ends of the names of the files that a real run leaves of a scan.
FILES = {
    "register": {"to_template": "from-FLAIR_to-MNI152_mode-image_xfm.txt", "brain": "desc-brain_mask.nii.gz"},
    "preprocess": {"FLAIR": "desc-prepared_FLAIR.nii", "brain": "desc-prepared_mask.nii"},
    "pseudolabel": {"teacher": "probseg.nii"},
    "segment": {f"mask_{label}": f"label-{label}_mask.nii.gz" for label in LABELS}
    | {"brain": "desc-brain_mask.nii.gz", "dseg": "dseg.nii.gz"},
    "evaluate": {},
}


def complete(folder: Path) -> Run:
    """Write all outputs, and let Snakemake note each as made: it schedules every job of the plan and runs none."""
    listed = snakemake(folder, "--summary").output.splitlines()
    start = next(number for number, line in enumerate(listed) if line.startswith("output_file\t")) + 1
    apart(_write, folder, [line.split("\t")[0] for line in listed[start:]])
    return snakemake(folder, "--touch", "--forceall", "--quiet", "all")


def _write(folder: Path, outputs: Sequence[str]) -> None:
    results = Results(folder / "results")
    for output in outputs:
        path = folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_relative_to(results.root / "ledgers"):
            stage = path.parent.relative_to(results.root / "ledgers").as_posix()
            _write_shard(results, stage, path.stem)
        elif not path.exists():
            path.write_text("made\n")


def _write_shard(results: Results, stage: str, shard: str) -> None:
    """Ledger, record, costs, log and benchmark of a job, by the rows that it would have had."""
    scans = read_scans(results.shard_list(shard), LABELS, IMAGES)
    rows = [_row(scan, stage, results) for scan in scans]
    write_ledger(results.ledger(stage, shard), rows)
    texts = {
        results.state(stage, shard): "".join(json.dumps(asdict(row)) + "\n" for row in rows),
        results.log(stage, shard): "".join(_log_lines(stage, scans)),
        results.benchmark(stage, shard): "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\n" + "0.0000\t" * 9 + "\n",
        results.lock(stage, shard): "",
        results.scan_costs(stage, shard): "scan\tstatus\tseconds\tpeak_mb\tfinished\n"
        + "".join(f"{scan.scan}\tok\t10.00\t1000\t2026-01-01T00:00:00.000+00:00\n" for scan in scans),
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _row(scan: Scan, stage: str, results: Results) -> Row:
    kind, _, ensemble = stage.partition("/")
    root = {"segment": results.masks(ensemble), "pseudolabel": results.pseudolabels(ensemble)}.get(
        kind, results.prepared
    )
    files = {
        role: derivative(root, scan.scan, name).relative_to(results.root).as_posix()
        for role, name in FILES[kind].items()
    }
    scores = {f"{label} {metric}": 0.123456789012345 for label in scan.annotated for metric in METRICS}
    values = scores if kind == "evaluate" else MEASURED | {f"{label}_ml": 12.345678 for label in LABELS}
    return Row(scan.scan, "ok", "0123456789abcdef", files=files, values=values)


def _log_lines(stage: str, scans: Sequence[Scan]) -> list[str]:
    return [
        f"2026-01-01 00:00:00,000 INFO {stage} {number}/{len(scans)} {scan.scan} done\n"
        for number, scan in enumerate(scans, start=1)
    ]
