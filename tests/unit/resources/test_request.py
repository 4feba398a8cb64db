"""What jobs ask for: by a formula that grows with what they hold and do, and that the rules use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flairflow import dag
from flairflow.config.load import load_config
from flairflow.config.models import Config, NetworkSettings
from flairflow.files import write_text
from flairflow.paths import Results
from flairflow.resources.job_load import FINDER_BYTES
from flairflow.resources.network_cost import Network, predicting, training
from flairflow.resources.request import COSTS, MEMORY_MARGIN, MIN_MINUTES, SNAKEMAKE_MB, TIME_MARGIN, request

# A job of every rule that has a shard, an ensemble or a network.
JOBS: dict[str, dict[str, str]] = {
    "register": {"shard": "ds-train-0001"},
    "preprocess": {"shard": "ds-train-0001"},
    "pseudolabel": {"shard": "ds-train-0001", "ensemble": "marginal"},
    "segment": {"shard": "ds-test-0001", "ensemble": "marginal"},
    "segment_archive": {"shard": "ds-archive-0001", "ensemble": "marginal"},
    "evaluate": {"shard": "ds-test-0001", "ensemble": "marginal"},
    "train_model": {"strategy": "marginal", "part": "all", "seed": "0"},
}
GATHERED = ("index", "volumes", "metrics", "comparison", "report", "tidy", "thresholds")


def configured(folder: Path, scans: int = 64, voxels: int = 2_000_000, **changes: Any) -> Config:
    """A configuration, and the table of shards as an index leaves it."""
    rows = [f"ds-{split}-0001\tds\t{split}\t{scans}\tyes\tyes\t{voxels}" for split in ("train", "validation", "test")]
    rows.append(f"ds-archive-0001\tds\tarchive\t{scans}\tno\tno\t{voxels}")
    results = folder / f"results-{scans}-{voxels}"
    text = "shard\tdataset\tsplit\tscans\tannotated\tincomplete\tvoxels\n" + "\n".join(rows) + "\n"
    if not Results(results).shards.exists():
        write_text(Results(results).shards, text)
    dataset = {"root": str(folder), "labels": {"A": {}, "B": {}}}
    values = {"labels": ["A", "B"], "results": str(results), "datasets": {"ds": dataset}}
    return load_config(values | changes)


def with_filters(factor: int) -> dict[str, Any]:
    filters = [16 * factor, 32 * factor, 64 * factor]
    return {"training": {"network": {"filters": filters, "deep_supervision": 1}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("requests")


@settings(max_examples=30, deadline=None)
@given(rule=st.sampled_from([*JOBS, *GATHERED]), few=st.integers(1, 5000), more=st.integers(0, 5000))
def test_more_scans_never_ask_for_less(folder: Path, rule: str, few: int, more: int) -> None:
    one, other = (request(configured(folder, scans=n), rule, JOBS.get(rule, {})) for n in (few, few + more))
    assert one.mem_mb <= other.mem_mb and one.runtime <= other.runtime


@settings(max_examples=30, deadline=None)
@given(rule=st.sampled_from([*JOBS, *GATHERED]), few=st.integers(10**5, 10**8), more=st.integers(0, 10**8))
def test_more_voxels_never_ask_for_less(folder: Path, rule: str, few: int, more: int) -> None:
    one, other = (request(configured(folder, voxels=n), rule, JOBS.get(rule, {})) for n in (few, few + more))
    assert one.mem_mb <= other.mem_mb and one.runtime <= other.runtime


def test_a_network_that_finds_brains_is_asked_for_where_it_runs(folder: Path) -> None:
    for rule in ("register", "segment_archive", "preprocess", "segment"):
        network, template = (
            request(configured(folder, preprocessing={"brain_mask": source}), rule, JOBS[rule]).mem_mb
            for source in ("network", "template")
        )
        assert (network > template) == (rule in ("register", "segment_archive")), rule


@settings(max_examples=30, deadline=None)
@given(rule=st.sampled_from(["pseudolabel", "segment", "segment_archive", "train_model"]), factor=st.integers(1, 16))
def test_more_filters_and_seeds_ask_for_more(folder: Path, rule: str, factor: int) -> None:
    one, other = (request(configured(folder, **with_filters(n)), rule, JOBS[rule]) for n in (factor, factor + 1))
    assert one.mem_mb < other.mem_mb and one.runtime <= other.runtime
    if rule != "train_model":
        seeds = request(configured(folder, **with_filters(factor), seeds=[0, 1, 2]), rule, JOBS[rule])
        assert seeds.mem_mb > one.mem_mb and seeds.runtime >= one.runtime


@settings(max_examples=30, deadline=None)
@given(rule=st.sampled_from([*JOBS, *GATHERED]), attempt=st.integers(2, 5))
def test_every_attempt_asks_for_as_much_more(folder: Path, rule: str, attempt: int) -> None:
    config, wildcards = configured(folder), JOBS.get(rule, {})
    first, later = request(config, rule, wildcards), request(config, rule, wildcards, attempt=attempt)
    assert (later.mem_mb, later.runtime) == (attempt * first.mem_mb, attempt * first.runtime)


def test_finer_voxels_and_longer_trainings_ask_for_more(folder: Path) -> None:
    for rule in ("preprocess", "segment", "pseudolabel"):
        coarse, fine = (
            request(configured(folder, preprocessing={"spacing": spacing}), rule, JOBS[rule]) for spacing in (2.0, 1.0)
        )
        assert coarse.mem_mb < fine.mem_mb and coarse.runtime <= fine.runtime, rule
    network = JOBS["train_model"]
    short, long = (
        request(configured(folder, training={"updates": n, "validate_every": 100}), "train_model", network)
        for n in (400, 40_000)
    )
    assert short.runtime < long.runtime and short.mem_mb == long.mem_mb


def test_a_budget_takes_its_time(folder: Path) -> None:
    entries = {"marginal": None, "long": {"strategy": "marginal", "budget": 10}}
    config = configured(folder, strategies=entries, training={"updates": 200, "validate_every": 200})
    one, ten = (request(config, "train_model", JOBS["train_model"] | {"strategy": name}) for name in entries)
    assert ten.runtime > one.runtime and ten.mem_mb == one.mem_mb


def test_a_case_by_hand(folder: Path) -> None:
    """64 scans of two million voxels, registered, brains found by the network: every number of the formula."""
    cost = COSTS["register"]
    asked = request(configured(folder), "register", JOBS["register"])
    assert asked.mem_mb == -(-(SNAKEMAKE_MB + MEMORY_MARGIN * (cost.mb + cost.native * 2 + FINDER_BYTES / 1e6)) // 1)
    seconds = cost.seconds + 64 * (cost.scan + cost.of_native * 2 + cost.row)
    assert asked.runtime == max(MIN_MINUTES, -(-TIME_MARGIN * seconds / 60 // 1))


def test_a_network_is_counted_by_hand() -> None:
    """Three levels of 2, 4 and 8 features, patches of 16: the arithmetic of docs/resources.md."""
    network = Network((2, 4, 8), heads=1, images=1, channels=3, patch=16, overlap=0.5)
    assert network.features == 4096 * 2 + 512 * 4 + 64 * 8
    down = 4096 * 27 * 2 * (1 + 2) + 512 * 27 * 4 * (2 + 4) + 64 * 27 * 8 * (4 + 8)
    up = 4096 * 27 * 2 * 6 + 512 * 27 * 4 * 12
    assert network.multiply_adds == down + up
    # Two windows of 16 reach 24 voxels at half overlap, and 25 take a third.
    assert [network.windows(edge**3) for edge in (8, 16, 24, 25)] == [1, 1, 8, 27]


@pytest.mark.parametrize("filters", [(4, 8, 16), (16, 32, 64, 96), (32, 64, 128, 256, 320, 320)])
def test_weights_are_those_of_the_network(filters: tuple[int, ...]) -> None:
    from flairflow.network.architecture import build_network, network_weights

    built = build_network(NetworkSettings(filters=filters, deep_supervision=1), images=2, channels=3)
    weights = sum(tensor.numel() for tensor in network_weights(built).values())
    assert Network(filters, 1, 2, 3, 32, 0.5).weights == pytest.approx(weights, rel=0.05)


def test_members_share_the_windows_but_not_the_weights() -> None:
    network = Network((16, 32, 64), heads=1, images=1, channels=3, patch=48, overlap=0.5)
    (one, work), (three, works) = (predicting([network] * count, 1e6) for count in (1, 3))
    assert works == 3 * work and one < three < 2 * one
    assert training(network, 2, 1, 0, 1e6)[0] > training(network, 1, 1, 0, 1e6)[0] > one


def test_the_rules_ask_for_what_the_formula_says(folder: Path) -> None:
    config = configured(folder)
    for rule, names in JOBS.items():
        for attempt in (1, 3):
            asked = request(config, rule, names, threads=1, attempt=attempt)
            assert dag.memory(config, rule)(names, threads=1, attempt=attempt) == asked.mem_mb
            assert dag.minutes(config, rule)(names, threads=1, attempt=attempt) == asked.runtime


def test_before_the_first_index_a_usual_cohort_is_expected(tmp_path: Path) -> None:
    dataset = {"root": str(tmp_path), "labels": {"A": {}}}
    config = load_config({"labels": ["A"], "results": str(tmp_path / "new"), "datasets": {"ds": dataset}})
    known, unknown = request(configured(tmp_path), "index", {}, threads=8), request(config, "index", {}, threads=8)
    assert unknown.mem_mb > known.mem_mb and unknown.runtime > known.runtime


def test_an_index_asks_for_what_is_there_now_not_for_what_a_pilot_had(tmp_path: Path) -> None:
    config = configured(tmp_path)
    pilot = request(config, "index", {}, threads=8)
    root = config.datasets["ds"].root
    for number in range(3000):
        (root / f"sub-{number}").mkdir(parents=True)
    assert request(config, "index", {}, threads=8).mem_mb > pilot.mem_mb + 100


def test_tables_of_shards_without_voxels_hold_nothing_up(tmp_path: Path) -> None:
    """Those of versions before they were counted: the next index, which is planned from them, writes them anew."""
    config = configured(tmp_path)
    shards = Results(config.results).shards
    lines = [line.rsplit("\t", 1)[0] for line in shards.read_text().splitlines()]
    assert lines[0].endswith("incomplete")
    known = request(config, "register", JOBS["register"])
    write_text(shards, "\n".join(lines) + "\n")
    assert request(config, "register", JOBS["register"]).mem_mb > known.mem_mb


def test_a_new_index_is_seen_by_the_same_process(tmp_path: Path) -> None:
    config = configured(tmp_path)
    before = request(config, "volumes", {})
    shards = Results(config.results).shards
    write_text(shards, shards.read_text().replace("\t64\t", "\t640000\t"))
    assert request(config, "volumes", {}).mem_mb > before.mem_mb
