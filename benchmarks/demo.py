"""`make demo` from a fresh clone: time of installation and run, peak memory of all its processes together.

    python benchmarks/demo.py [FOLDER]

Clones this repository's HEAD to FOLDER (default: a temporary folder, removed afterwards).
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder) / "flairflow")


def measure(clone: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    print(
        f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')}"
    )
    total = 0.0
    for name, target in (("installation", ".venv/installed"), ("demo", "demo")):
        started = time.perf_counter()
        peak = run_and_watch(["make", target], clone)
        seconds = time.perf_counter() - started
        total += seconds
        print(f"{name:14} {seconds:6.0f} s   peak memory {peak / 2**30:.2f} GB", flush=True)
    print(f"{'together':14} {total:6.0f} s")
    print((clone / "results" / "report" / "summary.txt").read_text())


def run_and_watch(command: list[str], folder: Path) -> int:
    """Run a command; returns the largest resident memory of it and its descendants together, in bytes."""
    process = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            resident = 0
            for part in [process, *process.children(recursive=True)]:
                try:
                    resident += part.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak = max(peak, resident)
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} failed in {folder}")
    watcher.join()
    return peak


if __name__ == "__main__":
    main()
