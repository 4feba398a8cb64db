"""The stage `train`: one network from the prepared train and validation scans, saved as a model folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from flairflow.cohort.index import read_scans
from flairflow.cohort.scan import Scan
from flairflow.cohort.sharding import shard_names
from flairflow.config.models import Config
from flairflow.files import write_text
from flairflow.network.model import Model, load_model, load_record, model_hash, save_model
from flairflow.network.plan import Init
from flairflow.paths import Results
from flairflow.shards import stages
from flairflow.shards.ledger import Row, stage_rows
from flairflow.training.calibration import calibrate
from flairflow.training.configured_strategies import Entry, entry, parts_before, task_of, teacher
from flairflow.training.data.folds import assign_folds
from flairflow.training.data.local_copies import brought_nearby
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.ensemble_members import init_folder, keeps_heads, model_before
from flairflow.training.loop import train
from flairflow.training.selection import validates
from flairflow.training.strategy import Part

log = logging.getLogger(__name__)


def train_model(name: str, part: str, seed: int, config: Config, results: Results, threads: int) -> None:
    """Train the network `part` of an entry with one seed, or fit its temperature, and write its model folder. What
    changed since it was last trained is logged. Raises ConfigError when it can learn from no scan."""
    owner = entry(config, name)
    one = owner.parts[part]
    task, by = task_of(config, one), teacher(owner, one)
    rows = stage_rows(results, "preprocess", ["train", "validation"])
    predicted = stage_rows(results, f"pseudolabel/{by}", ["train"], having="incomplete") if by else {}
    if unfilled := sum(row.status != "ok" for row in predicted.values()):
        log.warning("%d training scans are left out: their missing masks could not be filled in", unfilled)
    every = read_scans(results.cohort, config.labels, config.images)
    left_out = _left_out(every, one, config.seed)
    # A scan that this model does not learn from must not make it train again.
    scans = [
        scan
        for scan in every
        if scan.scan in rows
        and rows[scan.scan].status == "ok"
        and (one.learns_from if scan.split == "train" else validates)(scan.annotated, task)
        # A scan that its teacher failed on would count what is missing as not there.
        and (scan.scan not in predicted or predicted[scan.scan].status == "ok")
        and scan.scan not in left_out
    ]
    before = model_before(config, name, part, seed)
    inputs = {
        scan.scan: stages.fingerprint(rows[scan.scan].fingerprint, predicted[scan.scan].fingerprint)
        if scan.scan in predicted
        else rows[scan.scan].fingerprint
        for scan in scans
    }
    work = results.training_work(name, part, seed)
    learnt = _learnt_before(before, results) | inputs
    _say_what_changed(work.parent / f"{work.name}.scans.json", learnt, f"{name} ({part}, seed {seed})")
    validation = brought_nearby(
        [prepared_scan(scan, rows[scan.scan], results) for scan in scans if scan.split == "validation"]
    )
    folder = before or init_folder(owner)
    fingerprint = stages.fingerprint(
        stages.settings_hash(config, "train"), owner.settings, part, seed, inputs, model_hash(folder) if folder else ""
    )
    start = load_model(folder) if folder else None
    if owner.calibrates:
        assert start is not None
        save_model(results.model(name, part, seed), calibrate(start, name, task, validation, fingerprint))
        return
    model = train(
        entry=name,
        name=part,
        part=one,
        labels=config.labels,
        precedence=config.precedence,
        images=config.images,
        preprocessing=config.preprocessing,
        settings=config.training,
        seed=seed,
        training=brought_nearby(
            [
                prepared_scan(scan, rows[scan.scan], results, predicted.get(scan.scan))
                for scan in scans
                if scan.split == "train"
            ]
        ),
        validation=validation,
        work=work,
        fingerprint=fingerprint,
        threads=threads,
        budget=owner.budget,
        start=start.weights if start else None,
        updates_before=_updates_before(config, results, name, part, seed),
        init=_init(owner, one, folder, start, config.preprocessing.spacing)
        if folder and start and not before
        else None,
    )
    save_model(results.model(name, part, seed), model)


def _init(owner: Entry, part: Part, folder: Path, model: Model, spacing: float) -> Init:
    """What is recorded of the model that a network starts from at a voxel edge of `spacing` mm."""
    learnt_at = model.plan.preprocessing.spacing
    if learnt_at != spacing:
        log.warning("%s starts from %s, which learnt at %g mm, at %g mm", owner.name, owner.init, learnt_at, spacing)
    heads = keeps_heads(model.plan.model_dump(mode="json"), part)
    return Init(model=str(owner.init), hash=model_hash(folder), updates=model.record.updates, heads=heads)


def _left_out(scans: Sequence[Scan], part: Part, seed: int) -> set[str]:
    """The training scans of the fold that the part is to teach."""
    if part.fold is None:
        return set()
    fold, folds = part.fold
    return {scan for scan, number in assign_folds(scans, folds, seed).items() if number == fold}


def _learnt_before(before: Path | None, results: Results) -> dict[str, str]:
    """The scans behind the weights that a model takes or goes on from, as recorded: it has learnt from them too."""
    record = results.learnt_scans().get(before) if before else None
    return dict(json.loads(record.read_text(encoding="utf-8"))) if record else {}


def _updates_before(config: Config, results: Results, name: str, part: str, seed: int) -> int:
    """Updates spent on other networks before this one, per seed: all seeds of a teacher teach every seed."""
    taught = bool(shard_names(results, ["train"], having="incomplete"))
    before = parts_before(config, name, part, taught)
    return sum(load_record(results.model(*other, seed)).updates for other in sorted(before))


def prepared_scan(scan: Scan, row: Row, results: Results, predicted: Row | None = None) -> PreparedScan:
    """A scan as training sees it, from its row in the ledger of `preprocess` and that of the teacher, if it has one."""

    def file(role: str) -> Path | None:
        return results.root / row.files[role] if role in row.files else None

    return PreparedScan(
        scan=scan.scan,
        images=tuple(file(sequence) for sequence in scan.images),
        brain=results.root / row.files["brain"],
        bits=file("bits"),
        ignore=file("ignore"),
        annotated=scan.annotated,
        teacher=results.root / predicted.files["teacher"] if predicted else None,
    )


def _say_what_changed(record: Path, inputs: dict[str, str], model: str) -> None:
    if record.exists():
        before = json.loads(record.read_text(encoding="utf-8"))
        parts = {
            "new": sorted(set(inputs) - set(before)),
            "gone": sorted(set(before) - set(inputs)),
            "changed": sorted(scan for scan in set(inputs) & set(before) if inputs[scan] != before[scan]),
        }
        said = [
            f"{len(scans)} {kind} ({', '.join(scans[:5])}{', ...' if len(scans) > 5 else ''})"
            for kind, scans in parts.items()
            if scans
        ]
        if said:
            log.warning(
                "%s is trained again, its train and validation scans are not the same: %s", model, "; ".join(said)
            )
    write_text(record, json.dumps(inputs, indent=2) + "\n")
