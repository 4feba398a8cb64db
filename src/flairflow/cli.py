"""The command line: one subcommand per stage, as the rules call them, and `segment` for single images.

Nothing heavy is imported before it is known which stage runs, and how many threads it may use.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from flairflow import __version__
from flairflow.errors import ConfigError, ScanError
from flairflow.files import on_scratch
from flairflow.shards.guard import guarded

log = logging.getLogger("flairflow")

# What shells report of a program that Ctrl-C ended.
INTERRUPTED = 128 + signal.SIGINT
# The work on many scans: one that kills its process is a row, and the others go on.
GUARDED = ("register", "preprocess", "pseudolabel", "segment-shard", "segment-archive", "evaluate", "segment")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand. Returns 0; 1 after a message for what the user can fix; 130 when it was interrupted (Ctrl-C).
    A bug keeps its traceback."""
    try:
        return _dispatch(_parser().parse_args(arguments))
    except KeyboardInterrupt:
        # No error: a job's log would say that it stopped at one.
        log.warning("interrupted; what was finished before is kept")
        return INTERRUPTED


def _dispatch(options: argparse.Namespace) -> int:
    _obey_threads(options.threads)
    log_file = _start_log(options.log)
    try:
        with on_scratch(options.scratch.expanduser() if options.scratch else None):
            if options.command in GUARDED:
                return guarded(lambda: _run(options), log_file)
            return _run(options)
    except ConfigError as problem:
        log.error("%s", problem)
        return 1


def _run(options: argparse.Namespace) -> int:
    from flairflow import commands

    try:
        getattr(commands, options.command.replace("-", "_"))(options)
    except (ConfigError, ScanError) as problem:
        log.error("%s", problem)
        return 1
    except Exception:
        log.exception("flairflow %s stopped at an unexpected error", options.command)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="flairflow", description="Lesion segmentation in large FLAIR MRI cohorts.")
    parser.add_argument("--version", action="version", version=f"flairflow {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, *needed: str, config: bool = True, threads: int = 1) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        if config:
            sub.add_argument("--config", type=Path, required=True, help="configuration, YAML or JSON")
        for option in needed:
            sub.add_argument(f"--{option}", required=True)
        sub.add_argument("--threads", type=int, default=threads, help="threads to use (default %(default)s)")
        sub.add_argument(
            "--scratch", type=Path, help="work on this fast local disk, bring results alone to their place"
        )
        sub.add_argument("--log", type=Path, help="file to write the log to, beside the terminal")
        return sub

    _add_segment(command)
    check = command("check", "Say what a configuration would do, and whether it can; nothing is written.", config=False)
    check.add_argument("config", type=Path, metavar="CONFIG", help="configuration, YAML or JSON")
    command("simulate", "Write the synthetic cohort of the configuration.")
    command("index", "Find and check all scans; write the cohort table and the shards.")
    command("register", "Register the scans of a shard.", "shard")
    command("preprocess", "Prepare the scans of a shard for the network.", "shard")
    command("train", "Train one model.", "strategy", "part").add_argument("--seed", type=int, required=True)
    command("pseudolabel", "Predict the scans of a shard that lack a mask.", "shard", "ensemble")
    command("segment-shard", "Segment the prepared scans of a shard.", "shard", "ensemble")
    command("segment-archive", "Segment the scans of a shard from their images, in one pass.", "shard", "ensemble")
    command("evaluate", "Score the masks of a shard of test scans.", "shard", "ensemble")
    command("thresholds", "Choose the best intensity thresholds on the training scans.")
    command("volumes", "Gather the table of volumes.")
    command("metrics", "Gather the table of metrics.")
    command("compare", "Compare the ensembles: statistics, tables and figure.")
    command("report", "Write the report and the summary.")
    results = command("import-results", "Gather per-scan results of others into one table.", config=False)
    results.add_argument("files", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="results, .json or .tsv")
    results.add_argument("--out", type=Path, required=True, help="table to write (TSV)")
    results.add_argument("--name", nargs="+", default=[], help="names of the ensembles, one per file, in their order")
    results.add_argument("--prefix", default="", help="to put before every name")
    results.add_argument("--scans", type=Path, help="list of ids, one a line: others are left out and named")
    results.add_argument("--learnt", nargs="+", type=Path, default=[], help="lists of ids the networks learnt from")
    results.add_argument("--ids", nargs="+", type=Path, default=[], help="tables: id, dataset, participant")
    alone = command("compare-results", "Compare imported results with each other, without a cohort.", config=False)
    alone.add_argument("tables", nargs="+", type=Path, metavar="TABLE", help="tables of import-results")
    alone.add_argument("--out", type=Path, required=True, help="folder; the tables go to its folder tables")
    alone.add_argument("--published", type=Path, help="table of published means: label, metric, ensemble, value")
    splits = command("import-splits", "Make split lists of published lists of scan ids.", config=False)
    for split in ("train", "validation", "test"):
        splits.add_argument(f"--{split}", nargs="+", type=Path, default=[], help="lists of ids, one a line")
    splits.add_argument("--out", type=Path, required=True, help="folder for a list per dataset")
    for sub in (results, splits):
        sub.add_argument(
            "--rename", nargs="+", default=[], metavar="OLD=NEW", help="datasets that have other names here"
        )
    status = command("status", "Show what a run has done, is doing and still has to do.", config=False)
    status.add_argument(
        "results", nargs="?", type=Path, default=Path("results"), help="results folder of the run (default results)"
    )
    status.add_argument("--once", action="store_true", help="print once instead of refreshing until all is done")
    status.add_argument("--json", action="store_true", help="print once, for programs (docs/status.md)")
    command("make-models", "Train the models that come with flairflow anew, on drawn heads.")
    command("tidy", "Count files and bytes by stage; remove the intermediates that are not to stay.")
    command("purge", "Remove what was made of participants who withdrew; name the models that learnt from them.")
    return parser


def _add_segment(command: Callable[..., argparse.ArgumentParser]) -> None:
    segment = command(
        "segment", "Segment single images, or folders of them, without a workflow.", config=False, threads=_cores()
    )
    segment.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="FLAIR images (NIfTI), or their folders")
    segment.add_argument("--out", type=Path, required=True, help="folder for masks, pictures and volumes.tsv")
    segment.add_argument(
        "--model",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        help="model folders, several are averaged (default: the model that comes with flairflow)",
    )
    segment.add_argument(
        "--brain-mask",
        action="append",
        default=[],
        metavar="MASK",
        help="a file (once per image, in their order), network, template or synthstrip (default: as the model learnt)",
    )
    segment.add_argument("--device", default="auto", help="auto (a GPU where there is one), cpu, cuda or cuda:1")
    segment.add_argument("--probabilities", action="store_true", help="write probability maps too")
    segment.add_argument("--skip-existing", action="store_true", help="leave alone what was segmented in the same way")
    segment.add_argument("--json", action="store_true", help="print what was measured, for programs")


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _obey_threads(threads: int) -> None:
    """ITK, OpenMP and the BLAS libraries read these once, when they are loaded."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    # The number of threads changes the last digits of a registration: with one, every way to a mask gives the same.
    for name in ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    # Idle threads that spin take the cores of the jobs beside this one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _start_log(path: Path | None) -> IO[str] | None:
    """Log to standard error and to a file, if one is given; returns that."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    file = None
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Emptied, then added to: a job that waits for another one on the same work writes to the same log.
        path.write_text("")
        handler = logging.FileHandler(path, encoding="utf-8")
        handlers.append(handler)
        file = handler.stream
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers)
    log.setLevel(logging.INFO)
    logging.captureWarnings(True)
    return file


if __name__ == "__main__":
    sys.exit(main())
