"""MkDocs hook: links between files of the repository work on the site as they do in the repository.

Pages that lie outside `docs/` are on the site, too. A link to a file that is no page becomes its name: it lies in the
clone. A link to nothing stays, for MkDocs to complain about.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[1]

# Pages from outside `docs/`: their files in the repository, and where they stand on the site.
OUTSIDE = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "develop.md",
    "CHANGELOG.md": "changes.md",
    "benchmarks/strategies/README.md": "benchmarks/strategies/index.md",
    "benchmarks/strategies/development.md": "benchmarks/strategies/development.md",
    "benchmarks/strategies/table-2001.md": "benchmarks/strategies/table-2001.md",
    "benchmarks/strategies/table-2002.md": "benchmarks/strategies/table-2002.md",
}
_FILES = {page: file for file, page in OUTSIDE.items()}

# A link or image: its text and target. Code is matched first, and left as it is.
LINK = re.compile(r"```.*?```|`[^`]*`(?!\])|(?P<before>!?\[(?P<text>[^\]]*)\]\()(?P<target>[^)\s]+)\)", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside `docs/`."""
    for file, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(REPOSITORY / file)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    place = page.file.src_uri
    folder = posixpath.dirname(_FILES.get(place, f"docs/{place}"))

    def on_site(link: re.Match[str]) -> str:
        target = link["target"]
        if not target or ":" in target or target.startswith("#"):
            return link[0]
        path, _, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(folder, path))
        wanted = OUTSIDE.get(file) or (file.removeprefix("docs/") if file.startswith("docs/") else None)
        if wanted:
            there = posixpath.relpath(wanted, posixpath.dirname(place) or ".")
            return f"{link['before']}{there}{'#' * bool(anchor)}{anchor})"
        return link["text"] if (REPOSITORY / file).exists() else link[0]

    return LINK.sub(on_site, markdown)
