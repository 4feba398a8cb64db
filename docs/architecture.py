"""MkDocs hook: draws the picture of the architecture from what the linter holds, the layers in `pyproject.toml`.

A page gets it in the place of `<!-- architecture -->`. What a package is for is the first sentence of its docstring.

    python docs/architecture.py > architecture.svg
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from html import escape
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "flairflow"
PLACE = "<!-- architecture -->"

# In pixels: the picture, the space between boxes, a line of text, what a box has around its lines, the room for a name.
WIDTH, GAP, LINE, MARGIN, NAME = 900, 6, 15, 15, 136
# The width of a letter of the text, of 12 pixels.
LETTER = 6.3


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the picture in its place."""
    return markdown.replace(PLACE, picture(layers())) if PLACE in markdown else markdown


def layers() -> list[list[str]]:
    """The packages and modules of every layer, from the top: one may import those of layers below."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = [contract for contract in settings["contracts"] if contract["type"] == "layers"]
    return [[name.strip(" ()") for name in layer.replace(":", "|").split("|")] for layer in contract["layers"]]


def purpose(name: str) -> str:
    """The first sentence of the docstring of a package or module, as plain text."""
    file = PACKAGE / name / "__init__.py" if (PACKAGE / name).is_dir() else PACKAGE / f"{name}.py"
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(said.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".").replace("`", "")


def picture(layers: list[list[str]]) -> str:
    """An SVG image in the colours of the page it stands in: a row for every layer."""
    rows, top = [], 0
    for names in layers:
        drawn, height = _row(names, top)
        rows += drawn
        top += height + GAP
    described = "; ".join(" and ".join(names) for names in layers)
    return "\n".join(
        [
            # A block, so that Markdown leaves it alone.
            '<div class="architecture">',
            f'<svg viewBox="0 0 {WIDTH} {top - GAP}" role="img" xmlns="http://www.w3.org/2000/svg">',
            f"<title>The layers of flairflow, from the top: {escape(described)}</title>",
            *rows,
            "</svg>",
            "</div>",
        ]
    )


def _row(names: list[str], top: int) -> tuple[list[str], int]:
    """The boxes of a layer side by side, and how high they are."""
    width = (WIDTH - GAP * (len(names) - 1)) / len(names)
    texts = [textwrap.wrap(purpose(name), int((width - NAME - 12) / LETTER)) for name in names]
    height = MARGIN + LINE * max(map(len, texts))
    drawn = []
    for number, (name, lines) in enumerate(zip(names, texts, strict=True)):
        left = number * (width + GAP)
        drawn.append(f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}" rx="6"/>')
        drawn.append(f'<text class="name" x="{left + 12:.1f}" y="{top + 19}">{escape(name)}</text>')
        for line, text in enumerate(lines):
            drawn.append(f'<text x="{left + NAME:.1f}" y="{top + 19 + line * LINE}">{escape(text)}</text>')
    return drawn, height


if __name__ == "__main__":
    print(picture(layers()))
