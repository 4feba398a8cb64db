"""Real scans, real odd headers, real BIDS trees. The data are never part of the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from chain import CONFIG, Run
from flairflow.cohort.index import index
from flairflow.config import load_config
from flairflow.metrics.overlap import overlap_metrics
from flairflow.paths import Results
from flairflow.tables import read_table


def test_published_transforms_and_brain_masks_are_met(real_data: Path, repository: Path, tmp_path: Path) -> None:
    """Of each participant's first session."""
    data, left_out = tmp_path / "real", shutil.ignore_patterns("ses-2")
    shutil.copytree(real_data / "real", data, copy_function=os.symlink, ignore=left_out)
    benchmark = [sys.executable, str(repository / "benchmarks" / "registration.py"), str(data)]
    done = subprocess.run(benchmark, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "all limits met" in done.stdout


def test_real_archives_are_segmented_with_a_given_model(
    chain: Run, real_data: Path, tmp_path: Path, repository: Path
) -> None:
    run = Run(tmp_path, repository)
    consensus = {"folder": "derivatives/consensus", "entities": {"label": "lesion", "desc": "consensus"}}
    roots = {"msmni": real_data / "real" / "ms_mni", "mslong": real_data / "real" / "ms_long"}
    config = {
        "labels": ["WMH", "ISL"],
        "datasets": {
            "msmni": {"root": str(roots["msmni"]), "use": "test", "labels": {"WMH": consensus}},
            "mslong": {"root": str(roots["mslong"])},
        },
        "models": {"given": [str(chain.results.model("marginal", "all", 0))]},
        "preprocessing": CONFIG["preprocessing"],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    run.snakemake()
    volumes = read_table(run.results.table("volumes"))
    assert len(volumes) == 12
    assert (volumes["volume_ml"].notna() == volumes["reason"].isna()).all() and volumes["flag"].isna().all()
    assert volumes["brain_ml"].between(1000, 1800).all()
    assert len(read_table(run.results.table("metrics"))) == 2
    masks = sorted((run.results.root / "derivatives/flairflow").rglob("*_dseg.nii.gz"))
    assert len(masks) == 6
    for mask in masks:
        inside = mask.relative_to(run.results.root / "derivatives/flairflow")
        root = roots[inside.parts[0]]
        flair: Any = nib.load(root.joinpath(*inside.parts[1:]).with_name(mask.name.replace("dseg", "FLAIR")))
        ours: Any = nib.load(mask)
        assert ours.shape == flair.shape
        assert np.allclose(ours.affine, flair.affine, atol=1e-4)
        assert [int(ours.header[code]) for code in ("qform_code", "sform_code")] == [
            int(flair.header[code]) for code in ("qform_code", "sform_code")
        ]


@pytest.mark.parametrize("reference", ["FLAIR", "T1w"])
def test_real_bids_trees_are_indexed_and_every_scan_has_a_reason(
    real_data: Path, tmp_path: Path, reference: str
) -> None:
    """Trees without image content: empty files, header-only files, dangling links of an unfetched clone."""
    with tarfile.open(real_data / "bids-trees.tar.gz") as archive:
        # Pythons before 3.11.4 know no filters.
        archive.extraction_filter = getattr(tarfile, "tar_filter", None)
        archive.extractall(tmp_path)
    roots = {path.name: path for folder in ("bids-examples", "openneuro") for path in (tmp_path / folder).iterdir()}
    roots = {name.replace("-", "").replace("_", ""): path for name, path in roots.items()}
    datasets: dict[str, Any] = {name: {"root": str(path)} for name, path in roots.items()}
    datasets["ds004199"]["labels"] = {"A": {"suffix": "FLAIR_roi", "drawn_on": "FLAIR"}}
    values = {"labels": ["A"], "images": [reference], "results": str(tmp_path / "results"), "datasets": datasets}
    config = load_config(values)
    index(config, threads=2)
    cohort = read_table(Results(config.results).cohort, text=True)
    found = cohort["dataset"].value_counts()
    assert found["ds004199"] == 170
    assert found["geneticsukbb"] == 14
    assert (cohort["status"] == "excluded").all()
    masks = cohort[(cohort["dataset"] == "ds004199") & (cohort["annotation_A"] == "mask")]
    # One of the 85 masks names another acquisition than its FLAIR: on the FLAIR that is a slip, not a missing mask.
    slip = cohort[cohort["reason"].str.contains("agrees with no FLAIR image")]
    assert (len(masks), list(slip["participant"])) == ((84, ["00048"]) if reference == "FLAIR" else (85, []))
    others = cohort.drop(slip.index)
    assert others["reason"].str.contains("broken link|damaged or truncated").all()


def test_a_flair_alone_is_segmented_by_the_models_in_the_box(real_data: Path, tmp_path: Path) -> None:
    known = real_data / "real/ms_mni/derivatives/consensus/sub-patient26/anat"
    scans = [real_data / "heads/scans/flair3d.nii.gz"]
    scans.append(real_data / "real/ms_mni/sub-patient26/anat/sub-patient26_FLAIR.nii.gz")
    command = [sys.executable, "-m", "flairflow.cli", "segment", *map(str, scans), "--out", str(tmp_path), "--json"]
    done = subprocess.run([*command, "--threads", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "the default model, which comes with flairflow" in done.stderr.splitlines()[0]
    healthy, ill = json.loads(done.stdout)["images"]
    assert healthy["brain_mask"] == ill["brain_mask"] == "network"
    assert healthy["ISL_ml"] <= 1 and not healthy["flag"] and not ill["flag"]
    assert 1000 < ill["brain_ml"] < 1200
    for row in (healthy, ill):
        lesions, brain = (
            np.asarray(nib.load(tmp_path / f"{row['name']}_{end}.nii.gz").dataobj)  # type: ignore[attr-defined]
            for end in ("dseg", "desc-brain_mask")
        )
        assert not lesions[brain == 0].any()
        assert (tmp_path / f"{row['name']}_overlay.png").exists()
    truth: Any = nib.load(next(known.glob("*.nii.gz")))
    scores = overlap_metrics(lesions == 1, truth.get_fdata() > 0)
    assert scores["dice"] > 0.5
