"""Drawn heads: what the brain network makes of those it never saw, and pictures to look at.

    python benchmarks/heads.py HEADS [--wmh MASKS] [--count 200] [--pictures FOLDER] [--cache FOLDER]

HEADS has the folders `anatomies` and `stroke_masks`; the last four anatomies were held back from training. Prints the
brain's Dice over `count` heads of new seeds (limits: mean 0.97, worst 0.93), how much of chronic cortical infarcts of
simulated phantoms lies in the found brain (limit 97 %), the default model's scores on drawn brains, and CPU seconds.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import numpy as np

from flairflow.brain_mask.network import MODEL, brain_mask, find_brain
from flairflow.config.named_models import default_model
from flairflow.config.simulation import SimulatedDataset
from flairflow.images.grid import Array, Image
from flairflow.network.model import load_model
from flairflow.simulation.anatomy import Traits
from flairflow.simulation.heads.draw import draw_brain, draw_whole_head
from flairflow.simulation.rater import draw_rater
from flairflow.simulation.scanner import draw_scanner
from flairflow.simulation.session import make_session
from flairflow.training.default_models.examples import Material, Sources, load_material
from flairflow.training.default_models.validate import brain_scores, lesion_scores

SEED = 77  # no training used it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path)
    parser.add_argument("--wmh", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--phantoms", type=int, default=8)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("results/default_models/work/anatomies"))
    given = parser.parse_args()
    sources = Sources(given.heads / "anatomies", given.wmh, given.heads / "stroke_masks")
    _, held = load_material(sources, given.cache)
    print(f"{platform.processor() or platform.machine()}, {time.strftime('%Y-%m-%d')}")
    if given.pictures:
        contact_sheets(held, given.count, given.pictures)
    began = time.process_time()
    scores = brain_scores(MODEL, held, SEED, given.count)
    print(f"brain, {given.count} drawn heads: {scores}; {(time.process_time() - began) / given.count:.1f} CPU s a head")
    kept = [kept_of_cavities(seed) for seed in range(given.phantoms)]
    print(f"surface cavities, {given.phantoms} phantoms: share of ISL in the found brain {np.round(kept, 4).tolist()}")
    print(f"default model, drawn brains: {lesion_scores(load_model(default_model()), held, SEED, given.count // 4)}")


def kept_of_cavities(seed: int) -> float:
    """The share of a simulated head's old strokes that lies in the brain that the network finds."""
    voxels = (1.0, 1.0, 4.0) if seed % 2 else (1.4, 1.4, 1.4)
    dataset = SimulatedDataset(participants=1, labels=("ISL",), voxel_size=voxels)
    traits = Traits(age=70, sex="F", wmh_ml=5.0, acute=0, chronic=4)
    scanner, rater = draw_scanner([SEED, seed, 1], voxels), draw_rater([SEED, seed, 2])
    session = make_session(dataset, traits, scanner, rater, [SEED, seed], 0)
    flair = session.scans["FLAIR"]
    brain = brain_mask(find_brain(Image(flair.data.astype(np.float32), flair.affine)), flair.grid)
    lesion = session.truth["ISL"].data
    return float((lesion & brain).sum() / max(lesion.sum(), 1))


def contact_sheets(held: Material, count: int, folder: Path) -> None:
    """Twenty heads and brains a page, in the middle of the brain or where most lesions are."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for page in range(0, count, 20):
        figure, axes = plt.subplots(4, 5, figsize=(15, 12))
        for number, panel in enumerate(axes.flat, start=page):
            generator = np.random.default_rng([SEED, 5, number])
            anatomy = held.anatomies[number % len(held.anatomies)]
            whole = number % 2 == 0
            head = (
                draw_whole_head(generator, anatomy, held.shapes)
                if whole
                else draw_brain(generator, anatomy, held.shapes, 1.5)
            )
            lesions = head.wmh + head.isl
            level = int(lesions.sum(axis=(0, 1)).argmax()) if lesions.any() else head.image.shape[2] // 2
            shown = head.image if whole else np.where(head.surface > 0, head.image, 0)
            panel.imshow(shown[:, :, level].T[::-1], cmap="gray", vmax=np.percentile(shown, 99.7))
            outlines: list[tuple[Array, float, str]] = [(head.wmh, 0.5, "gold"), (head.isl, 0.5, "cyan")]
            outlines += [(head.surface, 0.0, "red")] if whole else []
            for map_, at, colour in outlines:
                plane = map_[:, :, level].T[::-1]
                if plane.min() < at < plane.max():
                    panel.contour(plane, [at], colors=colour, linewidths=0.7)
            panel.axis("off")
        figure.tight_layout()
        figure.savefig(folder / f"heads-{page // 20 + 1:02d}.png", dpi=60)
        plt.close(figure)


if __name__ == "__main__":
    main()
