"""What a profile's resources cannot be on SLURM: said when the workflow is read, not hours later at the first job."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from flairflow.errors import ConfigError

# Resources that nothing reads, by what their users mean.
IGNORED = {
    "time": "runtime (minutes)",
    "walltime": "runtime (minutes)",
    "memory": "mem_mb",
    "gpus": "gpu",
    "partition": "slurm_partition",
    "queue": "slurm_partition",
    "account": "slurm_account",
}
PER_CPU = (
    "it would replace the memory that each job asks for, which is worked out (docs/resources.md) and grows with each "
    "attempt; take it away: SLURM takes memory per node too, and a rule that needs other memory takes `mem_mb`"
)


def check_site(blocks: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ConfigError for resources that the executor for SLURM refuses, ignores, or takes in place of ours.

    blocks : resources as given, by the place in the profile where they stand.
    """
    for place, given in blocks.items():
        values = {name: _value(raw) for name, raw in given.items()}
        for name in values:
            if name in IGNORED:
                raise ConfigError(f"profile: {place}: {name}: nothing reads this; it is called {IGNORED[name]}")
            if name in ("mem_mb_per_cpu", "mem_per_cpu"):
                raise ConfigError(f"profile: {place}: {name}: {PER_CPU}")
        model = values.get("gpu_model")
        if isinstance(model, str) and not re.fullmatch(r"[A-Za-z0-9_.]+", model):
            raise ConfigError(
                f"profile: {place}: gpu_model: {model}: the executor for SLURM takes names of letters, digits, '_' and "
                f"'.' alone. In its place write `gpu: 0` and `slurm_extra: \"'--gpus-per-node={model}:1'\"`"
            )
        _as_the_executor_sees_it(place, values)


def blocks_of(settings: Any) -> dict[str, dict[str, Any]]:
    """The resources of Snakemake's settings as they were given, by their place in a profile."""
    given = {"default-resources": settings.default_resources or {}}
    given |= {f"set-resources.{rule}": resources for rule, resources in settings.overwrite_resources.items()}
    return {
        place: {name: getattr(value, "raw", value) for name, value in resources.items()}
        for place, resources in given.items()
    }


def _value(raw: Any) -> Any:
    """Snakemake evaluates texts, and takes what is no expression as it stands."""
    try:
        return ast.literal_eval(raw) if isinstance(raw, str) else raw
    except (ValueError, SyntaxError):
        return raw


def _as_the_executor_sees_it(place: str, values: Mapping[str, Any]) -> None:
    """Its own checks: it runs them in a thread, when it submits the first such job."""
    try:
        from snakemake_executor_plugin_slurm.utils import set_gres_string
        from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
        from snakemake_interface_common.exceptions import WorkflowError
    except ImportError:
        return

    class Resources(dict[str, Any]):
        __getattr__ = dict.get

    job = SimpleNamespace(resources=Resources(values))
    for name, check in (("slurm_extra", validate_slurm_extra), ("gres", set_gres_string)):
        if isinstance(values.get(name), str):
            try:
                check(job)
            except WorkflowError as problem:
                raise ConfigError(f"profile: {place}: {name}: {problem}") from None
