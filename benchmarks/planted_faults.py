"""How many of 40 faults, planted by hand one at a time, the tests catch.

python benchmarks/planted_faults.py                 # each fault, and the tests of its module, most specific first
python benchmarks/planted_faults.py --draw 10 --seed 1   # ten of them
python benchmarks/planted_faults.py --tests tests/e2e    # each fault, and these tests
python benchmarks/planted_faults.py --check         # only that each can be planted

A fault is a text of the sources and what takes its place. The text must stand once in all of `src`; so files may move.
Each is planted in a copy of `src`, and the tests run in the repository with that copy first on the path. The tests of
a module are the files that name it, as an import does; who finds a fault only in a run of the whole workflow, finds it
by `--tests`. Exits with 1 when a fault is not caught.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Fault:
    """What somebody might have got wrong: `new` in place of `old`."""

    name: str
    old: str
    new: str

    def places(self, src: Path) -> list[Path]:
        """The files in which the text stands, once for each time."""
        texts = {path: path.read_text(encoding="utf-8") for path in sorted(src.rglob("*.py"))}
        return [path for path, text in texts.items() for _ in range(text.count(self.old))]


FAULTS = (
    # Files and tables.
    Fault(
        "a line that a kill cut short swallows the next", "if file.tell() and not _ends_with_newline(path):", "if 0:"
    ),
    Fault("tables keep three digits", 'float_format="%.6g"', 'float_format="%.3g"'),
    Fault("0 and 0.0 are not the same value", "if NUMBER.fullmatch(cell) else cell", "if not cell else cell"),
    # Images.
    Fault(
        "a voxel's volume is ten times too large", "self.affine[:3, :3]))) / 1000.0", "self.affine[:3, :3]))) / 100.0"
    ),
    Fault(
        "grids half a voxel apart are the same", "tolerance: float = 0.1) -> bool:", "tolerance: float = 0.6) -> bool:"
    ),
    Fault("the last of precedence wins", "for label in reversed(precedence):", "for label in precedence:"),
    Fault("overlapping masks overwrite each other", "out |= covered.astype(np.uint8) << bit", "out = covered << bit"),
    Fault("coarser grids alias", "if (sigma > 0.2).any():", "if (sigma > 20).any():"),
    Fault(
        "the isotropic grid is half a voxel off",
        "affine[:3, :3] @ ((np.array([x, y, z]) - 1) / 2)",
        "affine[:3, :3] @ (np.array([x, y, z]) / 2)",
    ),
    # The cohort.
    Fault("splits that were given are drawn anew", "given: dict[str, str] = dict(kept)", "given: dict[str, str] = {}"),
    Fault(
        "a shard takes one scan too many",
        "sizes[_name(group, last[group])] >= size:",
        "sizes[_name(group, last[group])] > size:",
    ),
    Fault(
        "a missing mask means no lesion", 'Mask(annotation="none" if none else "missing")', 'Mask(annotation="none")'
    ),
    # Shards.
    Fault(
        "a scan that failed before is worked on",
        'if upstream is not None and upstream[scan.scan].status != "ok":',
        "if upstream is not None and scan.scan not in upstream:",
    ),
    Fault("a changed setting redoes nothing", "row.fingerprint not in fits or row.status", "row.status"),
    Fault(
        "files that are gone are not made again",
        'row.status != "ok" or not _present(row, results.root):',
        'row.status != "ok":',
    ),
    Fault(
        "a scan may crash its job for ever",
        "if len(deaths) < DEATHS and scan.scan in guard.put_off:",
        "if scan.scan in guard.put_off:",
    ),
    Fault(
        "a machine that was started anew is a scan's fault", 'note["boot"] != here["boot"]:', 'note["boot"] is None:'
    ),
    # Registration and preprocessing.
    Fault(
        "masks are carried the wrong way",
        "resample(Image(part.astype(np.float32), affine), target, to_source)",
        "resample(Image(part.astype(np.float32), affine), target, np.linalg.inv(to_source))",
    ),
    Fault(
        "voxels to ignore are called lesion",
        "if label_values else (values != 0) & ~ignore",
        "if label_values else (values != 0)",
    ),
    Fault(
        "a slab shows a whole brain",
        "return float(inside.all(axis=1).mean())",
        "return float(inside.any(axis=1).mean())",
    ),
    Fault("extremes count for mean and spread", "kept = values[(values >= low) & (values <= high)]", "kept = values"),
    Fault(
        "a brain of two litres and a half is usual",
        "_BRAIN_ML = (700.0, 2200.0)",
        "_BRAIN_ML = (0.0, 9999.0)",
    ),
    Fault(
        "a small piece is taken for the brain",
        "inside = parts == np.bincount(parts.ravel())[1:].argmax() + 1",
        "inside = parts == np.bincount(parts.ravel())[1:].argmin() + 1",
    ),
    # Training.
    Fault(
        "missing classes count as background's opposite",
        "merged = torch.logsumexp(torch.cat([background, missing], dim=1), dim=1, keepdim=True)",
        "merged = background",
    ),
    Fault(
        "background is judged where classes are missing",
        "counted = torch.cat([known.all(dim=1, keepdim=True), known], dim=1).float()",
        "counted = torch.cat([known.any(dim=1, keepdim=True), known], dim=1).float()",
    ),
    Fault("a teacher overrules annotated masks", ".view_as(decided) & (known == 0)", ".view_as(decided)"),
    Fault("patches are cut off centre", "int(np.clip(c - size // 2, 0, n - size))", "int(np.clip(c, 0, n - size))"),
    Fault(
        "persons of a fold are torn apart",
        "return {scan.scan: fold[scan.person] for scan in own}",
        "return {scan.scan: number % folds for number, scan in enumerate(own)}",
    ),
    Fault(
        "a budget is forgotten",
        'model_copy(update={"updates": budget * updates})',
        'model_copy(update={"updates": updates})',
    ),
    Fault(
        "another run's checkpoint is gone on from",
        'if not mark.exists() or mark.read_text(encoding="utf-8") != fingerprint:',
        "if not mark.exists():",
    ),
    Fault("temperatures multiply", "scaled = logits / temperature", "scaled = logits * temperature"),
    # Inference.
    Fault(
        "ensembles of several labels are not averaged",
        "total / sum(plan.classes == classes for _, plan in self.members)",
        "total / len(self.members)",
    ),
    Fault(
        "lesions outside of the brain stay",
        "probabilities[1:, ~prepared.brain] = 0",
        "probabilities[1:, prepared.brain] *= 1",
    ),
    Fault(
        "beyond the prepared grid nothing is background",
        "target, cval=float(number == 0)).data",
        "target, cval=0.0).data",
    ),
    # Evaluation.
    Fault(
        "the better direction of Hausdorff distances is taken",
        "return max(float(np.percentile(distances, 95))",
        "return min(float(np.percentile(distances, 95))",
    ),
    Fault("lesions that share half count", "(self.common > MIN_IOU * union)", "(self.common >= MIN_IOU * union)"),
    Fault(
        "participants with many scans count more",
        "own = participant_means(values[complete][:, chosen], scores.participants[complete])",
        "own = values[complete][:, chosen]",
    ),
    Fault(
        "no threshold is chosen by lesion-free scans",
        "return np.asarray(1 / (1 + predicted * voxel_ml / TOLERATED_ML))",
        "return np.ones(predicted.shape)",
    ),
    # What people see.
    Fault(
        "flagged scans are in the report's volumes",
        'ml = segmented.loc[segmented["flag"].isna(), "volume_ml"]',
        'ml = segmented["volume_ml"]',
    ),
    Fault(
        "a second attempt asks for no more memory",
        "Request(attempt * math.ceil(SNAKEMAKE_MB",
        "Request(math.ceil(SNAKEMAKE_MB",
    ),
)


def tests_of(module: Path, src: Path) -> list[str]:
    """The test files that name a module of `src` as imports do, or else the modules that import it: those of units
    first, and of these those that name the fewest other modules."""
    rooms = {"unit": 0, "faults": 1}
    found: list[tuple[int, int, str]] = []
    wanted, seen = {module}, {module}
    while wanted and not found:
        named = re.compile("|".join(map(_import_of, (path.relative_to(src) for path in wanted))))
        for path in (REPOSITORY / "tests").rglob("test_*.py"):
            text = path.read_text(encoding="utf-8")
            if named.search(text):
                room = path.relative_to(REPOSITORY / "tests").parts[0]
                found.append((rooms.get(room, 2), text.count("flairflow."), str(path)))
        wanted = {path for path in src.rglob("*.py") if named.search(path.read_text(encoding="utf-8"))} - seen
        seen |= wanted
    return [path for _, _, path in sorted(found)]


def _import_of(module: Path) -> str:
    """A pattern of what imports a module."""
    dotted = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
    package, _, name = dotted.rpartition(".")
    return rf"{re.escape(dotted)}\b|from {re.escape(package)} import [^\n]*\b{name}\b"


def caught(fault: Fault, tests: Sequence[str], seconds: float) -> str:
    """The first test that fails with a fault planted, or "" where none does."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        src = Path(folder) / "src"
        shutil.copytree(REPOSITORY / "src", src, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        (path,) = fault.places(src)
        path.write_text(path.read_text(encoding="utf-8").replace(fault.old, fault.new), encoding="utf-8")
        chosen = tests or tests_of(path, src)
        if not chosen:
            return ""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *chosen]
        environment = os.environ | {"PYTHONPATH": str(src), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                [*command, f"--basetemp={folder}/tmp"],
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"a time limit of {seconds:.0f} s"
    first = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) and not first:
        sys.exit(f"{fault.name}: the tests cannot be run\n{(done.stdout + done.stderr)[-2000:]}")
    return first[1] if first else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", nargs="+", default=[], help="run these instead of the tests of each module")
    parser.add_argument("--draw", type=int, help="so many of the faults, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--seconds", type=float, default=1800, help="time limit for each")
    parser.add_argument("--check", action="store_true", help="run nothing, say which cannot be planted")
    options = parser.parse_args()
    if lost := [fault for fault in FAULTS if len(fault.places(REPOSITORY / "src")) != 1]:
        sys.exit("\n".join(f"does not stand once in src: {fault.old} ({fault.name})" for fault in lost))
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) == 40
    faults = random.Random(options.seed).sample(FAULTS, options.draw) if options.draw else FAULTS
    if options.check:
        return
    count, start = 0, time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        found = pool.map(lambda fault: caught(fault, options.tests, options.seconds), faults)
        for fault, by in zip(faults, found, strict=True):
            count += bool(by)
            print(f"{'caught' if by else 'NOT CAUGHT':10}  {fault.name}  {by}", flush=True)
    print(f"{count} of {len(faults)} caught in {time.monotonic() - start:.0f} s")
    sys.exit(count < len(faults))


if __name__ == "__main__":
    main()
