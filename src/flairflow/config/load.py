"""From YAML to a validated configuration: the preset's values first, the user's over them."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from flairflow.config.environment_paths import with_places
from flairflow.config.line_numbers import syntax_fault, with_lines
from flairflow.config.models import Config
from flairflow.config.values_of_models import values_in_place, with_models
from flairflow.errors import ConfigError

PRESETS = ("laptop", "paper")


def load_config(values: dict[str, Any]) -> Config:
    """Validate a configuration given as nested dictionaries. What it leaves out of labels, images and preprocessing is
    that of the models it names; where there is nothing to learn from either, that is the default model.

    Raises ConfigError that lists every fault with its key's path, what was given and what is allowed.
    """
    preset = values.get("preset", "laptop")
    if preset not in PRESETS:
        raise ConfigError(f"config: preset: {preset!r} is none of {', '.join(PRESETS)}")
    values = with_models(with_places(values))
    base = _merge(preset_values(preset), values_in_place(values))
    try:
        return Config.model_validate(_merge(base, values))
    except ValidationError as error:
        faults = "\n".join(f"  {_where(fault['loc'])}: {_what(fault)}" for fault in error.errors())
        raise ConfigError(f"config: {error.error_count()} fault(s), nothing was run\n{faults}") from None


def read_config(path: Path) -> Config:
    """Read and validate a YAML or JSON configuration file; raises ConfigError as `load_config` does, with the lines in
    which the faults are."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"config: {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(syntax_fault(path, error)) from None
    if not isinstance(values or {}, dict):
        raise ConfigError(f"config: {path}, line 1: is no configuration: it has to begin with a key, such as 'labels:'")
    try:
        return load_config(values or {})
    except ConfigError as error:
        raise ConfigError(with_lines(str(error), [path])) from None


def resolved(config: Config) -> str:
    """The whole configuration as JSON, presets and defaults filled in: `read_config` gives it back."""
    return json.dumps(config.model_dump(mode="json"), indent=2) + "\n"


def preset_values(preset: str) -> dict[str, Any]:
    """The values a preset fills in before the user's own."""
    text = resources.files("flairflow.config").joinpath("presets", f"{preset}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed where an unknown one was given."""
    model: Any = Config
    for part in location[:-1]:
        if part in getattr(model, "model_fields", {}):
            model = _model_in(model.model_fields[part].annotation)
    return list(model.model_fields)


def _model_in(annotation: Any) -> Any:
    """The settings model that an annotation holds, such as `Dataset` in `dict[str, Dataset]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "(whole config)"


def _what(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return f"no such key; here there are {', '.join(_keys_beside(fault['loc']))}"
    message = fault["msg"].removeprefix("Value error, ")
    given = fault.get("input")
    return message if isinstance(given, dict) or fault["type"] == "missing" else f"{message} (given: {given!r})"
