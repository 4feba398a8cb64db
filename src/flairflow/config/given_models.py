"""What models that are there already say of themselves, in place of keys that a configuration leaves out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flairflow.errors import ConfigError

# What the images must be like for a network to see what it saw in training; brain masks are another matter.
PREPARATION = ("spacing", "bias_correction", "bias_resolution")


def values_of_models(models: object) -> dict[str, Any]:
    """Labels, precedence, images and preprocessing of the first of the models that `models` names, as a configuration
    has them; nothing where it names none in a way that is understood (the validation says so).

    Raises ConfigError when that folder is not there or has no usable plan.json.
    """
    name, folder = _first(models)
    if folder is None:
        return {}
    try:
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        values = {key: plan[key] for key in ("labels", "images")} | {"precedence": plan.get("precedence")}
        preparation = {key: plan["preprocessing"][key] for key in PREPARATION if key in plan["preprocessing"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"config: models.{name}: {folder} is no usable model folder ({error!r})") from None
    return {**values, "preprocessing": preparation}


def _first(models: object) -> tuple[str, Path | None]:
    if isinstance(models, Mapping):
        for name, folders in models.items():
            first = folders[0] if isinstance(folders, list | tuple) and folders else folders
            if isinstance(first, str | Path):
                return str(name), Path(first)
    return "", None
