"""A tiny synthetic cohort and the workflow run over it, shared by the browser and the end-to-end tests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml

import warm
from flairflow.paths import Results
from flairflow.shards.ledger import read_ledger

CONFIG: dict[str, Any] = {
    "labels": ["WMH", "ISL"],
    "datasets": {
        "both": {
            "root": "demo/both",
            "labels": {
                "WMH": {"folder": "derivatives/manual", "entities": {"label": "WMH"}},
                "ISL": {"folder": "derivatives/manual", "entities": {"label": "ISL"}},
            },
        },
        "islonly": {
            "root": "demo/islonly",
            "labels": {"ISL": {"folder": "derivatives/manual", "entities": {"label": "ISL"}, "drawn_on": "dwi"}},
        },
        "archive": {"root": "demo/archive"},
    },
    "index": {"splits": {"train": 0.5, "validation": 0.25, "test": 0.25}},
    "registration": {"template_resolution": 4.0},
    "preprocessing": {"spacing": 4.0},
    "training": {
        "network": {"filters": [4, 8, 16], "deep_supervision": 1},
        "patch": 24,
        "updates": 6,
        "validate_every": 3,
    },
    "segmentation": {"probabilities": True},
    "report": {"mosaics": 3},
    "simulation": {
        "root": "demo",
        "datasets": {
            "both": {"participants": 4, "labels": ["WMH", "ISL"], "voxel_size": [4, 4, 4]},
            "islonly": {"participants": 4, "labels": ["ISL"], "drawn_on": {"ISL": "dwi"}, "voxel_size": [3, 3, 6]},
            "archive": {"participants": 2, "second_session": 0.5, "voxel_size": [4, 4, 4]},
        },
    },
}


class Run:
    """A working folder with a configuration, and snakemake in it."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder, self.repository = folder, repository
        self.results = Results(folder / "results")
        self.snakemake_report = folder / "snakemake.html"

    def copy(self, folder: Path) -> Run:
        """Another working folder with all of this one's files."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Run(folder, self.repository)

    def configure(self, **changes: Any) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | changes))

    @property
    def values(self) -> dict[str, Any]:
        """The configuration as it stands."""
        values: dict[str, Any] = yaml.safe_load((self.folder / "config.yaml").read_text())
        return values

    def change(self, **changes: Any) -> None:
        """Change some keys of the configuration as it stands."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.values | changes))

    def snakemake(self, *arguments: str) -> str:
        command = ["snakemake", "--snakefile", str(self.repository / "Snakefile")]
        command += ["--directory", str(self.folder), "--configfile", str(self.folder / "config.yaml")]
        command += ["--profile", str(self.repository / "profiles" / "local"), "--cores", "2", *arguments]
        done = self.ended(*command)
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout + done.stderr

    def planned(self, *arguments: str) -> Counter[str]:
        """Jobs that a run would do, by rule."""
        text = self.snakemake(*arguments, "-n", "-q", "rules")
        table = re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE)
        return Counter({rule: int(count) for rule, count in table if rule not in ("total", "all")})

    def command(self, *arguments: str) -> str:
        """Run a subcommand of flairflow here; returns its log."""
        done = self.ended("flairflow", *arguments)
        assert done.returncode == 0, done.stderr[-6000:]
        return done.stderr

    def ended(self, *command: str) -> subprocess.CompletedProcess[str]:
        """`snakemake` or `flairflow` with these arguments, after it ended here, however it did."""
        return warm.run(*command, cwd=self.folder)

    def processed(self) -> Counter[str]:
        """How often each scan was processed by each stage, from the append-only states."""
        counts: Counter[str] = Counter()
        for path in sorted((self.results.root / "state").rglob("*.jsonl")):
            if path != self.results.file_checks:
                stage = path.relative_to(self.results.root / "state").parent.as_posix()
                counts.update(f"{stage} {json.loads(line)['scan']}" for line in path.read_text().splitlines())
        return counts


def segmented_in_three_steps(run: Run, shard: str, ensemble: str, folder: Path) -> tuple[Results, Results]:
    """A shard segmented by way of `register` and `preprocess` in results of its own, beside those of the run."""
    results = Results(folder / "results")
    shutil.copytree(run.results.root / "models", results.root / "models")
    results.shard_list(shard).parent.mkdir(parents=True)
    shutil.copy(run.results.shard_list(shard), results.shard_list(shard))
    config = json.loads(run.results.config.read_text()) | {"results": str(results.root)}
    (folder / "three.json").write_text(json.dumps(config))
    for stage in (["register"], ["preprocess"], ["segment-shard", "--ensemble", ensemble, "--threads", "2"]):
        run.command(*stage, "--config", str(folder / "three.json"), "--shard", shard)
    return run.results, results


def same_segmentations(one: Results, three: Results, shard: str, ensemble: str) -> int:
    """Compare the ledgers and the voxels of every image of a shard; returns how many there were."""
    stage, images = f"segment/{ensemble}", 0
    rows, others = (read_ledger(results.ledger(stage, shard)) for results in (one, three))
    for scan, row in rows.items():
        assert (row.status, row.files, row.values) == ("ok", others[scan].files, others[scan].values)
        for path in row.files.values():
            first, second = (np.asarray(nib.load(results.root / path).dataobj) for results in (one, three))  # type: ignore
            assert np.array_equal(first, second), path
            images += 1
    return images
