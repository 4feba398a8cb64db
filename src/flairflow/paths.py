"""Every path of the results folder. Used by the rules (with wildcards in the arguments) and by the package alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SOFTWARE = "flairflow"
CHECKPOINT = "last.ckpt"
# What makes a folder a model, and what training adds so that MONAI alone can run it.
MODEL_FILES = ("weights.safetensors", "plan.json", "record.json")
BUNDLE_FILES = ("configs/metadata.json", "configs/inference.json")
# The names under which intensity rules stand beside the ensembles (`comparison.scoring.intensity_rules`).
RULES = ("one_threshold", "two_thresholds")
# The figures of a comparison, one of each for every label (`comparison.figures`), in the order of the report. The
# gallery shows scans, the others are made from tables alone.
GALLERY = "gallery"
FIGURES = (
    "ranking",
    "cohorts",
    "differences",
    "rank_stability",
    "distributions",
    "lesion_distributions",
    "size_recall",
    "false_volume",
    "agreement",
    GALLERY,
)
# What `flairflow compare` makes of tables/metrics.tsv; `main` is also there in Markdown and LaTeX.
COMPARISON_TABLES = (
    "summary",
    "pairs",
    "ranks",
    "rank_stability",
    "agreement",
    "size_recall",
    "lesion_free_share",
    "crossings",
    "main",
)


class Results:
    """The results folder: tables and report to read at the top, ledgers and state for the machinery below."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def boxed(self, name: str) -> Path:
        """The folder of a network made anew that comes with flairflow: brain or default."""
        return self.root / "default_models" / name

    # The cohort
    @property
    def config(self) -> Path:
        """The resolved configuration of the last run: what every job reads."""
        return self.root / "config.json"

    @property
    def cohort(self) -> Path:
        return self.root / "cohort.tsv"

    @property
    def cohort_summary(self) -> Path:
        """What was found in the datasets, counted: scans by reason, and what is no scan."""
        return self.root / "cohort_summary.tsv"

    @property
    def shards(self) -> Path:
        """One row per shard: all that the rules need to know of the cohort."""
        return self.root / "shards.tsv"

    def shard_list(self, shard: str) -> Path:
        """The cohort rows of one shard, rewritten only when they change; never a rule's output."""
        return self.root / "state" / "shards" / f"{shard}.tsv"

    @property
    def split_assignments(self) -> Path:
        return self.root / "state" / "assignments" / "splits.tsv"

    @property
    def shard_assignments(self) -> Path:
        return self.root / "state" / "assignments" / "shards.tsv"

    @property
    def file_checks(self) -> Path:
        return self.root / "state" / "file_checks.jsonl"

    @property
    def last_index(self) -> Path:
        """The scans that the last index included, with their datasets' roots and the digests of their files."""
        return self.root / "state" / "last_index.tsv"

    @property
    def aside(self) -> Path:
        """What was made of scans that are no longer in the cohort."""
        return self.root / "aside"

    @property
    def left(self) -> Path:
        """The table of what lies there."""
        return self.aside / "left.tsv"

    @property
    def purged(self) -> Path:
        """Hashes of the names that `flairflow purge` has dealt with."""
        return self.root / "state" / "purged.txt"

    # Per-scan stages. `stage` may have parts: "segment/marginal".
    def ledger(self, stage: str, shard: str) -> Path:
        return self.root / "ledgers" / stage / f"{shard}.tsv"

    def state(self, stage: str, shard: str) -> Path:
        """The append-only record of finished scans from which a killed job resumes; never a rule's output."""
        return self.root / "state" / stage / f"{shard}.jsonl"

    def begun(self, stage: str, shard: str) -> Path:
        """Which scans the jobs of an unfinished shard began (`shards.begun`); never a rule's output."""
        return self.root / "state" / stage / f"{shard}.begun"

    def lock(self, stage: str, name: str) -> Path:
        """What a job holds while it works on a shard, or (stage "train") on `<entry>/<part>/seed-<seed>`."""
        return self.root / "state" / stage / f"{name}.lock"

    def locks(self) -> Iterator[Path]:
        """All of these that there are."""
        return (self.root / "state").rglob("*.lock")

    def records(self) -> Iterator[tuple[str, Path]]:
        """Every such record with its stage; the file's stem is the shard."""
        folder = self.root / "state"
        for path in sorted(folder.rglob("*.jsonl")):
            if path != self.file_checks:
                yield path.parent.relative_to(folder).as_posix(), path

    @property
    def record_folders(self) -> list[Path]:
        """The machinery's own: what runs resume from, are planned by, and leave as logs."""
        return [self.root / name for name in ("ledgers", "state", "logs", "benchmarks")]

    def log(self, stage: str, name: str) -> Path:
        return self.root / "logs" / stage / f"{name}.log"

    def benchmark(self, stage: str, name: str) -> Path:
        return self.root / "benchmarks" / stage / f"{name}.tsv"

    def scan_costs(self, stage: str, shard: str) -> Path:
        """Seconds and peak memory per scan; no rule reads it."""
        return self.root / "benchmarks" / stage / f"{shard}.scans.tsv"

    # Models
    @property
    def models(self) -> Path:
        return self.root / "models"

    def model(self, strategy: str, part: str, seed: int | str) -> Path:
        return self.models / strategy / part / f"seed-{seed}"

    def training_work(self, strategy: str, part: str, seed: int | str) -> Path:
        """Checkpoints and training logs, kept outside the rule's outputs so that training resumes."""
        return self.root / "state" / "train" / strategy / part / f"seed-{seed}"

    def checkpoints(self) -> list[Path]:
        """The last checkpoint of every training."""
        return sorted((self.root / "state" / "train").rglob(CHECKPOINT))

    def learnt_scans(self) -> dict[Path, Path]:
        """By model folder the file that says which scans it was trained and selected on (a fingerprint by scan)."""
        folder = self.root / "state" / "train"
        return {
            self.models / path.relative_to(folder).with_name(path.name.removesuffix(".scans.json")): path
            for path in sorted(folder.glob("*/*/*.scans.json"))
        }

    # Images
    @property
    def prepared(self) -> Path:
        """Registered and preprocessed scans: intermediates, a BIDS derivative dataset of their own."""
        return self.root / "prepared"

    def pseudolabels(self, teacher: str) -> Path:
        """What a teacher's ensemble predicts in training scans with a missing mask. `teacher`: an entry's name, or with
        a dot one of its steps."""
        return self.root / "pseudolabels" / teacher

    def masks(self, ensemble: str) -> Path:
        """The masks of one ensemble."""
        return self.root / "derivatives" / f"{SOFTWARE}-{ensemble}"

    @property
    def delivered(self) -> Path:
        """The masks of the chosen ensemble: a link, so that another choice mixes nothing and costs nothing."""
        return self.root / "derivatives" / SOFTWARE

    # For people
    def table(self, name: str) -> Path:
        return self.root / "tables" / f"{name}.tsv"

    def figure(self, name: str, label: str, kind: str) -> Path:
        """A figure of the comparison: `name` one of FIGURES; `kind` svg, png, or json: what is said of it."""
        return self.root / "figures" / f"{name}_{label}.{kind}"

    @property
    def comparison_tables(self) -> list[Path]:
        """Tables, dictionaries and texts of COMPARISON_TABLES."""
        tables = [self.table(name) for name in COMPARISON_TABLES]
        return [*tables, *map(dictionary, tables), self.main_table("md"), self.main_table("tex")]

    def main_table(self, kind: str) -> Path:
        return self.table("main").with_suffix(f".{kind}")

    @property
    def report(self) -> Path:
        return self.root / "report" / "index.html"

    @property
    def summary(self) -> Path:
        return self.root / "report" / "summary.txt"


def dictionary(table: Path) -> Path:
    """The JSON data dictionary that stands beside a table."""
    return table.with_suffix(".json")


def derivative(root: Path, scan: str, name: str) -> Path:
    """A BIDS derivative of a scan: `derivative(root, "ds_sub-01_ses-1_run-2", "label-X_mask.nii.gz")` is
    `root/ds/sub-01/ses-1/anat/sub-01_ses-1_run-2_label-X_mask.nii.gz`."""
    dataset, entities = scan.split("_", 1)
    folder = root / dataset
    for entity in entities.split("_"):
        if entity.startswith(("sub-", "ses-")):
            folder /= entity
    return folder / "anat" / f"{entities}_{name}"
