#!/bin/sh
# A page that a rule marks with report() is empty in the report of Snakemake, without a word, once it is larger than 1.5 MiB.
#
# One would expect: an HTML page with its pictures embedded is shown by `snakemake --report`, which embeds it once more.
# What happens: the report shows results as frames whose address is a data URI, and Chromium opens none above 2 MiB: the
# frame stays blank. In base64 that is a page of 1.5 MiB. Pictures beside the page are never there.
# Why it matters here: a report with figures at print size is far larger. flairflow's page shows the pictures beside it,
# and carries small ones for where it is alone (report/previews.py).
set -eu
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install snakemake==9.27.1 Pygments==2.21.0
cd "$folder"
cat > Snakefile <<'SNAKEFILE'
rule all:
    input: "small.html", "large.html"
rule page:
    output: report("{size}.html")
    params: megabytes=lambda w: 1 if w.size == "small" else 3
    shell: "{{ echo '<script>parent.postMessage(\"seen\", \"*\")</script><!--'; head -c {params.megabytes}000000 /dev/zero |"
           " tr '\\0' x; echo '-->'; }} > {output}"
SNAKEFILE
venv/bin/snakemake --cores 1 --quiet all
venv/bin/snakemake --report report.html --quiet all
venv/bin/python - "$browser" <<'PYTHON'
import json
import re
import subprocess
import sys
from pathlib import Path

browser = sys.argv[1]
print(subprocess.run([browser, "--version"], capture_output=True, text=True).stdout.strip())
results = json.loads(re.search(r"var results = (\{.*\});", Path("report.html").read_text()).group(1))
seen = {}
for name in ("small", "large"):
    uri = results[f"{name}.html"]["data_uri"]
    Path("around.html").write_text(
        "<title>blank</title><script>addEventListener('message', e => { document.title = e.data; })</script>"
        f"<iframe src='{uri}'></iframe>"
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=profile", "--virtual-time-budget=10000"]
    command = [browser, *options, "--dump-dom", Path("around.html").absolute().as_uri()]
    page = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    seen[name] = re.search("<title>(.*?)</title>", page).group(1)
    print(f"page of {Path(name + '.html').stat().st_size} bytes, data URI of {len(uri)}: {seen[name]}")
sys.exit(seen != {"small": "seen", "large": "blank"})
PYTHON
