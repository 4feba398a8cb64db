"""The workflow on real scans, with models that have seen none: real FLAIRs are segmented, those with masks scored.

    python benchmarks/real/workflow.py DATA_FOLDER MODEL_FOLDER...

DATA_FOLDER holds the BIDS datasets ms_mni (FLAIR with consensus lesion masks) and ms_long (FLAIR only). The model
folders, such as results/models/marginal/all/seed-0, are one ensemble. Prints volumes and scores of the scans, and
whether each mask has its FLAIR's shape and affine. Results lie in results-real/.
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

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = "results-real"


def main() -> None:
    data, models = Path(sys.argv[1]).resolve(), [str(Path(folder).resolve()) for folder in sys.argv[2:]]
    consensus = {"folder": "derivatives/consensus", "entities": {"label": "lesion", "desc": "consensus"}}
    config = {
        "labels": ["WMH", "ISL"],
        "results": FOLDER,
        "models": {"given": models},
        "datasets": {
            "msmni": {"root": str(data / "ms_mni"), "use": "test", "labels": {"WMH": consensus}},
            "mslong": {"root": str(data / "ms_long"), "use": "segment"},
        },
    }
    path = REPOSITORY / f"{FOLDER}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    command = ["snakemake", "--cores", "2", "--configfile", str(path), "--profile", "profiles/local"]
    subprocess.run([*command, "--quiet", "rules", "progress"], cwd=REPOSITORY, check=True)

    results = Results(REPOSITORY / FOLDER)
    volumes = read_table(results.table("volumes"))
    metrics = read_table(results.table("metrics"))
    columns = ["scan", "label", "volume_ml", "brain_ml", "flag", "reason"]
    print(volumes[columns].to_string(index=False))
    print(metrics.to_string(index=False))
    for mask in sorted((results.root / "derivatives/flairflow").glob("ms*/sub-*/**/*_dseg.nii.gz")):
        dataset = "ms_mni" if "msmni" in mask.parts else "ms_long"
        relative = mask.relative_to(results.root / "derivatives/flairflow").relative_to(dataset.replace("_", ""))
        flair: Any = nib.load(data / dataset / relative.with_name(mask.name.replace("dseg", "FLAIR")))
        ours: Any = nib.load(mask)
        same = ours.shape == flair.shape and np.allclose(ours.affine, flair.affine, atol=1e-4)
        print(f"{mask.name}: shape and affine of its FLAIR: {'yes' if same else 'NO'}")


if __name__ == "__main__":
    main()
