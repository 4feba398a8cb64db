"""`flairflow make-models`: the networks in the box, made again from their material."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from flairflow.config.models import DefaultModelsSettings, PreprocessingSettings
from flairflow.config.named_models import DEFAULT
from flairflow.files import atomic, write_text
from flairflow.network.device import choose_device, resolve_precision
from flairflow.network.model import Model, save_model
from flairflow.network.plan import Plan, Record
from flairflow.training.default_models.brain import make_brain_network
from flairflow.training.default_models.examples import Material, Sources, load_material
from flairflow.training.default_models.lesions import NETWORK, PATCH, SPACING, make_lesion_network
from flairflow.training.default_models.loop import Recipe
from flairflow.training.default_models.validate import brain_scores, lesion_scores

log = logging.getLogger(__name__)

LABELS = ("WMH", "ISL")
HEADS = 24  # drawn to validate with


def make_models(settings: DefaultModelsSettings, out: Path, work: Path, threads: int) -> None:
    """Train both networks on drawn heads and write their folders `brain` and `default` below `out`.

    work    : folder for checkpoints, from which a killed run goes on, and for what is worked out of the label maps.
    threads : one trains, the others draw.
    """
    sources = Sources(settings.anatomies, settings.wmh, settings.strokes)
    material, held = load_material(sources, work / "anatomies")
    workers = max(threads - 1, 1)
    brain = Recipe(settings.brain_updates, seed=settings.seed, workers=workers)
    write_brain(material, held, brain, out / "brain", work / "brain", settings)
    lesions = Recipe(settings.lesion_updates, seed=settings.seed, workers=workers)
    write_lesions(material, held, lesions, out / DEFAULT, work / "lesions")


def write_brain(
    material: Material, held: Material, recipe: Recipe, out: Path, work: Path, settings: DefaultModelsSettings
) -> None:
    """Train the network that finds the brain; its weights, plan and record in the folder `out`."""
    weights, plan = make_brain_network(material, recipe, work, settings.brain_spacing)
    with atomic(out / "weights.safetensors") as partial:
        save_file(_halved(weights), partial)
    write_text(out / "plan.json", plan.model_dump_json(indent=2) + "\n")
    scores = brain_scores(out, held, recipe.seed, HEADS)
    record = {**asdict(recipe), "precision": _precision(), "validation": scores, "versions": _versions()}
    write_text(out / "record.json", json.dumps(record, indent=2) + "\n")
    log.info("brain network: %s", scores)


def write_lesions(material: Material, held: Material, recipe: Recipe, out: Path, work: Path) -> None:
    """Train the default lesion model; a model folder like any other."""
    weights = make_lesion_network(material, recipe, work)
    plan = Plan(
        strategy=DEFAULT,
        part="all",
        labels=LABELS,
        precedence=LABELS[::-1],
        classes=LABELS,
        activation="softmax",
        images=("FLAIR",),
        preprocessing=PreprocessingSettings(spacing=SPACING),
        network=NETWORK,
        patch=PATCH,
        overlap=0.5,
    )
    halved = _halved(weights)
    scores = lesion_scores(Model(halved, plan, _record(recipe, {})), held, recipe.seed, HEADS)
    save_model(out, Model(halved, plan, _record(recipe, scores)))
    log.info("default model: %s", scores)


def _record(recipe: Recipe, scores: dict[str, float]) -> Record:
    inputs = sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest()[:16]
    return Record(
        seed=recipe.seed,
        updates=recipe.updates,
        best_update=recipe.updates,
        best_score=None,
        history=({"update": float(recipe.updates), **scores},),
        training_scans=recipe.updates * recipe.batch,
        validation_scans=int(scores.get("brains", 0)),
        annotated=dict.fromkeys(LABELS, recipe.updates * recipe.batch),
        inputs=inputs,
        precision=_precision(),
        versions=_versions(),
    )


def _halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights in half precision, each once: DynUNet lists its blocks a second time under `skip_layers`."""
    return {name: tensor.half().contiguous() for name, tensor in weights.items() if not name.startswith("skip_layers.")}


def _precision() -> str:
    return resolve_precision("auto", choose_device())


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("flairflow", "torch", "monai")}
