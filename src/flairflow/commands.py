"""What each subcommand does: read its inputs, run the stage over them, write its outputs."""

from __future__ import annotations

import gc
import logging
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flairflow.cohort.scan import Scan
from flairflow.config import Config, read_config
from flairflow.errors import ConfigError, ScanError
from flairflow.paths import RULES, SOFTWARE, Results
from flairflow.shards import stages
from flairflow.shards.ledger import read_ledger
from flairflow.shards.lock import alone
from flairflow.shards.run import Outcome, run_shard

if TYPE_CHECKING:
    from flairflow.network.ensemble import Ensemble

log = logging.getLogger(__name__)


def check(options: Namespace) -> None:
    from flairflow.status.check_config import show_check

    show_check(options.config)


def simulate(options: Namespace) -> None:
    from flairflow.simulation.cohort import simulate

    config = read_config(options.config)
    assert config.simulation is not None
    simulate(config.simulation, options.threads)


def make_models(options: Namespace) -> None:
    from flairflow.training.default_models.make import make_models

    config = read_config(options.config)
    results = Results(config.results)
    work = results.boxed("work")
    with alone(results.lock("default_models", "default_models")):
        make_models(config.default_models, results.boxed("brain").parent, work, options.threads)


def index(options: Namespace) -> None:
    from flairflow.cleaning.set_aside import set_aside
    from flairflow.cohort.index import index

    config = read_config(options.config)
    results = Results(config.results)
    with alone(results.lock("index", "index")):
        if problem := index(config, options.threads):
            raise ConfigError(problem)
        set_aside(config, results)


def register(options: Namespace) -> None:
    from flairflow.registration.register import register_scan

    config, results, scans = _shard(options)
    settings = stages.settings_hash(config, "register")
    _describe(results.prepared, config, scans, f"registered and preprocessed by {SOFTWARE}")
    run_shard(
        "register",
        options.shard,
        scans,
        lambda scan: stages.fingerprint(settings, scan.digest),
        lambda scan: register_scan(scan, config, results),
        results,
        strict=config.strict,
    )


def preprocess(options: Namespace) -> None:
    from flairflow.preprocessing.preprocess import preprocess_scan

    config, results, scans = _shard(options)
    settings = stages.settings_hash(config, "preprocess")
    registered = read_ledger(results.ledger("register", options.shard))
    run_shard(
        "preprocess",
        options.shard,
        scans,
        lambda scan: stages.fingerprint(settings, registered[scan.scan].fingerprint),
        lambda scan: preprocess_scan(scan, registered[scan.scan], config, results),
        results,
        upstream=registered,
        strict=config.strict,
    )


def train(options: Namespace) -> None:
    from flairflow.training.train import train_model

    config = read_config(options.config)
    results = Results(config.results)
    with alone(results.lock("train", f"{options.strategy}/{options.part}/seed-{options.seed}")):
        train_model(options.strategy, options.part, options.seed, config, results, options.threads)


def pseudolabel(options: Namespace) -> None:
    from flairflow.inference.pseudolabels import pseudolabel_scan
    from flairflow.inference.teachers import Teaching

    config, results, scans = _shard(options)
    teacher = options.ensemble
    teaching = Teaching(config, results, teacher)
    settings = stages.fingerprint(stages.settings_hash(config, "pseudolabel"), teaching.smallest_ml)
    prepared = read_ledger(results.ledger("preprocess", options.shard))
    _describe(results.pseudolabels(teacher), config, scans, f"missing masks by {teacher}")
    run_shard(
        f"pseudolabel/{teacher}",
        options.shard,
        [scan for scan in scans if scan.incomplete],
        lambda scan: stages.fingerprint(settings, prepared[scan.scan].fingerprint, teaching.ensemble(scan).provenance),
        lambda scan: pseudolabel_scan(scan, prepared[scan.scan], teaching, config, results),
        results,
        upstream=prepared,
        as_good=lambda scan: [
            stages.fingerprint(settings, prepared[scan.scan].fingerprint, how)
            for how in teaching.ensemble(scan).as_good
        ],
        strict=config.strict,
    )


def segment_shard(options: Namespace) -> None:
    from flairflow.inference.segment import segment_scan

    config, results, scans = _shard(options)
    name = options.ensemble
    ensemble = _ensemble(name, config)
    plain, scored = (stages.settings_hash(config, stage) for stage in ("segment", "segment_scored"))
    prepared = read_ledger(results.ledger("preprocess", options.shard))
    _describe(results.masks(name), config, scans, f"lesion masks ({name})")

    def fingerprint(scan: Scan, how: dict[str, str]) -> str:
        return stages.fingerprint(scored if scan.scored else plain, prepared[scan.scan].fingerprint, how)

    run_shard(
        f"segment/{name}",
        options.shard,
        scans,
        lambda scan: fingerprint(scan, ensemble.provenance),
        lambda scan: segment_scan(scan, prepared[scan.scan], ensemble, name, config, results),
        results,
        upstream=prepared,
        as_good=lambda scan: [fingerprint(scan, how) for how in ensemble.as_good],
        strict=config.strict,
    )


def segment_archive(options: Namespace) -> None:
    from flairflow.inference.segment import segment_archive_scan

    config, results, scans = _shard(options)
    name = options.ensemble
    ensemble = _ensemble(name, config)
    settings = stages.settings_hash(config, "segment_archive")
    _describe(results.masks(name), config, scans, f"lesion masks ({name})")
    run_shard(
        f"segment/{name}",
        options.shard,
        scans,
        lambda scan: stages.fingerprint(settings, scan.digest, ensemble.provenance),
        lambda scan: segment_archive_scan(scan, ensemble, name, config, results),
        results,
        as_good=lambda scan: [stages.fingerprint(settings, scan.digest, how) for how in ensemble.as_good],
        strict=config.strict,
    )


def segment(options: Namespace) -> None:
    from flairflow.config.named_models import default_model, model_folder, read_plan
    from flairflow.inference.single_images.inputs import (
        brain_masks,
        check_sequences,
        check_writable,
        find_inputs,
        likely_device,
        sort_out,
    )

    # What is wrong with the request is found before the seconds that loading a network takes.
    models, images = sort_out(options.model, options.images)
    folders = [model_folder(model) for model in models] or [default_model()]
    plan = read_plan(folders[0], "labels", "images", "preprocessing")
    check_sequences(plan["images"])
    inputs = find_inputs(images, options.out)
    source, masks = brain_masks(options.brain_mask, inputs, plan["preprocessing"]["brain_mask"])
    device = likely_device(options.device)
    check_writable(options.out)
    log.info(
        "segmenting %s in %d image(s) on %s with %s; masks, pictures and volumes.tsv go to %s",
        " and ".join(plan["labels"]),
        len(inputs),
        device,
        " and ".join(map(str, models)) or "the default model, which comes with flairflow (no --model is given)",
        options.out,
    )

    with _imports():
        from flairflow.images.overlays import write_mosaic
        from flairflow.inference.single_images.progress import Progress, as_json
        from flairflow.inference.single_images.segment_images import Wishes, segment_all
        from flairflow.network.ensemble import Ensemble

    rows = []
    with Progress([image.name for image in inputs]) as progress:
        ensemble = Ensemble(folders, device=options.device)
        progress.start()
        wishes = Wishes(source, masks, options.probabilities, options.skip_existing)
        for row in segment_all(inputs, ensemble, options.out, wishes, write_mosaic):
            rows.append(row)
            progress.finish(row, ensemble.labels)
    if options.json:
        print(as_json(rows, ensemble.labels))
    flagged, failed = (sum(bool(row[what]) for row in rows) for what in ("flag", "reason"))
    log.info("%d segmented, %d of them to look at (flag)", len(rows) - failed, flagged)
    if failed:
        raise ScanError(f"{failed} of {len(rows)} images could not be segmented; volumes.tsv has the reasons")


def evaluate(options: Namespace) -> None:
    from flairflow.comparison.scoring.evaluate import evaluate_scan, evaluate_thresholds
    from flairflow.tables import read_table

    config, results, scans = _shard(options)
    name = options.ensemble
    settings = stages.settings_hash(config, "evaluate")
    known = read_ledger(results.ledger(stages.reference_stage(config), options.shard))
    thresholds: dict[str, tuple[float, float]] = {}
    if name in RULES:
        table = read_table(results.table("thresholds")).query("rule == @name")
        thresholds = {label: (low, high) for label, low, high in table[["label", "low", "high"]].to_numpy()}
    predicted = read_ledger(results.ledger("preprocess" if name in RULES else f"segment/{name}", options.shard))

    def process(scan: Scan) -> Outcome:
        rows = known[scan.scan], predicted[scan.scan]
        if name in RULES:
            return evaluate_thresholds(scan, *rows, thresholds, config, results)
        return evaluate_scan(scan, *rows, config, results)

    def fingerprint(scan: Scan) -> str:
        both = [known[scan.scan].fingerprint, predicted[scan.scan].fingerprint]
        return stages.fingerprint(settings, both, thresholds)

    annotated = [scan for scan in scans if scan.annotated]
    run_shard(
        f"evaluate/{name}",
        options.shard,
        annotated,
        fingerprint,
        process,
        results,
        upstream=predicted,
        strict=config.strict,
    )


def thresholds(options: Namespace) -> None:
    from flairflow.comparison.scoring.gather import write_thresholds

    config = read_config(options.config)
    write_thresholds(config, Results(config.results))


def volumes(options: Namespace) -> None:
    from flairflow.inference.volumes import write_volumes

    config = read_config(options.config)
    write_volumes(config, Results(config.results))


def metrics(options: Namespace) -> None:
    from flairflow.comparison.scoring.gather import write_metrics

    config = read_config(options.config)
    write_metrics(config, Results(config.results))


def compare(options: Namespace) -> None:
    from flairflow.comparison.figures.write import write_figures, write_galleries
    from flairflow.comparison.published.published_means import read_numbers
    from flairflow.comparison.tables.ensembles import write_comparison
    from flairflow.comparison.tables.write import write_comparison_tables

    config = read_config(options.config)
    results = Results(config.results)
    write_comparison(config, results)
    published = read_numbers(config.compare.published)
    write_comparison_tables(results, published, config.compared, config.evaluation.grid)
    write_figures(results, config.labels)
    write_galleries(config, results)


def import_results(options: Namespace) -> None:
    from flairflow.comparison.published.import_results import import_results
    from flairflow.comparison.published.scan_ids import read_renamed

    import_results(
        options.files,
        options.out,
        names=options.name,
        prefix=options.prefix,
        scans=options.scans,
        learnt=options.learnt,
        ids=options.ids,
        renamed=read_renamed(options.rename),
    )


def compare_results(options: Namespace) -> None:
    from flairflow.comparison.compare_results import compare_results

    compare_results(options.tables, options.out, options.published)


def import_splits(options: Namespace) -> None:
    from flairflow.comparison.published.import_splits import import_splits
    from flairflow.comparison.published.scan_ids import read_renamed

    lists = {split: getattr(options, split) for split in ("train", "validation", "test")}
    import_splits(lists, options.out, read_renamed(options.rename))


def report(options: Namespace) -> None:
    from flairflow.report.page import write_report

    config = read_config(options.config)
    write_report(config, Results(config.results))


def status(options: Namespace) -> None:
    from flairflow.status.show import show_status

    show_status(options.results, once=options.once, as_json=options.json)


def tidy(options: Namespace) -> None:
    from flairflow.cleaning.intermediates import tidy

    config = read_config(options.config)
    tidy(config, Results(config.results))


def purge(options: Namespace) -> None:
    from flairflow.cleaning.withdrawn_participants import purge

    config = read_config(options.config)
    purge(config, Results(config.results))


def _shard(options: Namespace) -> tuple[Config, Results, list[Scan]]:
    from flairflow.cohort.index import read_scans

    config = read_config(options.config)
    results = Results(config.results)
    return config, results, read_scans(results.shard_list(options.shard), config.labels, config.images)


def _ensemble(name: str, config: Config) -> Ensemble:
    with _imports():
        from flairflow.network.ensemble import Ensemble
        from flairflow.training.ensemble_members import model_folders

    return Ensemble(model_folders(config, name), config.segmentation.precision)


def _describe(folder: Path, config: Config, scans: Sequence[Scan], what: str) -> None:
    """Make the folder of each of the scans' datasets a BIDS derivative dataset."""
    from flairflow.inference.bids_description import describe_datasets

    roots = {name: dataset.root for name, dataset in config.datasets.items()}
    describe_datasets(folder, roots, sorted({scan.dataset for scan in scans}), what)


@contextmanager
def _imports() -> Iterator[None]:
    """Around imports of torch, MONAI and the like: next to nothing of what they make is garbage, and looking for it
    takes a quarter of their time."""
    gc.disable()
    try:
        yield
    finally:
        # Not looked through later either.
        gc.freeze()
        gc.enable()
