"""The report as a reader sees it, in Chromium."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from chain import CONFIG, Run
from flairflow.paths import FIGURES

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --hide-scrollbars"


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here; `sudo make system` installs it on Debian and Ubuntu")
    return found


def pictures(page: str) -> int:
    """How many the page shows: figures that show nothing, which depends on the scores of six updates, are left out."""
    count = page.count("<img ")
    assert (
        CONFIG["report"]["mosaics"] + 10 < count <= CONFIG["report"]["mosaics"] + len(FIGURES) * len(CONFIG["labels"])
    )
    return count


def test_every_image_of_the_report_loads_and_no_table_is_cut_off(chain: Run, chromium: str, tmp_path: Path) -> None:
    """A probe added to a copy of the page writes what the browser measured into its title."""
    folder = tmp_path / "report"
    shutil.copytree(chain.results.report.parent, folder)
    page = (folder / "index.html").read_text()
    # The load event waits for images that are not lazy, and the page is dumped after it.
    probe = """<script>addEventListener("load", () => {
      const images = [...document.images], loaded = images.filter(i => i.naturalWidth > 300).length;
      document.title = `images ${loaded}/${images.length} wide ${document.documentElement.scrollWidth <= innerWidth}`;
    });</script>"""
    # Those beside it, not the smaller ones within it.
    page = re.sub(r'onerror="[^"]+"', "", page).replace("</body>", f"{probe}</body>").replace('loading="lazy"', "")
    (folder / "index.html").write_text(page)
    command = [chromium, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,900"]
    url = (folder / "index.html").as_uri()
    done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, check=True, timeout=120)
    images = pictures(page)
    assert f"<title>images {images}/{images} wide true</title>" in done.stdout


def test_every_image_is_seen_in_the_report_of_snakemake(chain: Run, chromium: str, tmp_path: Path) -> None:
    """There the page is alone: a frame of its data URI. A probe tells the page around it what it sees."""
    found = re.search(
        r'"data_uri": "(data:text/html;[^,"]+index\.html;base64,)([^"]+)"', chain.snakemake_report.read_text()
    )
    assert found
    # More is not shown by Chromium.
    assert len(found.group()) < 2 * 2**20
    probe = """<script>setInterval(() => {
      const images = [...document.images], loaded = images.filter(i => i.naturalWidth > 300).length;
      parent.postMessage(`images ${loaded}/${images.length}`, "*");
    }, 100);</script>"""
    page = base64.b64decode(found.group(2)).decode().replace("</body>", f"{probe}</body>").replace('loading="lazy"', "")
    uri = found.group(1) + base64.b64encode(page.encode()).decode()
    around = tmp_path / "around.html"
    around.write_text(
        "<title></title><script>addEventListener('message', e => { document.title = e.data; })</script>"
        f"<iframe src='{uri}' width=1100 height=900></iframe>"
    )
    command = [chromium, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000"]
    command += ["--dump-dom", around.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    images = pictures(page)
    assert f"<title>images {images}/{images}</title>" in done.stdout


def test_the_folder_of_the_report_holds_all_that_the_page_links(chain: Run) -> None:
    page = chain.results.report.read_text()
    links = [link for link in re.findall(r'(?:href|src)="([^"]+)"', page) if not link.startswith(("#", "data:"))]
    assert {Path(link).suffix for link in links} == {".png", ".svg", ".tsv"}
    for link in links:
        assert (chain.results.report.parent / link).is_file() and ".." not in link, link
    captions = re.findall(r"<figcaption>(.+?) <span", page)
    assert len(captions) == pictures(page) - CONFIG["report"]["mosaics"] and min(map(len, captions)) > 80


def test_a_browser_draws_the_svgs_as_the_pngs_are(chain: Run, chromium: str, tmp_path: Path) -> None:
    """One below the other."""
    page, shot, below = tmp_path / "page.html", tmp_path / "shot.png", 0
    text, expected = "", []
    for name in ("ranking", "agreement", "gallery"):
        svg, png = (chain.results.figure(name, "ISL", kind) for kind in ("svg", "png"))
        picture = image.imread(png)[..., :3]
        # Both are the same number of inches: 220 pixels each in one, 96 in the other.
        height, width = (round(pixels * 96 / 220) for pixels in picture.shape[:2])
        text += f'<img src="{svg.as_uri()}" style="position: absolute; left: 0; top: {below}px">'
        expected.append((slice(below, below + height), slice(0, width), picture))
        below += height
    page.write_text(text)
    command = [chromium, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}"]
    # The window is larger than what it shows.
    command += [f"--window-size={max(columns.stop for _, columns, _ in expected) + 200},{below + 400}"]
    subprocess.run([*command, page.as_uri()], capture_output=True, check=True, timeout=120)
    seen = image.imread(shot)[..., :3]

    def coarse(pixels: np.ndarray, cells: int = 12) -> np.ndarray:
        rows, columns = (np.linspace(0, n, cells + 1).astype(int) for n in pixels.shape[:2])
        return np.array([[pixels[a:b, c:d].mean() for c, d in pairwise(columns)] for a, b in pairwise(rows)])

    for rows, columns, picture in expected:
        drawn = coarse(seen[rows, columns])
        assert drawn.min() < 0.99
        assert np.abs(drawn - coarse(picture)).max() < 0.1


def test_the_report_is_printed_on_pages_that_cut_no_figure(chain: Run, chromium: str, tmp_path: Path) -> None:
    """In print every figure is lower than a page, so that none has to be cut."""
    folder, pdf = tmp_path / "report", tmp_path / "report.pdf"
    shutil.copytree(chain.results.report.parent, folder)
    page = (folder / "index.html").read_text().replace('loading="lazy"', "")
    (folder / "index.html").write_text(page)
    command = [chromium, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer"]
    url = (folder / "index.html").as_uri()
    subprocess.run([*command, f"--print-to-pdf={pdf}", url], capture_output=True, check=True, timeout=240)
    data = pdf.read_bytes()
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    # At most a page each for figures and overlays, and a few for the tables.
    assert 5 < pages <= len(FIGURES) * len(CONFIG["labels"]) + CONFIG["report"]["mosaics"] + 8


def test_the_report_is_more_than_a_blank_page(chain: Run, chromium: str, tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    command = [chromium, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,1600"]
    url = chain.results.report.as_uri()
    subprocess.run([*command, f"--screenshot={shot}", url], capture_output=True, check=True, timeout=120)
    pixels = np.asarray(image.imread(shot))[..., :3]
    dark = (pixels.mean(axis=-1) < 0.5).mean()
    assert 0.01 < dark < 0.9
