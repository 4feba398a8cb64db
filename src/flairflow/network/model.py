"""A trained model on disk: a folder with `weights.safetensors`, `plan.json` and `record.json`, and a MONAI bundle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pydantic
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from flairflow.errors import ConfigError
from flairflow.files import atomic, write_text
from flairflow.network.activation import channels
from flairflow.network.architecture import build_network, load_network_weights
from flairflow.network.monai_bundle import write_bundle
from flairflow.network.plan import Plan, Record
from flairflow.paths import MODEL_FILES

WEIGHTS, PLAN, RECORD = MODEL_FILES


@dataclass(frozen=True, eq=False)
class Model:
    """Weights by name (on the CPU) with their plan and record."""

    weights: dict[str, Tensor]
    plan: Plan
    record: Record

    def network(self) -> nn.Module:
        """The network with these weights."""
        plan = self.plan
        outputs = channels(plan.activation, len(plan.classes))
        network = build_network(plan.network, len(plan.images), outputs)
        load_network_weights(network, self.weights)
        return network


def save_model(folder: Path, model: Model) -> None:
    """Write a model folder; each file appears whole or not at all, the record last."""
    with atomic(folder / WEIGHTS) as partial:
        save_file(model.weights, partial)
    write_text(folder / PLAN, model.plan.model_dump_json(indent=2) + "\n")
    write_bundle(folder, model.plan, model.record)
    write_text(folder / RECORD, model.record.model_dump_json(indent=2) + "\n")


def load_model(folder: Path) -> Model:
    """Read a model folder. Raises ConfigError naming it when a file is missing, damaged or of another version."""
    try:
        plan = Plan.model_validate_json((folder / PLAN).read_text(encoding="utf-8"))
        return Model(load_file(folder / WEIGHTS), plan, load_record(folder))
    except (OSError, pydantic.ValidationError, SafetensorError) as error:
        raise ConfigError(f"{folder}: no usable model folder ({error})") from error


def load_record(folder: Path) -> Record:
    """Read the record of a model folder, without its weights. Raises ConfigError as `load_model` does."""
    try:
        return Record.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, pydantic.ValidationError) as error:
        raise ConfigError(f"{folder}: no usable model folder ({error})") from error


def model_hash(folder: Path) -> str:
    """What a prediction depends on: 16 hexadecimal digits over the weights and the plan, whatever its formatting."""
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode())
    with (folder / WEIGHTS).open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
