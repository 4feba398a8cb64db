"""Where in a configuration file a key stands, for messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

# A line of a message that begins with a key's path, as all of ConfigError's do.
_KEY = re.compile(r"^\s*(?:config: )?([A-Za-z_]\w*(?:\.\w+)*): ")


def with_lines(message: str, files: Sequence[Path]) -> str:
    """A message about a configuration, its lines that begin with a key's path ending with file and line of that key, or
    of the part of it that stands in one of the files; the last of these wins, as its values do."""
    trees = [(path, tree) for path in reversed(files) if (tree := _tree(path)) is not None]
    lines = []
    for line in message.splitlines():
        key = _KEY.match(line)
        found = (
            [(depth, path, number) for path, tree in trees for depth, number in [_look(tree, key[1])]] if key else []
        )
        depth, path, number = max(found, key=lambda one: one[0], default=(0, Path(), 0))
        lines.append(f"{line} ({_shown(path)}, line {number})" if depth else line)
    return "\n".join(lines)


def syntax_fault(path: Path, error: yaml.YAMLError) -> str:
    """What is wrong with the YAML of a file, and in which line and column, in a line of text."""
    mark = getattr(error, "problem_mark", None)
    place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = " ".join(str(part) for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part)
    hint = "; indent with blanks, not with tabs" if "'\\t'" in problem else ""
    return f"config: {path}{place}: {problem or error}{hint}"


def _shown(path: Path) -> Path:
    """The path from the folder worked in, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _tree(path: Path) -> yaml.Node | None:
    try:
        tree: yaml.Node | None = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return tree


def _look(tree: yaml.Node, key: str) -> tuple[int, int]:
    """How many parts of a key's path are there, and the line of the last of them, counted from 1."""
    depth, line = 0, 0
    node: yaml.Node | None = tree
    for part in key.split("."):
        if isinstance(node, yaml.MappingNode):
            pairs = [(name, value) for name, value in node.value if name.value == part]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            pairs = [(node.value[int(part)], node.value[int(part)])]
        else:
            pairs = []
        if not pairs:
            break
        name, node = pairs[-1]
        depth, line = depth + 1, name.start_mark.line + 1
    return depth, line
