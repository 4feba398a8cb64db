"""What models that are there already say of themselves, in place of keys that a configuration leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flairflow.config.named_models import DEFAULT, default_model, model_folder, read_plan
from flairflow.errors import ConfigError

# What the images must be like for a network to see what it saw in training; brain masks are another matter.
PREPARATION = ("spacing", "bias_correction", "bias_resolution")


def with_models(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration that names the default model where it names none and gives nothing to learn from, neither masks
    to train on nor what to train, nor other labels than that model's."""
    datasets = values.get("datasets")
    if any(values.get(key) for key in ("models", "strategies", "training")) or not isinstance(datasets, Mapping):
        return values
    described = [dataset for dataset in datasets.values() if isinstance(dataset, Mapping)]
    learnt_from = [dataset for dataset in described if dataset.get("labels") and dataset.get("use", "all") == "all"]
    if learnt_from or not described or not _are_its_labels(values.get("labels")):
        return values
    return {**values, "models": {DEFAULT: DEFAULT}}


def _are_its_labels(given: object) -> bool:
    if not given:
        return True
    try:
        return bool(read_plan(default_model(), "labels")["labels"] == given)
    except ConfigError:
        return False


def values_in_place(values: dict[str, Any]) -> dict[str, Any]:
    """What models say in place of keys that a configuration leaves out: those it names, of everything; the one that
    networks start from (`training.init`), of their shape and voxels. Raises ConfigError as `values_of_models` does."""
    if values.get("models"):
        if not values.get("labels"):
            return values_of_models(values["models"])
        try:
            return {"preprocessing": values_of_models(values["models"])["preprocessing"]}
        except (ConfigError, KeyError):
            # What is wrong with them is told with all that is wrong with models.
            return {}
    training = values.get("training")
    init = training.get("init") if isinstance(training, Mapping) else None
    if not isinstance(init, str | Path):
        return {}
    try:
        plan = read_plan(model_folder(Path(init)), "network", "preprocessing")
    except ConfigError as error:
        raise ConfigError(f"config: training.init: {error}") from None
    return {"training": {"network": plan["network"]}, "preprocessing": _preparation(plan)}


def values_of_models(models: object) -> dict[str, Any]:
    """Labels, precedence, images and preprocessing of the first of the models that `models` names, as a configuration
    has them; nothing where it names none in a way that is understood (the validation says so).

    Raises ConfigError when that folder is not there or has no usable plan.json.
    """
    name, folder = _first(models)
    if folder is None:
        return {}
    try:
        plan = read_plan(model_folder(folder), "labels", "images", "preprocessing")
    except ConfigError as error:
        raise ConfigError(f"config: models.{name}: {error}") from None
    values = {key: plan.get(key) for key in ("labels", "images", "precedence")}
    return {**values, "preprocessing": _preparation(plan)}


def _preparation(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {key: plan["preprocessing"][key] for key in PREPARATION if key in plan["preprocessing"]}


def _first(models: object) -> tuple[str, Path | None]:
    if isinstance(models, Mapping):
        for name, folders in models.items():
            first = folders[0] if isinstance(folders, list | tuple) and folders else folders
            if isinstance(first, str | Path):
                return str(name), Path(first)
    return "", None
