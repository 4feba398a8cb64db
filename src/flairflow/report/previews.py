"""Small pictures within the page, for where it goes alone: those beside it are not there in Snakemake's own report."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image

# Snakemake's report shows a page as a data URI, and Chromium none of more than 2 MiB: in base64, 1.5 MiB. Half a MiB is
# for the text; the pictures are in base64 themselves.
BYTES = 750_000
# Pixels across and quality, from the best that may fit.
SIZES = ((1080, 75), (900, 65), (720, 55), (540, 45), (400, 35), (320, 20))


def in_its_place(path: Path, pictures: int) -> str:
    """What an `img` does when its picture, one of so many on the page, is not beside it: it shows a smaller one."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    for width, quality in SIZES:
        small = picture.resize((width, round(picture.height * width / picture.width)))
        data = BytesIO()
        small.save(data, "WEBP", quality=quality)
        if data.tell() <= BYTES / pictures:
            break
    return f"this.onerror = null; this.src = 'data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}'"
