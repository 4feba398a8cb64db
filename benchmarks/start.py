"""How long `flairflow` takes to start, here and in other checkouts: `--version`, `--help`, the imports of `segment`.

    python benchmarks/start.py IMAGE MODEL [CHECKOUT ...]

IMAGE is of a head, MODEL a model folder that every checkout can read. Seconds of the processor (user and system) say
what is asked of it, however busy the machine; the least of the rounds is given, and the least by the clock in brackets.
Checkouts take turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parents[1]
ROUNDS = 5
START = "import sys; from flairflow.cli import main; sys.exit(main())"
REPLAY = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"


def main(image: Path, model: Path, checkouts: list[Path]) -> None:
    """Print a table: a row per command, a column per checkout."""
    modules = {checkout: imports_of_segment(image, model, checkout) for checkout in checkouts}
    commands = {
        "--version": lambda checkout: [START, "--version"],
        "--help": lambda checkout: [START, "--help"],
        "imports of segment": lambda checkout: [REPLAY, *modules[checkout]],
    }
    print("", *checkouts, sep="\t")
    for name, arguments in commands.items():
        measured = [[cost(arguments(checkout), checkout) for checkout in checkouts] for _ in range(ROUNDS)]
        best = [tuple(map(min, zip(*rounds, strict=True))) for rounds in zip(*measured, strict=True)]
        print(name, *(f"{processor:.2f} s ({clock:.2f} s)" for processor, clock in best), sep="\t")


def imports_of_segment(image: Path, model: Path, checkout: Path) -> list[str]:
    """What segmenting an image imports, in its order: names of modules that no other module imported."""
    with tempfile.TemporaryDirectory() as out:
        arguments = ["-X", "importtime", "-c", START, "segment", str(image), "--model", str(model), "--out", out]
        run = subprocess.run(
            [sys.executable, *arguments], env=environment(checkout), stderr=subprocess.PIPE, text=True, check=True
        )
    names = [line.rpartition("| ")[2] for line in run.stderr.splitlines() if line.startswith("import time:")]
    return [name for name in names[1:] if not name.startswith(" ")]


def cost(arguments: list[str], checkout: Path) -> tuple[float, float]:
    """Seconds of the processor, and by the clock, of a process."""
    started = time.perf_counter()
    command = [sys.executable, "-c", *arguments]
    with subprocess.Popen(command, env=environment(checkout), stdout=subprocess.DEVNULL) as process:
        _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - started


def environment(checkout: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [HERE, *map(Path, sys.argv[3:])])
