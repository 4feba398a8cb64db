"""Import what subcommands of flairflow run with nothing but some distributions, whatever else is installed here.

`python restricted.py COMMAND,... DISTRIBUTION...` stands in for an environment of these distributions and what they
need: all others are not there. It imports what each command's function in `commands.py` imports and, from there on,
all that flairflow's modules import, within functions too.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(distributions: Sequence[str]) -> set[str]:
    """These distributions and all that they require, with their extras."""
    found: set[tuple[str, str]] = set()
    queue = [Requirement(name) for name in distributions]
    while queue:
        requirement = queue.pop()
        for extra in ("", *sorted(requirement.extras)):
            key = (canonicalize_name(requirement.name), extra)
            if key in found:
                continue
            found.add(key)
            try:
                wanted = map(Requirement, requires(requirement.name) or [])
            except PackageNotFoundError:
                continue
            queue += [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


class OnlyThese(importlib.abc.MetaPathFinder):
    """What another finder finds of these distributions, the standard library and flairflow; nothing else is there."""

    def __init__(self, finder: Any, distributions: set[str], modules: Mapping[str, list[str]]) -> None:
        self.finder = finder
        self.barred = {
            module
            for module, owners in modules.items()
            if not distributions & {canonicalize_name(owner) for owner in owners}
        } - {"flairflow"}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.split(".")[0] in self.barred else self.finder.find_spec(name, path, target)

    def find_distributions(self, *context: Any) -> Any:
        return getattr(self.finder, "find_distributions", lambda *_: ())(*context)


# What reports read of it is names and settings; its functions, which need torch, are for training.
AT_THE_TOP_ALONE = ("flairflow.training", "flairflow.network.activation")


def imports(tree: ast.AST, top: bool = False) -> Iterator[tuple[str, list[str]]]:
    """The modules that are imported, and what is taken from them; not what only type checkers see. `top`: nor what is
    imported within functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]
        elif top and isinstance(node, ast.FunctionDef):
            continue
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield from imports(node, top)


def of_command(source: str, command: str) -> list[tuple[str, list[str]]]:
    """What the module of the commands imports for one of them: at its top, and in the functions that it calls."""
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    top = [node for node in ast.parse(source).body if not isinstance(node, ast.FunctionDef)]
    called, queue = set(), [command.replace("-", "_")]
    while queue:
        name = queue.pop()
        called.add(name)
        names = {node.id for node in ast.walk(functions[name]) if isinstance(node, ast.Name)}
        # Names of commands are those of stages too.
        queue += [other for other in names & functions.keys() - called if other.startswith("_")]
    body = [ast.Module(top, []), *(functions[name] for name in called)]
    return [found for part in body for found in imports(part)]


def import_all(found: list[tuple[str, list[str]]], training: bool) -> Iterator[str]:
    """Import these and what flairflow's modules among them import; yields what failed."""
    seen = set()
    while found:
        name, taken = found.pop()
        for module in (name, *(f"{name}.{one}" for one in taken if name.startswith("flairflow"))):
            if module in seen:
                continue
            seen.add(module)
            try:
                loaded = importlib.import_module(module)
            except ModuleNotFoundError as problem:
                # A function, not a module, was taken from one.
                if problem.name != module or module == name:
                    yield f"{module}: {problem}"
                continue
            if module.startswith("flairflow") and loaded.__file__:
                top = not training and module.startswith(AT_THE_TOP_ALONE)
                found += imports(ast.parse(Path(loaded.__file__).read_text()), top)


if __name__ == "__main__":
    names, *distributions = sys.argv[1:]
    there, modules = needed(distributions), packages_distributions()
    sys.meta_path[:] = [OnlyThese(finder, there, modules) for finder in sys.meta_path]
    commands = importlib.import_module("flairflow.commands")
    assert commands.__file__
    source, problems = Path(commands.__file__).read_text(), []
    for command in names.split(","):
        found = import_all(of_command(source, command), training=command in ("train", "pseudolabel"))
        problems += [f"{command}: {problem}" for problem in sorted(set(found))]
    sys.exit("\n".join(problems) if problems else 0)
