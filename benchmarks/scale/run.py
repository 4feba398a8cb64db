"""How flairflow grows with a cohort: indexing, planning, second runs, memory, files and scheduling.

    python benchmarks/scale/run.py [SIZES...] [--write]

SIZES default to 2052 10000 50000 100000 scans. For each, a cohort is made in a temporary folder and every number is
measured as a whole process: wall time, CPU time of all its threads, peak memory. There are two kinds of cohort:

realistic     : 2,052 scans annotated as those of Phitidis et al. 2026, the rest an archive with nothing annotated. BIDS
                trees of tiny images are indexed; then all outputs are written, ledgers and records of a real length.
all annotated : every scan has one or two masks: the most jobs that a cohort can need. Beyond 10,000 scans its plan is
                made from the tables that an index would leave, without trees; and so is that of shards of 128 scans,
                twice as many as by default.

Prints machine, load, date and Markdown tables; `--write` puts the same between the marks in docs/scale.md. Ends with 1
where a limit is not kept, which says little on a machine that does something else too.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from cohort import ANNOTATED, Kind
from overhead import measure_overhead
from planning import Planned, plan_with_tables, plan_with_trees
from process import REPOSITORY
from tables import kept, limits_table, metadata_table, overhead_table, planning_table

SIZES = [ANNOTATED, 10_000, 50_000, 100_000]
# More scans than this, all annotated, are planned from tables: a tree of them takes long to write and to index.
MAX_ANNOTATED_TREE = 10_000
KINDS: tuple[Kind, ...] = ("realistic", "all annotated", "all annotated, 128 a shard")
SHARDS = (4, 16, 64)
BEGIN, END = "<!-- measured by benchmarks/scale/run.py -->\n", "<!-- end of what is measured -->\n"


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:] if text.isdigit()] or SIZES
    started, load = time.perf_counter(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="scale-") as temporary:
        root = Path(temporary)
        overheads = [measure_overhead(root / f"shards-{count}", count) for count in SHARDS]
        planned = [_plan(root, size, kind) for size in sizes for kind in KINDS if _tells(size, kind)]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')}"
    loads = f"load {load:.1f} before, {os.getloadavg()[0]:.1f} at the end (about 1 to 2 is this program itself)"
    tables = [planning_table(planned), limits_table(planned), metadata_table(planned), overhead_table(overheads)]
    text = "\n".join([f"{machine}; {loads}; {(time.perf_counter() - started) / 60:.0f} minutes in all.\n", *tables])
    print(text)
    if "--write" in sys.argv:
        _write(REPOSITORY / "docs" / "scale.md", text)
    sys.exit(0 if kept(planned) else 1)


def _plan(root: Path, size: int, kind: Kind) -> Planned:
    print(f"{time.strftime('%T')} {size} scans, {kind}", file=sys.stderr, flush=True)
    folder = root / f"{size}-{KINDS.index(kind)}"
    if kind == "realistic" or (kind == "all annotated" and size <= MAX_ANNOTATED_TREE):
        return plan_with_trees(folder, size, kind)
    return plan_with_tables(folder, size, kind)


def _tells(size: int, kind: Kind) -> bool:
    """Up to the paper's number of scans all are annotated in every kind."""
    return kind == "realistic" or size > ANNOTATED


def _write(path: Path, text: str) -> None:
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
