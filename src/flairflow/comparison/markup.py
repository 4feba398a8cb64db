"""Tables of text as Markdown and LaTeX: two columns of names, then numbers."""

from __future__ import annotations

import textwrap

_SMALL = r"\fontsize{6}{7}\selectfont "
_LATEX = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "\xa0": "~",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
}


def latex_table(caption: str, header: list[str], body: list[list[str]]) -> list[str]:
    """The lines of a `table*` as wide as a page: two columns of names, the first of which has a rule where it changes,
    then numbers. What is in brackets behind a number stands below it, and headings are broken between words."""
    rows: list[str] = []
    for number, cells in enumerate(body):
        if number and cells[0] != body[number - 1][0]:
            rows.append(r"\midrule")
        names, numbers = cells[:2], [_parts(cell) for cell in cells[2:]]
        rows.append(" & ".join(map(_escaped, [*names, *(first for first, _ in numbers)])) + r" \\")
        if any(below for _, below in numbers):
            lower = [rf"{_SMALL}{_escaped(below)}" if below else "" for _, below in numbers]
            rows.append(" & ".join(["", "", *lower]) + r" \\")
    broken = [r" \\ ".join(map(_escaped, _heading(name))) for name in header]
    heads = [rf"\shortstack{{{lines}}}" for lines in broken]
    return [
        r"\begin{table*}",
        r"\centering",
        r"\scriptsize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_escaped(caption)}}}",
        rf"\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]


def markdown_table(header: list[str], body: list[list[str]]) -> list[str]:
    """The lines of a table of two columns of names, then numbers."""
    return [_line(header), _line(["---"] * 2 + ["---:"] * (len(header) - 2)), *map(_line, body)]


def _parts(cell: str) -> tuple[str, str]:
    """A number, with the count it is of, and the brackets that follow it: an interval, or what was published."""
    number, bracket, rest = cell.partition(" [")
    if not bracket and ";" in cell:
        number, bracket, rest = cell.partition(" (")
    return number, bracket.strip() + rest


def _heading(name: str) -> list[str]:
    """The lines of a heading: of a word or a few letters each, the arrow of its direction beside the last word."""
    joined = name.replace(" ↑", "\xa0↑").replace(" ↓", "\xa0↓").replace(" → 0", "\xa0→\xa00")
    return textwrap.wrap(joined, 11, break_long_words=False)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
