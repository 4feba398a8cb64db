"""Training end to end on tiny random scans: resuming, budgets, records, selection."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from flairflow.config.models import AugmentationSettings, NetworkSettings, PreprocessingSettings, TrainingSettings
from flairflow.errors import ConfigError
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image
from flairflow.network.architecture import HEADS, build_network, network_weights
from flairflow.network.device import resolve_precision, share_threads
from flairflow.network.model import Model
from flairflow.training import learner, loop, selection
from flairflow.training.data.patches import Patches
from flairflow.training.data.prepared_scan import PreparedScan
from flairflow.training.data.targets import class_numbers
from flairflow.training.learner import Learner
from flairflow.training.loop import train
from flairflow.training.losses import marginal_loss
from flairflow.training.strategies import strategy
from flairflow.training.strategy import Part, Task, one_class_each

LABELS = ("A", "B")
SETTINGS = TrainingSettings(
    network=NetworkSettings(filters=(4, 8, 16), deep_supervision=1),
    patch=16,
    batch=2,
    accumulate=2,
    updates=6,
    validate_every=2,
    learning_rate=0.05,
    augmentation=AugmentationSettings(),
)


def make_scans(folder: Path) -> list[PreparedScan]:
    """Six scans of 24^3 voxels: both labels, A alone, B alone, twice; the second label B is an empty mask once."""
    scans = []
    for number, annotated in enumerate((LABELS, ("A",), ("B",)) * 2):
        rng = np.random.default_rng(number)
        place = folder / f"scan{number}"
        bits = np.zeros((24, 24, 24), np.uint8)
        if "A" in annotated:
            bits[4:9, 4:9, 4:9] |= 1
        if "B" in annotated and number != 2:
            bits[14:19, 14:19, 10:16] |= 2
        signal_ = rng.normal(size=bits.shape) + 3 * (bits > 0)
        write_image(place / "image.nii", Image(signal_.astype(np.float32), np.eye(4)), slope=0.001)
        write_image(place / "brain.nii", Image(np.ones(bits.shape, bool), np.eye(4)))
        write_image(place / "bits.nii", Image(bits, np.eye(4)))
        files = ((place / "image.nii",), place / "brain.nii", place / "bits.nii")
        scans.append(PreparedScan(place.name, *files, None, annotated))
    return scans


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[PreparedScan]:
    return make_scans(tmp_path_factory.mktemp("scans"))


def part_of(name: str, part: str = "all", **options: Any) -> Part:
    one = strategy(name)
    return one.parts(LABELS, one.options(**options))[part]


TASK = Task(LABELS, ("B", "A"), one_class_each(LABELS))


def run(scans: list[PreparedScan], work: Path, name: str = "marginal", **changed: Any) -> Model:
    arguments: dict[str, Any] = {
        "labels": LABELS,
        "precedence": ("B", "A"),
        "images": ("FLAIR",),
        "preprocessing": PreprocessingSettings(spacing=1.0),
        "settings": SETTINGS,
        "seed": 0,
        "training": scans[:4],
        "validation": scans[4:],
        "work": work,
        "fingerprint": "one",
        "threads": 1,
        "part": changed.get("part") or part_of(name),
    }
    return train(entry=name, name="all", **(arguments | changed))


@pytest.fixture(scope="module")
def undisturbed(scans: list[PreparedScan], tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    work = tmp_path_factory.mktemp("undisturbed") / "work"
    return run(scans, work), work


def assert_same(first: Model, second: Model) -> None:
    assert first.record == second.record
    assert first.weights.keys() == second.weights.keys()
    for name, tensor in first.weights.items():
        assert torch.equal(tensor, second.weights[name]), name


# Where a run is killed for good (SIGKILL): at the n-th call of a function (with a path to this file). Two calls of
# `training_step` are an update; validations are after 2, 4 and 6 updates.
KILLED = {
    "before the first checkpoint": ("Learner", "training_step", 3, ""),
    "in the middle of an interval": ("Learner", "training_step", 7, ""),
    "between the steps of an update": ("Learner", "training_step", 8, ""),
    "during the first validation": ("learner", "selection_score", 1, ""),
    "during a validation": ("learner", "selection_score", 2, ""),
    "before the log is written": ("Learner", "_write_log", 2, ""),
    "while the first checkpoint is written": ("Path", "replace", 1, "last.ckpt"),
    "while a checkpoint is written": ("Path", "replace", 2, "last.ckpt"),
    "while the last checkpoint is written": ("Path", "replace", 3, "last.ckpt"),
    "after the last update": ("loop", "Record", 1, ""),
}
CASES = [
    *(("plain", moment) for moment in KILLED),
    ("second phase", "before the first checkpoint"),
    ("second phase", "in the middle of an interval"),
    ("taught", "in the middle of an interval"),
]
# One process that has imported everything forks off those that are killed.
FORKING = """
import importlib.util, json, os, signal, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("tests_of_training", sys.argv[1])
tests = importlib.util.module_from_spec(spec); spec.loader.exec_module(tests)
ended = {}
for case, moment in tests.CASES:
    if not (child := os.fork()):
        tests.run_until_killed(case, moment, Path(sys.argv[2]))
        os._exit(0)
    ended[tests.folder_name(case, moment)] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(ended))
"""


def folder_name(case: str, moment: str) -> str:
    return f"{case} {moment}".replace(" ", "-")


def run_until_killed(case: str, moment: str, folder: Path) -> None:
    place, name, nth, path = KILLED[moment]
    owner: Any = {"Learner": Learner, "learner": learner, "loop": loop, "Path": Path}[place]
    function, calls = getattr(owner, name), 0

    def killed(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += not path or str(arguments[1]).endswith(path)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)

    setattr(owner, name, killed)
    torch.set_num_threads(1)
    run_case(case, folder / folder_name(case, moment))


@pytest.fixture(scope="module")
def killed_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one for each of the cases, as its run left it."""
    folder = tmp_path_factory.mktemp("killed")
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FORKING, str(Path(__file__)), str(folder)]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    ended = json.loads(done.stdout.splitlines()[-1])
    assert ended == {folder_name(*case): -signal.SIGKILL for case in CASES}, done.stderr[-3000:]
    return folder


def run_case(case: str, folder: Path) -> tuple[Model, list[tuple[int, str]]]:
    """Train in `folder`/work, and what each step learnt from: the updates done before it, and a hash of its batch."""
    scans = make_scans(folder / "scans")
    seen: list[tuple[int, str]] = []
    step = Learner.training_step

    def noted(self: Learner, batch: dict[str, torch.Tensor], number: int) -> torch.Tensor:
        digest = hashlib.sha256(b"".join(batch[name].numpy().tobytes() for name in sorted(batch)))
        seen.append((self.global_step, digest.hexdigest()))
        return step(self, batch, number)

    changed: dict[str, Any] = {"part": part_of("marginal")}
    if case == "second phase":
        start = build_network(SETTINGS.network, 1, 2)
        with torch.no_grad():
            for weights in start.parameters():
                weights.copy_(torch.linspace(-0.1, 0.1, weights.numel()).reshape(weights.shape))
        changed = {"part": part_of("phased"), "start": network_weights(start), "updates_before": 6}
    elif case == "taught":
        changed = {"part": part_of("noisy_student"), "training": [taught(scan) for scan in scans[:4]]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "training_step", noted)
        return run(scans, folder / "work", "some", **changed), seen


def taught(scan: PreparedScan) -> PreparedScan:
    """The scan with a teacher that finds B in a corner."""
    if scan.annotated == LABELS:
        return scan
    probabilities = np.zeros((24, 24, 24, 3), np.uint8)
    probabilities[..., 0] = 230
    probabilities[16:20, 2:6, 2:6] = 10, 20, 225
    path = scan.brain.parent / "teacher.nii"
    write_image(path, Image(probabilities, np.eye(4)), slope=1 / 255)
    return replace(scan, teacher=path)


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Model, list[tuple[int, str]]]]:
    """Each case, trained without being disturbed."""
    return {case: run_case(case, tmp_path_factory.mktemp("whole")) for case in ("plain", "second phase", "taught")}


@pytest.mark.parametrize(("case", "moment"), CASES)
def test_a_killed_run_goes_on_to_the_same_weights(
    case: str, moment: str, killed_runs: Path, whole_runs: dict[str, tuple[Model, list[tuple[int, str]]]]
) -> None:
    folder = killed_runs / folder_name(case, moment)
    resumed, seen = run_case(case, folder)
    whole, order = whole_runs[case]
    assert [update for update, _ in order] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    if "first" in moment:
        done = 0
    elif "last" in moment:
        done = 4 if "checkpoint" in moment else 6
    else:
        done = 2
    assert seen == order[2 * done :], "what was left, of the same patches in the same order, and no more"
    assert_same(resumed, whole)
    left = {path.name for path in (folder / "work").iterdir()}
    assert {name for name in left if "ckpt" in name} == {"last.ckpt"}
    assert {"log.csv", "fingerprint.txt", "tensorboard"} <= left
    with (folder / "work" / "log.csv").open() as file:
        assert [int(row["update"]) for row in csv.DictReader(file)] == [1, 2, 3, 4, 5, 6]


def test_two_steps_of_a_seed_learn_from_different_patches(
    whole_runs: dict[str, tuple[Model, list[tuple[int, str]]]],
) -> None:
    hashes = [digest for _, digest in whole_runs["plain"][1]]
    assert len(set(hashes)) == len(hashes) == 12


def test_a_second_phase_has_the_body_of_the_first_and_heads_of_its_own(
    scans: list[PreparedScan], tmp_path: Path
) -> None:
    short = SETTINGS.model_copy(update={"updates": 1, "validate_every": 1})
    first = run(scans, tmp_path / "first", "phased", part=part_of("phased", "lesion"), settings=short)
    assert first.plan.classes == ("lesion",) and first.record.annotated == {"A": 3, "B": 3}
    body = {name for name in first.weights if not name.startswith(HEADS)}
    assert body and len(body) < len(first.weights)

    started: list[dict[str, torch.Tensor]] = []
    with pytest.MonkeyPatch.context() as patch:
        build = Learner.configure_optimizers

        def noted(self: Learner) -> dict[str, Any]:
            started.append(network_weights(self.network))
            made = build(self)
            optimised = {id(weight) for group in made["optimizer"].param_groups for weight in group["params"]}
            assert {id(weight) for weight in self.network.parameters()} == optimised
            return made

        patch.setattr(Learner, "configure_optimizers", noted)
        second = run(scans, tmp_path / "second", "phased", settings=short, start=first.weights, updates_before=1)
    (before,) = started
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = network_weights(build_network(SETTINGS.network, 1, 3))
    for name, tensor in before.items():
        assert torch.equal(tensor, first.weights[name] if name in body else fresh[name]), name
    changed = {name for name, tensor in second.weights.items() if not torch.equal(tensor, before[name])}
    heads = {name for name in second.weights if name.startswith(HEADS)}
    assert heads and heads <= changed, "the heads are trained: the optimiser was built after they were put there"
    assert changed & body
    assert second.record.training_scans == 2 and second.record.updates_before == 1


def test_a_budget_is_a_factor_and_epochs_are_by_scans(scans: list[PreparedScan], tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"updates": 1, "validate_every": 1, "accumulate": 1})
    assert run(scans, tmp_path / "twice", settings=short, budget=2).record.updates == 2
    # Two passes of two patches over four scans, and over two; two patches an update.
    epochs = short.model_copy(update={"epochs": 2})
    assert run(scans, tmp_path / "four", settings=epochs).record.updates == 8
    model = run(scans, tmp_path / "two", "phased", settings=epochs, start=None)
    assert model.record.updates == 2, "half the epochs"


def test_a_class_of_two_labels_is_scored_where_both_are_known(scans: list[PreparedScan]) -> None:
    torch.manual_seed(0)
    network = build_network(SETTINGS.network, 1, 2)
    union = Task(LABELS, ("B", "A"), {"lesion": LABELS})
    both, only = ([scan for scan in scans if scan.annotated == labels][:1] for labels in (LABELS, ("A",)))

    def validate(chosen: list[PreparedScan]) -> dict[str, float]:
        return selection.validate(network, "softmax", union, chosen, SETTINGS, "32", 0.001)

    assert 0 <= validate(both)["lesion"] <= 1 and np.isnan(validate(only)["lesion"])
    assert validate(both + only) == validate(both)
    # A network that says lesion everywhere has the Dice of all of it, of both labels together.
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if name.startswith("output_block."):
                weights.copy_(torch.tensor([-1.0, 1.0]) if name.endswith("bias") else weights * 0)
    lesion = 5**3 + 5 * 5 * 6
    assert validate(both)["lesion"] == pytest.approx(2 * lesion / (24**3 + lesion))


def test_two_networks_of_one_label_each_learn_from_its_scans(scans: list[PreparedScan], tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"updates": 1, "validate_every": 1})
    model = run(scans, tmp_path / "A", "multimodel", part=part_of("multimodel", "A"), settings=short)
    assert model.plan.classes == ("A",) and model.plan.activation == "sigmoid"
    # Of four training scans one has B alone.
    assert model.record.training_scans == 3 and model.record.annotated == {"A": 3, "B": 2}
    assert model.record.validation_scans == 1


def test_a_finished_run_is_not_trained_again(
    scans: list[PreparedScan], undisturbed: tuple[Model, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, work = undisturbed
    monkeypatch.setattr(Learner, "training_step", lambda *_: pytest.fail("trained again"))
    assert_same(run(scans, work), model)


def test_another_fingerprint_starts_anew(scans: list[PreparedScan], tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"updates": 1, "validate_every": 1})
    first = run(scans, tmp_path / "work", settings=short)
    second = run(scans, tmp_path / "work", settings=short, fingerprint="two", seed=1)
    assert second.record.updates == 1 and second.record.seed == 1 and second.record.inputs == "two"
    assert any(not torch.equal(tensor, second.weights[name]) for name, tensor in first.weights.items())


def test_missing_and_empty_masks_train_different_models(
    scans: list[PreparedScan], undisturbed: tuple[Model, Path], tmp_path: Path
) -> None:
    # The same files; but the unknown masks of the partially labelled scans are now said to be known, and empty.
    wrong = [replace(scan, annotated=LABELS) for scan in scans[:4]]
    model = run(scans, tmp_path / "work", training=wrong)
    assert any(not torch.equal(tensor, undisturbed[0].weights[name]) for name, tensor in model.weights.items())


def test_plan_record_and_logs(undisturbed: tuple[Model, Path]) -> None:
    model, work = undisturbed
    assert model.plan.strategy == "marginal" and model.plan.labels == model.plan.classes == LABELS
    assert model.plan.patch == 16 and model.plan.images == ("FLAIR",)
    record = model.record
    assert record.training_scans == 4 and record.validation_scans == 2 and record.annotated == {"A": 3, "B": 3}
    scores = {int(row["update"]): row["score"] for row in record.history if "score" in row}
    assert list(scores) == [2, 4, 6]
    assert scores[record.best_update] == record.best_score == max(scores.values())
    rates = {int(row["update"]): row["learning_rate"] for row in record.history if "learning_rate" in row}
    assert rates[3] == pytest.approx(0.05 * (1 - 3 / 6) ** 0.9)
    assert rates[6] == 0
    with (work / "log.csv").open() as file:
        assert [int(row["update"]) for row in csv.DictReader(file)] == [1, 2, 3, 4, 5, 6]
    assert list((work / "tensorboard").glob("events.*"))
    assert str(work) not in model.plan.model_dump_json() + record.model_dump_json()


def test_updates_are_those_worked_out_by_hand(scans: list[PreparedScan], tmp_path: Path) -> None:
    # Two updates of two steps of two patches: mean gradient, clipped to a norm that it exceeds, Nesterov momentum,
    # weight decay, polynomial decay of the rate; heads weighted 2/3 and 1/3.
    settings = SETTINGS.model_copy(
        update={"updates": 2, "validate_every": 2, "precision": "32", "gradient_clip": 0.1, "weight_decay": 0.01}
    )
    model = run(scans, tmp_path / "work", settings=settings)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(settings.network, 1, 3)
    patches = Patches(scans[:4], TASK, settings, seed=0).window(0, 8)
    steps = list(DataLoader(patches, batch_size=2))
    speed = {name: torch.zeros_like(weight) for name, weight in network.named_parameters()}
    for update in range(2):
        network.zero_grad()
        for step in steps[2 * update : 2 * update + 2]:
            target = class_numbers(step["bits"], step["annotated"], LABELS, TASK.precedence)
            full, deeper = network(step["image"]).unbind(1)
            losses = [marginal_loss(head, target, step["annotated"], step["ignore"] > 0) for head in (full, deeper)]
            ((2 * losses[0] + losses[1]) / 3 / 2).backward()  # type: ignore[no-untyped-call]
        gradients = {name: weight.grad for name, weight in network.named_parameters()}
        norm = (
            float(sum(float(gradient.square().sum()) for gradient in gradients.values() if gradient is not None)) ** 0.5
        )
        assert norm > 0.1
        rate = settings.learning_rate * (1 - update / 2) ** 0.9
        with torch.no_grad():
            for name, weight in network.named_parameters():
                gradient = gradients[name]
                assert gradient is not None
                wanted = gradient * 0.1 / norm + 0.01 * weight
                speed[name] = wanted + settings.momentum * speed[name]
                weight.sub_(rate * (wanted + settings.momentum * speed[name]))
    for name, tensor in network_weights(network).items():
        torch.testing.assert_close(model.weights[name], tensor, rtol=0, atol=1e-6, msg=name)


def test_the_log_speaks_early(scans: list[PreparedScan], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = SETTINGS.model_copy(update={"updates": 22, "validate_every": 11, "accumulate": 1})
    caplog.set_level(logging.INFO, logger="flairflow")
    model = run(scans, tmp_path / "work", settings=settings)
    start, *lines = [record.getMessage() for record in caplog.records]
    assert "training marginal (all, seed 0): 4 training scans, 2 to validate on every 11 updates" in start
    assert "2 patches of 16^3 voxels an update; " in start and "precision" in start and "loader workers" in start
    said = {int(line.split()[1]): line for line in lines if "loss" in line}
    # A fifth of the interval, counted from each validation; the rows of the history stand for no more than these.
    regular = [2, 4, 6, 8, 10, 11, 13, 15, 17, 19, 21, 22]
    assert sorted(said) == sorted({*regular, 1, 5, 20})
    assert [row["update"] for row in model.record.history if "loss" in row] == regular
    assert re.fullmatch(r"update 1 of 22: loss \d\.\d{3}", said[1]), "no speed from one update"
    for update in (2, 22):
        assert re.search(r", [\d.e+]+ samples/s.*, \d+ (s|min) left$", said[update]), said[update]


def test_multiclass_leaves_partially_labelled_scans_out(scans: list[PreparedScan], tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"updates": 1, "validate_every": 1})
    model = run(scans, tmp_path / "work", "multiclass", settings=short, validation=[])
    assert model.record.training_scans == 2 and model.record.annotated == {"A": 2, "B": 2}
    assert model.record.best_score is None and model.record.best_update == 1
    with pytest.raises(ConfigError, match=r"multiclass \(all\) can learn from none of the 2 training scans"):
        run(scans, tmp_path / "other", "multiclass", training=scans[1:3])


def test_a_diverging_run_is_an_error(
    scans: list[PreparedScan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Learner.training_step
    monkeypatch.setattr(Learner, "training_step", lambda *arguments: step(*arguments) * float("nan"))
    with pytest.raises(RuntimeError, match="smaller learning_rate"):
        run(scans, tmp_path / "work")


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_are_shared_with_the_loader(threads: int) -> None:
    before = torch.get_num_threads()
    try:
        for device in ("cpu", "cuda"):
            workers = share_threads(threads, torch.device(device))
            assert workers == 0 or threads > 1
            assert torch.get_num_threads() + workers == threads
    finally:
        torch.set_num_threads(before)


def test_precision_falls_back_on_a_cpu() -> None:
    cpu = torch.device("cpu")
    assert resolve_precision("16", cpu) == resolve_precision("auto", cpu) in ("bf16", "32")
    assert resolve_precision("32", cpu) == "32"


def test_selection_sees_false_positives() -> None:
    nothing, some = np.zeros((10, 10, 10), bool), np.zeros((10, 10, 10), bool)
    some[:4] = True
    # 400 voxels of 2.5 microlitres are 1 ml.
    assert selection.class_score(nothing, nothing, 0.0025) == 1.0
    assert selection.class_score(some, nothing, 0.0025) == pytest.approx(0.5)
    assert selection.class_score(nothing, some, 0.0025) == 0.0
    assert selection.class_score(some, some, 0.0025) == 1.0
    half = some.copy()
    half[2:4] = False
    assert selection.class_score(half, some, 0.0025) == pytest.approx(2 * 200 / 600)
    assert selection.selection_score({"A": 0.5, "B": float("nan")}) == 0.5


def test_validation_scores_only_what_is_annotated(scans: list[PreparedScan], undisturbed: tuple[Model, Path]) -> None:
    model = undisturbed[0]
    scores = selection.validate(model.network(), "softmax", TASK, [scans[1]], SETTINGS, "32", 0.001)
    assert 0 <= scores["A"] <= 1 and np.isnan(scores["B"])


def test_no_slurm_in_the_trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "job")
    trainer = loop._trainer(SETTINGS, tmp_path, torch.device("cpu"), "32")
    assert trainer.world_size == 1


def test_where_no_mask_is_missing_pseudolabels_need_no_teacher(scans: list[PreparedScan], tmp_path: Path) -> None:
    complete = [scan for scan in scans if set(scan.annotated) == set(LABELS)]
    settings = SETTINGS.model_copy(update={"updates": 2})
    names = "pseudolabels", "multiclass"
    alone, baseline = (run(scans, tmp_path / name, name, training=complete, settings=settings) for name in names)
    for name, tensor in alone.weights.items():
        assert torch.equal(tensor, baseline.weights[name]), name


def test_a_lesion_that_is_ignored_as_a_whole_is_not_judged() -> None:
    lesion, ignored = torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    assert selection._is_judged(lesion, ignored)
    lesion[0] = True
    assert selection._is_judged(lesion, ignored)
    ignored[0] = True
    assert not selection._is_judged(lesion, ignored)
