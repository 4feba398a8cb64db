"""What a job holds and does: scans, voxels, rows, networks, from the configuration and the table of shards."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flairflow.config.models import Config
from flairflow.network.activation import Activation, channels
from flairflow.paths import Results
from flairflow.resources.network_cost import Network, predicting, training
from flairflow.tables import read_table
from flairflow.training.budget import with_budget
from flairflow.training.configured_strategies import ensemble_parts, entry
from flairflow.training.ensemble_members import model_folders

# The box around a brain (mm^3), which the prepared grid covers, and around a head, which an image covers.
BRAIN_MM3, HEAD_MM3 = 5.0e6, 12.6e6
# Voxels of an image of which nothing is known yet (a head at 1 mm), and scans of a cohort that was never indexed.
DEFAULT_VOXELS, DEFAULT_SCANS = 12_600_000, 100_000
# Of a process that loads patches: assumed, as there was no GPU.
LOADER_BYTES = 3e8
# The network that finds brains, its libraries included, on the largest field of view that it takes (measured).
FINDER_BYTES = 7.5e8
# Rules that read all images of a scan as they came; others read masks on the grid of the reference image.
READ_IMAGES = ("index", "register", "preprocess", "segment_archive")


@dataclass(frozen=True)
class Load:
    """What one job has to hold and to do.

    scans            : scans it processes.
    rows             : rows of the tables it gathers.
    native, prepared : voxels of its largest scan as it came, and as networks read it.
    images           : native images it holds at a time.
    network_bytes, multiply_adds : what networks hold and do.
    """

    scans: float = 0
    rows: float = 0
    native: float = 0
    prepared: float = 0
    images: int = 1
    network_bytes: float = 0
    multiply_adds: float = 0


@dataclass(frozen=True)
class Shard:
    """A row of the table of shards. `voxels`: of its largest reference image."""

    split: str
    scans: int
    voxels: int
    annotated: bool


def load(config: Config, rule: str, wildcards: Mapping[str, str], threads: int = 1) -> Load:
    """The load of a job, for one scan at a time; `threads` of them where a rule works on several. Raises KeyError for
    a shard that does not exist."""
    shards = _shards(config)
    prepared = BRAIN_MM3 / config.preprocessing.spacing**3
    if rule == "simulate":
        return _simulated(config, threads)
    if rule == "index":
        scans = _to_be_indexed(config, shards)
        return Load(scans=scans, rows=scans, native=_largest(config, rule, shards.values()), images=threads)
    if rule == "default_models":
        return Load(rows=config.default_models.brain_updates + config.default_models.lesion_updates)
    if rule == "train_model":
        return _trained(config, wildcards, shards, prepared, threads)
    if "shard" in wildcards:
        shard = shards[wildcards["shard"]]
        held, work = 0.0, 0.0
        if "ensemble" in wildcards and rule != "evaluate":
            held, work = predicting(_members(config, wildcards["ensemble"]), prepared)
        if rule in ("register", "segment_archive") and config.preprocessing.brain_mask == "network":
            # Brains are found before lesions are, but what is freed may not come back in time.
            held += FINDER_BYTES
        return Load(
            scans=shard.scans,
            rows=shard.scans,
            native=_largest(config, rule, [shard]),
            prepared=prepared,
            images=len(config.images) if rule in READ_IMAGES else 1,
            network_bytes=held,
            multiply_adds=work * shard.scans,
        )
    return _gathered(config, rule, shards, prepared)


def _to_be_indexed(config: Config, shards: Mapping[str, Shard]) -> int:
    """Scans that an index may find: as many as the last one found, or two for each participant or row of a manifest
    that is there by now."""
    there = 0
    for dataset in config.datasets.values():
        if dataset.manifest:
            there += dataset.manifest.read_bytes().count(b"\n") if dataset.manifest.is_file() else 0
        elif dataset.root.is_dir():
            there += sum(path.name.startswith("sub-") for path in os.scandir(dataset.root))
    usual = math.ceil(_simulated(config, 1).scans) if config.simulation else DEFAULT_SCANS
    return max(2 * there, sum(shard.scans for shard in shards.values())) or usual


def _gathered(config: Config, rule: str, shards: Mapping[str, Shard], prepared: float) -> Load:
    """Of the rules whose one job reads what became of the whole cohort."""
    scans = sum(shard.scans for shard in shards.values())
    test = sum(shard.scans for shard in shards.values() if shard.annotated and shard.split == "test")
    train = sum(shard.scans for shard in shards.values() if shard.split == "train")
    labels, compared = len(config.labels), len(config.compared)
    rows = {"volumes": scans * labels, "metrics": test * labels * compared, "comparison": test}
    return Load(
        scans=train if rule == "thresholds" else 0,
        rows=rows.get(rule, scans * labels),
        native=_largest(config, rule, shards.values()),
        prepared=prepared,
    )


def _trained(
    config: Config, wildcards: Mapping[str, str], shards: Mapping[str, Shard], prepared: float, threads: int
) -> Load:
    owner = entry(config, wildcards["strategy"])
    part = owner.parts[wildcards["part"]]
    network = _network(config, len(part.classes), part.activation)
    count = {
        split: sum(shard.scans for shard in shards.values() if shard.split == split and shard.annotated)
        for split in ("train", "validation")
    }
    settings = with_budget(config.training, max(count["train"], 1), owner.budget, part.share_of_epochs)
    if owner.calibrates:
        # A temperature takes one prediction of each validation scan.
        held, work = training(network, settings.batch, 0, count["validation"], prepared)
    else:
        patches = settings.updates * settings.batch * settings.accumulate
        validated = count["validation"] * settings.updates / settings.validate_every
        held, work = training(network, settings.batch, patches, validated, prepared)
    scans = sum(count.values())
    # A row is a scan's patch centres of background or of one label.
    rows = scans * (1 + len(config.labels))
    # Beside a GPU all threads but one load patches, each in a process of its own.
    held += (threads - 1) * LOADER_BYTES
    return Load(rows=rows, prepared=prepared, network_bytes=held, multiply_adds=work)


def _members(config: Config, ensemble: str) -> list[Network]:
    """The networks of an ensemble: given ones by their plans, others as they will be trained."""
    if ensemble in config.models:
        return [_planned(folder / "plan.json") for folder in model_folders(config, ensemble)]
    parts = ensemble_parts(config, ensemble)[1].values()
    return [_network(config, len(part.classes), part.activation) for part in parts for _ in config.seeds]


def _network(config: Config, classes: int, activation: Activation) -> Network:
    settings = config.training
    return Network(
        settings.network.filters,
        settings.network.deep_supervision,
        len(config.images),
        channels(activation, classes),
        settings.patch,
        settings.overlap,
    )


@lru_cache
def _planned(path: Path) -> Network:
    plan = json.loads(path.read_text(encoding="utf-8"))
    return Network(
        tuple(plan["network"]["filters"]),
        plan["network"]["deep_supervision"],
        len(plan["images"]),
        channels(plan["activation"], len(plan["classes"])),
        plan["patch"],
        plan["overlap"],
    )


def _simulated(config: Config, threads: int) -> Load:
    assert config.simulation is not None
    datasets = config.simulation.datasets.values()
    finest = min(math.prod(dataset.voxel_size) for dataset in datasets)
    scans = sum(dataset.participants * (1 + dataset.second_session) for dataset in datasets)
    return Load(scans=scans, native=HEAD_MM3 / finest, images=threads)


def _largest(config: Config, rule: str, shards: Collection[Shard]) -> float:
    """Voxels of the largest image. The table of shards knows reference images alone; others may be larger."""
    drawn_on = any(source.drawn_on for data in config.datasets.values() for source in data.labels.values())
    others = (rule in READ_IMAGES and len(config.images) > 1) or (rule in ("register", "index") and drawn_on)
    known = [shard.voxels for shard in shards]
    return max([*known, DEFAULT_VOXELS]) if others or not known else max(known)


def _shards(config: Config) -> dict[str, Shard]:
    """The table of shards by name; empty before the first index."""
    path = Results(config.results).shards
    return _read(path, path.stat().st_mtime_ns) if path.exists() else {}


@lru_cache(maxsize=1)
def _read(path: Path, _modified: int) -> dict[str, Shard]:
    """Once a process and index: every job asks."""
    return {
        row["shard"]: Shard(
            row["split"], int(row["scans"]), int(row.get("voxels") or DEFAULT_VOXELS), row["annotated"] == "yes"
        )
        for row in read_table(path, text=True).to_dict("records")
    }
