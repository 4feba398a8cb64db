"""The workflow on real scans: a real WMH-only dataset trains beside the demo cohort, all real FLAIRs are segmented.

    python benchmarks/real.py DATA_FOLDER [CORES]

DATA_FOLDER holds the BIDS datasets ms_mni (FLAIR with consensus lesion masks) and ms_long (FLAIR only). Prints the
summary, volumes and scores of the real scans, and whether each mask has its FLAIR's shape and affine. Results lie in
results-real/.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml

from flairflow.paths import Results
from flairflow.tables import read_table

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = "results-real"


def main() -> None:
    data, cores = Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "2"
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    consensus = {"folder": "derivatives/consensus", "entities": {"label": "lesion", "desc": "consensus"}}
    config["results"] = FOLDER
    config["datasets"]["msmni"] = {"root": str(data / "ms_mni"), "labels": {"WMH": consensus}}
    config["datasets"]["mslong"] = {"root": str(data / "ms_long"), "use": "segment"}
    path = REPOSITORY / f"{FOLDER}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    command = ["snakemake", "--cores", cores, "--configfile", str(path), "--profile", "profiles/local"]
    subprocess.run([*command, "--quiet", "rules", "progress"], cwd=REPOSITORY, check=True)

    results = Results(REPOSITORY / FOLDER)
    real = ("msmni", "mslong")
    volumes = read_table(results.table("volumes"))
    metrics = read_table(results.table("metrics"))
    columns = ["scan", "label", "volume_ml", "brain_ml", "flag", "reason"]
    print(volumes.loc[volumes["dataset"].isin(real), columns].to_string(index=False))
    print(metrics[metrics["dataset"].isin(real)].to_string(index=False))
    for mask in sorted((results.root / "derivatives/flairflow").glob("ms*/sub-*/**/*_dseg.nii.gz")):
        dataset = "ms_mni" if "msmni" in mask.parts else "ms_long"
        relative = mask.relative_to(results.root / "derivatives/flairflow").relative_to(dataset.replace("_", ""))
        flair: Any = nib.load(data / dataset / relative.with_name(mask.name.replace("dseg", "FLAIR")))
        ours: Any = nib.load(mask)
        same = ours.shape == flair.shape and np.allclose(ours.affine, flair.affine, atol=1e-4)
        print(f"{mask.name}: shape and affine of its FLAIR: {'yes' if same else 'NO'}")


if __name__ == "__main__":
    main()
