"""All strategies on one simulated cohort, against training with all masks: trainings, then table.tsv and table.md.

    python benchmarks/strategies/run.py FOLDER [--simulation-seed N] [--cores N]

Of everyone the true masks of all labels are there. `partial` is the run that is told of some of them (config.yaml);
`all_masks` is `multiclass` told of all: the upper bound. Both have the same participants, splits and settings. A run
that was stopped goes on when it is started again. Everything is written to FOLDER.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from flairflow.comparison.statistics.bootstrap import interval, mean_draws
from flairflow.comparison.statistics.effect_sizes import holm, signed_rank_p
from flairflow.files import write_text
from flairflow.images.grid import Array
from flairflow.paths import RULES, Results
from flairflow.simulation.cohort import participant_name
from flairflow.tables import read_table, to_tsv

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
BASELINE, BOUND = "multiclass", "all_masks"
# How many participants of a dataset validate; the others of it train.
VALIDATION = 6
# Measure -> whether more of it is better. The first two are of scans with a lesion, the others of scans without.
MEASURES = {"dice": True, "lesion_f1": True, "false_scans": False, "false_lesions": False, "false_ml": False}
INTERVALS = [f"{name}{end}" for name in ("mean", "difference", "gap_share") for end in ("", "_low", "_high")]
COLUMNS = ["label", "measure", "ensemble", "participants", *INTERVALS[:6], "p", "p_holm", *INTERVALS[6:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--simulation-seed", type=int, help="default: the one in config.yaml")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    started = time.perf_counter()
    partial = yaml.safe_load((HERE / "config.yaml").read_text(encoding="utf-8"))
    if options.simulation_seed is not None:
        partial["simulation"]["seed"] = options.simulation_seed
    runs = {"partial": partial, BOUND: upper_bound(partial)}
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in participant_lists(partial).items():
        keep(options.folder / name, text)
    for name, config in runs.items():
        keep(options.folder / f"{name}.yaml", yaml.safe_dump(config, sort_keys=False))
        run(options.folder, name, options.cores)
    results = {name: Results(options.folder / name) for name in runs}
    table = summarise(read_scores(results), partial["labels"], list(partial["strategies"]))
    keep(options.folder / "table.tsv", to_tsv(table))
    text = heading(partial, options, time.perf_counter() - started) + as_markdown(table, read_costs(results))
    write_text(options.folder / "table.md", text)
    print(text)


def upper_bound(partial: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with the masks of all labels named for every dataset, and the baseline strategy alone."""
    everything = partial["datasets"]["test"]["labels"]
    bound = {key: value for key, value in partial.items() if key != "simulation"}
    return bound | {
        "results": BOUND,
        "strategies": [BASELINE],
        "datasets": {name: dataset | {"labels": everything} for name, dataset in partial["datasets"].items()},
    }


def participant_lists(config: dict[str, Any]) -> dict[str, str]:
    """File name -> text of every dataset's manifest, with the true masks of all labels, and of its split list, where it
    has one: the first participants validate, the others train."""
    lists = {}
    for name, dataset in config["datasets"].items():
        simulated = config["simulation"]["datasets"][name]
        manifest = ["\t".join(["participant", "FLAIR", *(f"mask_{label}" for label in config["labels"])])]
        splits = ["participant\tsplit"]
        for number in range(1, simulated["participants"] + 1):
            person = participant_name(number)
            image = f"{name}/{person}/anat/{person}_FLAIR.nii.gz"
            masks = [f"truth/{name}/{person}/anat/{person}_label-{label}_mask.nii.gz" for label in config["labels"]]
            manifest.append("\t".join([person, image, *masks]))
            splits.append(f"{person}\t{'validation' if number <= VALIDATION else 'train'}")
        lists[dataset["manifest"]] = "\n".join([*manifest, ""])
        if "split_list" in dataset:
            lists[dataset["split_list"]] = "\n".join([*splits, ""])
    return lists


def keep(path: Path, text: str) -> None:
    """Write a file that says something else; its time tells Snakemake what is to be done again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def run(folder: Path, name: str, cores: int) -> None:
    """Snakemake up to the tables. Trainings of one thread each, as many side by side as there are cores: networks this
    small gain little from a second one."""
    command = ["snakemake", f"{name}/tables/comparison.tsv", "--cores", str(cores), "--configfile", f"{name}.yaml"]
    command += ["--snakefile", str(REPOSITORY / "Snakefile"), "--profile", str(REPOSITORY / "profiles" / "local")]
    command += ["--set-threads", "train_model=1", "--resources", f"gpu={cores}", "--quiet", "rules", "progress"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if subprocess.run(command, cwd=folder, env=environment).returncode != 0:
        raise SystemExit(f"{name}: Snakemake ended with a fault; the same command goes on from there")


def read_scores(results: dict[str, Results]) -> pd.DataFrame:
    """The metrics of both runs; those of the bound's only ensemble under the bound's name."""
    partial, bound = (read_table(results[name].table("metrics")) for name in ("partial", BOUND))
    bound = bound[bound["ensemble"] == BASELINE].assign(ensemble=BOUND)
    scores = pd.concat([partial, bound], ignore_index=True)
    return scores.assign(false_scans=(scores["false_ml"] > 0).where(scores["false_ml"].notna()).astype(float))


def read_costs(results: dict[str, Results]) -> pd.DataFrame:
    """By ensemble the updates of its networks, and those that were done before them (teachers, earlier phases)."""
    partial, bound = (read_table(results[name].table("comparison")) for name in ("partial", BOUND))
    table = pd.concat([partial, bound[bound["ensemble"] == BASELINE].assign(ensemble=BOUND)])
    return table.drop_duplicates("ensemble").set_index("ensemble").reindex(columns=["updates", "updates_before"])


def summarise(scores: pd.DataFrame, labels: list[str], strategies: list[str]) -> pd.DataFrame:
    """A row per label, measure and ensemble: mean over the test participants, paired difference to the baseline with
    Wilcoxon's p (Holm's over the strategies), and the share of the gap between baseline and bound, all with 95 %
    bootstrap intervals over participants (each has one scan). The share is missing where the interval of the gap does
    not lie on the better side of 0."""
    rows: list[dict[str, Any]] = []
    for label in labels:
        for measure, more_is_better in MEASURES.items():
            own = scores[(scores["label"] == label) & scores[measure].notna()]
            if own.empty:
                continue
            by_scan = own.pivot(index="scan", columns="ensemble", values=measure)
            if by_scan.isna().to_numpy().any():
                raise SystemExit(f"{label}, {measure}: not every ensemble has a score of every test scan")
            values = {name: by_scan[name].to_numpy(float) for name in by_scan.columns}
            baseline, draws = values[BASELINE], mean_draws(by_scan.to_numpy(float), np.arange(len(by_scan)))
            # By ensemble the mean, then what it is in each draw of participants.
            means = dict(zip(by_scan.columns, np.vstack([by_scan.to_numpy(float).mean(axis=0), draws]).T, strict=True))
            differences = {name: of_name - means[BASELINE] for name, of_name in means.items()}
            gap = with_interval("gap", differences[BOUND])
            is_gap = gap["gap_low"] > 0 if more_is_better else gap["gap_high"] < 0
            tested = [name for name in strategies if name != BASELINE]
            p_values = {name: signed_rank_p(values[name] - baseline) for name in [*tested, BOUND]}
            adjusted = dict(zip(tested, holm([p_values[name] for name in tested]), strict=True))
            for name in [*strategies, BOUND, *RULES]:
                row = {"label": label, "measure": measure, "ensemble": name, "participants": len(baseline)}
                row |= with_interval("mean", means[name])
                if name != BASELINE:
                    row |= with_interval("difference", differences[name])
                    row |= {"p": p_values.get(name), "p_holm": adjusted.get(name)}
                if is_gap and name in tested:
                    row |= with_interval("gap_share", shares(differences[name], differences[BOUND]))
                rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def shares(differences: Array, gaps: Array) -> Array:
    """The shares of gaps that differences close; NaN for a draw without a gap."""
    found: Array = np.divide(differences, gaps, out=np.full(gaps.shape, np.nan), where=gaps != 0)
    return found


def with_interval(name: str, found: Array) -> dict[str, float]:
    """A statistic, first, with the interval of what it is in the draws that follow."""
    low, high = interval(found[1:, None])
    return {name: float(found[0]), f"{name}_low": float(low[0]), f"{name}_high": float(high[0])}


def heading(config: dict[str, Any], options: argparse.Namespace, seconds: float) -> str:
    """What is needed to judge the table and to make it again."""
    commit = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    sizes = {name: dataset["participants"] for name, dataset in config["simulation"]["datasets"].items()}
    seed = config["simulation"]["seed"]
    lines = [
        "# Strategies on a simulated cohort",
        "",
        f"- {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%F')};"
        f" the last call took {seconds / 60:.0f} min",
        f"- commit {subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip()}",
        f"- `python benchmarks/strategies/run.py FOLDER --simulation-seed {seed}`",
        "- participants: "
        + ", ".join(
            f"{name} {count if name == 'test' else f'{count - VALIDATION} + {VALIDATION}'}"
            for name, count in sizes.items()
        )
        + " (train + validation)",
        f"- {len(config['seeds'])} training seeds, their probabilities averaged before scoring",
        f"- [95 % intervals] by bootstrap over the test participants; p: Wilcoxon's signed-rank test against"
        f" {BASELINE}, Holm-corrected over the strategies within a column (not so in the bound's row)",
        f"- gap closed: (strategy - {BASELINE}) / ({BOUND} - {BASELINE}) of the means; n/a where there is no such gap",
        "",
        "",
    ]
    return "\n".join(lines)


def as_markdown(table: pd.DataFrame, costs: pd.DataFrame) -> str:
    """For each label a table of the scans with a lesion and one of those without."""
    lines = []
    for label, of_label in table.groupby("label", sort=False):
        for title, measures in (
            ("Dice and lesion-wise F1", ("dice", "lesion_f1")),
            ("false lesions", ("false_scans", "false_lesions", "false_ml")),
        ):
            own = of_label[of_label["measure"].isin(measures)]
            if own.empty:
                continue
            where = "with" if "dice" in measures else "without"
            lines += [f"## {label}: {title}, {own['participants'].iloc[0]} test participants {where} {label}", ""]
            columns = ["", "updates", "before"]
            for measure in measures:
                columns += [measure.replace("_", " "), "difference", "p"]
                columns += ["gap closed"] if own.loc[own["measure"] == measure, "gap_share"].notna().any() else []
            lines += ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
            for ensemble, of_ensemble in own.groupby("ensemble", sort=False):
                cost = costs.loc[ensemble]
                cells = [str(ensemble).replace("_", " "), count(cost["updates"]), count(cost["updates_before"])]
                for measure in measures:
                    row = of_ensemble.set_index("measure").loc[measure]
                    p = row["p_holm"] if pd.notna(row["p_holm"]) else row["p"]
                    cells += [number(row, "mean"), number(row, "difference", "+"), "" if pd.isna(p) else f"{p:.2g}"]
                    if columns[len(cells) : len(cells) + 1] == ["gap closed"]:
                        cells += [number(row, "gap_share")]
                lines.append("| " + " | ".join(cells) + " |")
            lines.append("")
    return "\n".join(lines)


def number(row: pd.Series, name: str, sign: str = "") -> str:
    """A value with its interval; nothing where there is none."""
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    return "" if pd.isna(value) else f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def count(updates: float) -> str:
    return "" if pd.isna(updates) else f"{updates:.0f}"


if __name__ == "__main__":
    main()
