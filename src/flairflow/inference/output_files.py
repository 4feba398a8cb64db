"""What a segmentation leaves for users: BIDS derivative masks, each with a sidecar that says where it came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flairflow import __version__
from flairflow.files import write_text
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import write_image
from flairflow.inference.prediction import Segmentation
from flairflow.paths import SOFTWARE


def write_segmentation(
    output: Callable[[str], Path],
    segmentation: Segmentation,
    labels: Sequence[str],
    reference: Path,
    provenance: dict[str, Any],
    probabilities: Collection[str],
) -> tuple[dict[str, Path], dict[str, float]]:
    """Write a mask per label, a dseg with its table, the brain mask, and probability maps.

    output        : from the end of a file's name to its path.
    reference     : the native reference image; shape, affine and form codes of the outputs are its own.
    provenance    : goes into every sidecar (model, hash, Sources).
    probabilities : the labels whose maps are written.
    Returns the files by role and each label's volume in ml.
    """
    files: dict[str, Path] = {}
    volumes = {}
    affine = segmentation.affine
    sidecar = provenance | {"SoftwareName": SOFTWARE, "SoftwareVersion": __version__, "SpatialReference": "orig"}

    def write(role: str, name: str, image: Image, description: str, **kind: str) -> None:
        files[role] = output(f"{name}.nii.gz")
        write_image(files[role], image, like=reference)
        text = json.dumps({"Description": description} | kind | sidecar, indent=2)
        write_text(output(f"{name}.json"), text + "\n")

    for number, label in enumerate(labels):
        mask = Image(segmentation.label(number), affine)
        write(f"mask_{label}", f"label-{label}_mask", mask, f"Where there is {label}", Type="Lesion")
        volumes[label] = float(mask.data.sum()) * mask.grid.voxel_ml
        if label in probabilities:
            map_ = Image(segmentation.probability(number), affine)
            write(f"probability_{label}", f"label-{label}_probseg", map_, f"Probability of {label}", Type="Lesion")
    brain = Image(segmentation.brain, affine)
    write("brain", "desc-brain_mask", brain, "Brain, in which lesions were looked for", Type="Brain")
    write("dseg", "dseg", Image(segmentation.classes, affine), "Labels, by the numbers in the table of the same name")
    rows = "".join(f"{number}\t{label}\n" for number, label in enumerate(labels, start=1))
    write_text(output("dseg.tsv"), f"index\tname\n{rows}")
    return files, volumes


def flag_of(values: Mapping[str, Any]) -> dict[str, str]:
    """What the sidecars of a scan say of what was noted of it: what to look at before its masks are used."""
    return {"Flag": str(values["flag"])} if values.get("flag") else {}


def write_prepared_segmentation(
    output: Callable[[str], Path],
    probabilities: Array,
    affine: Array,
    labels: Sequence[str],
    provenance: dict[str, Any],
    scored: Collection[str],
) -> dict[str, Path]:
    """Write what the network says on the grid of the prepared scan, for scoring there: a dseg (the largest probability)
    and a probability map of each label in `scored`.

    output, provenance : as in `write_segmentation`.
    probabilities      : float32 (1 + labels, X, Y, Z) on the grid of `affine`, background first.
    Returns the files by role.
    """
    sidecar = provenance | {"SoftwareName": SOFTWARE, "SoftwareVersion": __version__}
    text = {"Description": "On the grid of the prepared scan, which the network reads"}
    images = {"prepared_dseg": ("desc-prepared_dseg", np.argmax(probabilities, axis=0).astype(np.uint8))}
    for label, map_ in zip(labels, probabilities[1:], strict=True):
        if label in scored:
            images[f"prepared_probability_{label}"] = (f"label-{label}_desc-prepared_probseg", map_)
    files = {}
    for role, (name, data) in images.items():
        files[role] = output(f"{name}.nii.gz")
        write_image(files[role], Image(data, affine))
        write_text(output(f"{name}.json"), json.dumps(text | sidecar, indent=2) + "\n")
    return files
