"""The report as a reader sees it, in Chromium."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from chain import Run

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --hide-scrollbars"


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    return found


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
    (folder / "index.html").write_text(page.replace("</body>", f"{probe}</body>").replace('loading="lazy"', ""))
    command = [chromium, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,900"]
    url = (folder / "index.html").as_uri()
    done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, check=True, timeout=120)
    assert "<title>images 4/4 wide true</title>" in done.stdout


def test_the_report_is_more_than_a_blank_page(chain: Run, chromium: str, tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    command = [chromium, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,1600"]
    url = chain.results.report.as_uri()
    subprocess.run([*command, f"--screenshot={shot}", url], capture_output=True, check=True, timeout=120)
    pixels = np.asarray(image.imread(shot))[..., :3]
    dark = (pixels.mean(axis=-1) < 0.5).mean()
    assert 0.01 < dark < 0.9
