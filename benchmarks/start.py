"""How long `flairflow` takes to start, here and in other checkouts: `--version`, `--help`, the imports of `segment`.

    python benchmarks/start.py IMAGE MODEL [CHECKOUT ...]

IMAGE is of a head, MODEL a model folder that every checkout can read. Given are the least seconds of the processor
(user and system) of the rounds, in which checkouts take turns. On an idle machine the clock says the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parents[1]
ROUNDS = 3
START = "import sys; from flairflow.cli import main; sys.exit(main())"
# The same with the seconds of the processor in imports that are in no other, written to the file IMPORTS after each.
COUNTED = """
import builtins, os, sys, time
imported, spent, depth = builtins.__import__, 0.0, 0

def counted(*args, **more):
    global spent, depth
    depth += 1
    began = time.process_time()
    try:
        return imported(*args, **more)
    finally:
        depth -= 1
        if depth == 0 and time.process_time() - began > 0.001:
            spent += time.process_time() - began
            with open(os.environ["IMPORTS"], "w") as file:
                file.write(str(spent))

builtins.__import__ = counted
from flairflow.cli import main
sys.exit(main())
"""


def main(image: Path, model: Path, checkouts: list[Path]) -> None:
    """Print a table: a row per command, a column per checkout."""
    print("", *checkouts, sep="\t")
    for option in ("--version", "--help"):
        rounds = [[seconds(checkout, START, option) for checkout in checkouts] for _ in range(ROUNDS)]
        print(option, *least(rounds), sep="\t")
    rounds = [[imports_of_segment(image, model, checkout) for checkout in checkouts] for _ in range(ROUNDS)]
    print("imports of segment", *least(rounds), sep="\t")


def seconds(checkout: Path, *arguments: str) -> float:
    """Seconds of the processor of a process that runs Python code with arguments."""
    with subprocess.Popen(
        [sys.executable, "-c", *arguments], env=environment(checkout), stdout=subprocess.DEVNULL
    ) as process:
        _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime


def imports_of_segment(image: Path, model: Path, checkout: Path) -> float:
    """Seconds of the processor that `flairflow segment` spends on imports, wherever it does."""
    with tempfile.TemporaryDirectory() as out:
        count = Path(out) / "imports"
        arguments = ["segment", str(image), "--model", str(model), "--out", out, "--threads", "1"]
        command = [sys.executable, "-c", COUNTED, *arguments]
        subprocess.run(
            command, env=environment(checkout) | {"IMPORTS": str(count)}, stderr=subprocess.DEVNULL, check=True
        )
        return float(count.read_text())


def least(rounds: list[list[float]]) -> list[str]:
    return [f"{min(column):.2f} s" for column in zip(*rounds, strict=True)]


def environment(checkout: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [HERE, *map(Path, sys.argv[3:])])
