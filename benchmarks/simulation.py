"""How the simulated cohort compares with real scans: lesion sizes, contrast, and what a participant costs.

    python benchmarks/simulation.py DATA_FOLDER [PICTURES]

DATA_FOLDER holds real/ms_mni and real/masks_only (Lesjak et al., Neuroinformatics 2017). Simulates 40 participants in a
temporary folder. With PICTURES, writes there `sizes.png` (distributions), `simulation.png` (simulated scans) and
`beside.png` (real beside simulated: not for publication).
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy import ndimage

from flairflow.config.simulation import SimulationSettings
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_image, read_labels
from flairflow.images.resample import resample
from flairflow.simulation.cohort import draw_session, draw_traits, simulate_participant
from flairflow.simulation.contrast import share_on
from flairflow.simulation.template import load_template

KINDS: dict[str, dict[str, Any]] = {
    "3D 1 mm": {"voxel_size": [1, 1, 1]},
    "3D 2 mm": {"voxel_size": [2, 2, 2]},
    "2D 1x1x5 mm": {"voxel_size": [1, 1, 5], "slice_gap": 1},
    "2D 1x1x3 mm": {"voxel_size": [1, 1, 3]},
}
PARTICIPANTS = 10
ALL = np.ones((3, 3, 3))


def main() -> None:
    data = Path(sys.argv[1]) / "real"
    pictures = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    print(
        f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')}"
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = SimulationSettings.model_validate({"root": folder, "seed": 5, "datasets": _datasets()})
        _time(settings)
        sizes = _sizes(settings, data)
        _contrasts(settings, data)
        _ages(settings)
        if pictures:
            from simulation_pictures import draw_beside, draw_panel, draw_sizes

            pictures.mkdir(parents=True, exist_ok=True)
            draw_sizes(sizes, pictures / "sizes.png")
            draw_panel(pictures / "simulation.png")
            draw_beside(settings, data, pictures / "beside.png")


def _datasets() -> dict[str, Any]:
    return {
        _dataset(kind): {"participants": PARTICIPANTS, "labels": ["WMH", "ISL"], **values}
        for kind, values in KINDS.items()
    }


def _dataset(kind: str) -> str:
    return kind.replace(" ", "-")


def _time(settings: SimulationSettings) -> None:
    load_template()
    print("\nprocessor seconds per participant (one FLAIR, two masks, three true masks)")
    for kind in KINDS:
        started = time.process_time()
        for number in range(1, PARTICIPANTS + 1):
            simulate_participant(settings, _dataset(kind), number)
        print(f"  {kind:12} {(time.process_time() - started) / PARTICIPANTS:5.2f}", flush=True)


def _sizes(settings: SimulationSettings, data: Path) -> dict[str, list[Array]]:
    """Volumes (ml) of the WMH components of each scan that has any, by source; printed as a table."""
    real = {
        "real, consensus, 1 mm (2)": sorted((data / "ms_mni").rglob("*consensus_mask.nii.gz")),
        "real, 1 mm (13)": sorted((data / "masks_only" / "mni_1mm").glob("*_lesion.nii.gz")),
        "real, 0.8x0.5x0.5 mm (3)": sorted((data / "masks_only" / "native_3d").glob("*_lesion.nii.gz")),
    }
    simulated = {
        f"{what}, {kind}": sorted(root.rglob("*label-WMH_mask.nii.gz"))
        for kind in KINDS
        for what, root in (
            ("truth", settings.root / "truth" / _dataset(kind)),
            ("rater", settings.root / _dataset(kind) / "derivatives"),
        )
    }
    strokes = {
        f"ISL truth, {kind}": sorted((settings.root / "truth" / _dataset(kind)).rglob("*label-ISL_mask.nii.gz"))
        for kind in KINDS
    }
    print("\nlesions of a scan (26-connected components); medians over the scans that have any")
    print(f"  {'':28}{'scans':>6}{'number':>8}{'median ml':>11}{'90% ml':>9}{'max ml':>9}{'total ml':>10}{'range':>14}")
    sizes = {}
    for source, masks in (real | simulated | strokes).items():
        scans = [parts for parts in map(_components, masks) if len(parts)]
        sizes[source] = scans
        totals = [parts.sum() for parts in scans]
        row = [np.median([f(parts) for parts in scans]) for f in (len, np.median, _ninety, np.max, np.sum)]
        print(
            f"  {source:28}{len(scans):6}{row[0]:8.0f}{row[1]:11.3f}{row[2]:9.2f}{row[3]:9.2f}{row[4]:10.2f}"
            f"{min(totals):7.2f}-{max(totals):.1f}"
        )
    return sizes


def _ninety(parts: Array) -> float:
    return float(np.percentile(parts, 90))


def _components(path: Path) -> Array:
    mask = read_labels(path)
    parts, _ = ndimage.label(mask.data > 0, ALL)
    return np.bincount(parts.ravel())[1:] * mask.grid.voxel_ml


def _contrasts(settings: SimulationSettings, data: Path) -> None:
    print(
        "\nbrightness on FLAIR, (mean - mean of normal white matter) / its standard deviation; and that deviation in %"
    )
    print(f"  {'':28}{'WMH':>8}{'ISL':>8}{'cortex':>8}{'CSF':>8}{'white sd %':>12}")
    for flair in sorted((data / "ms_mni").glob("sub-*/anat/*_FLAIR.nii.gz")):
        (lesion,) = (data / "ms_mni" / "derivatives").rglob(f"{flair.name.split('_')[0]}*mask.nii.gz")
        print(_row(f"real, {flair.name.split('_')[0]}", [_real_contrast(flair, lesion)]))
    for kind in KINDS:
        print(_row(f"simulated, {kind}", list(_simulated_contrasts(settings, _dataset(kind)))))


def _row(name: str, values: list[dict[str, float]]) -> str:
    text = f"  {name:28}"
    for key, width in (("WMH", 8), ("ISL", 8), ("cortex", 8), ("CSF", 8), ("sd", 12)):
        numbers = [value[key] for value in values if np.isfinite(value[key])]
        text += f"{np.median(numbers):{width}.1f}" if numbers else f"{'-':>{width}}"
    return text


def _real_contrast(flair: Path, lesion: Path) -> dict[str, float]:
    """Tissues by the MNI152 priors where the T1w agrees; the scans are skull-stripped and in that space."""
    image, t1w = read_image(flair), read_image(flair.with_name(flair.name.replace("FLAIR", "T1w")))
    mask = read_labels(lesion).data > 0
    template = load_template()
    grey, white = (resample(prior, image.grid).data for prior in (template.grey, template.white))
    ventricle = resample(template.ventricle, image.grid).data
    level = np.median(t1w.data[white > 0.95])
    tissues = {
        "white": ndimage.binary_erosion(white > 0.95, ALL) & (t1w.data > 0.85 * level),
        "cortex": (grey > 0.9) & (t1w.data > 0.5 * level) & (t1w.data < 0.85 * level),
        "CSF": (ventricle < -1) & (t1w.data < 0.45 * level),
    }
    return _contrast(image, tissues, {"WMH": mask})


def _simulated_contrasts(settings: SimulationSettings, name: str) -> Iterator[dict[str, float]]:
    """Tissues by the shares the scans were made of."""
    for number in range(1, PARTICIPANTS + 1):
        session = draw_session(settings, name, number)
        anatomy, flair = session.anatomy, session.scans["FLAIR"]
        white, grey, csf, cavity = (
            share_on(share, anatomy, flair.grid, session.to_anatomy["FLAIR"])
            for share in (*(anatomy.tissues[tissue] for tissue in ("white", "grey", "csf")), anatomy.lesions["cavity"])
        )
        tissues = {"white": white > 0.98, "cortex": grey > 0.9, "CSF": ndimage.binary_erosion(csf > 0.95)}
        lesions = {"WMH": session.truth["WMH"].data, "ISL": session.truth["ISL"].data & (cavity < 0.1)}
        yield _contrast(flair, tissues, lesions)


def _contrast(image: Image, tissues: dict[str, Array], lesions: dict[str, Array]) -> dict[str, float]:
    near = np.zeros(image.data.shape, bool)
    for lesion in lesions.values():
        near |= lesion
    near = ndimage.binary_dilation(near, ALL, iterations=2)
    healthy = {name: image.data[tissue & ~near].astype(float) for name, tissue in tissues.items()}
    mean, sd = healthy["white"].mean(), healthy["white"].std()
    masks = {"WMH": image.data[lesions["WMH"]], "ISL": image.data[lesions["ISL"]] if "ISL" in lesions else np.zeros(0)}
    values = {name: (found.mean() - mean) / sd if len(found) else np.nan for name, found in (healthy | masks).items()}
    return values | {"sd": 100 * sd / mean}


def _ages(settings: SimulationSettings) -> None:
    loads = [
        (traits.age, traits.wmh_ml)
        for traits in (draw_traits(settings, _dataset("3D 1 mm"), n) for n in range(1, 2001))
    ]
    print("\nWMH of 2,000 participants, ml: median and 90th percentile of those who have any, by age")
    for low, high in ((45, 60), (60, 75), (75, 91)):
        found = [load for age, load in loads if low <= age < high and load > 0]
        print(f"  {low} to {high - 1}: {np.median(found):5.1f} {np.percentile(found, 90):6.1f}   of {len(found)}")


if __name__ == "__main__":
    main()
