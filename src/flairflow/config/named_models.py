"""Models as users name them: a folder, or `default` for the one that comes with the package. Light: the rules ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flairflow.errors import ConfigError
from flairflow.paths import MODEL_FILES

# Its name, wherever a model folder may be named.
DEFAULT = "default"

MODELS = Path(__file__).parents[1] / "network" / "models"


def default_model() -> Path:
    """The folder of the default model. Raises ConfigError where this installation lacks it."""
    folder = MODELS / DEFAULT
    if missing := [name for name in MODEL_FILES if not (folder / name).is_file()]:
        raise ConfigError(
            f"{folder}: the default model is not complete in this installation ({', '.join(missing)} missing); "
            "install flairflow again, or name a model folder of your own"
        )
    return folder


def is_default(model: Path) -> bool:
    """Whether the default model is meant; a model folder of that name in the working folder goes before it."""
    return model == Path(DEFAULT) and not (model / "plan.json").is_file()


def model_folder(model: Path) -> Path:
    """The folder of a model as users name it: a path, or `default`. Raises ConfigError as `default_model` does."""
    return default_model() if is_default(model) else model


def read_plan(folder: Path, *keys: str) -> dict[str, Any]:
    """The plan of a model folder, without its weights and what reading them takes. Raises ConfigError, naming the
    folder, where it has none or a key of it is missing."""
    try:
        plan: dict[str, Any] = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        missing = [key for key in keys if key not in plan]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{folder} is no usable model folder ({error!r})") from None
    if missing:
        raise ConfigError(f"{folder} is no usable model folder (plan.json has no {', '.join(missing)})")
    return plan
