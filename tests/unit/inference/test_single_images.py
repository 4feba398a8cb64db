"""`flairflow segment`: what was asked for, images that are at fault, the table that stays, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from conftest import MakeImage
from flairflow import cli
from flairflow.config import named_models
from flairflow.config.models import NetworkSettings, PreprocessingSettings
from flairflow.config.named_models import default_model, model_folder
from flairflow.errors import ConfigError
from flairflow.images.grid import Image
from flairflow.images.nifti import write_image
from flairflow.inference.single_images.inputs import brain_masks, check_sequences, find_inputs, likely_device, sort_out
from flairflow.network.architecture import build_network, network_weights
from flairflow.network.model import Model, save_model
from flairflow.tables import read_table
from small_models import small_plan, small_record


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two labels that has learnt nothing."""
    network = NetworkSettings(filters=(4, 8, 16), deep_supervision=0)
    plan = small_plan(network, preprocessing=PreprocessingSettings(spacing=2.5, bias_correction=False), patch=32)
    record = small_record()
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, Model(network_weights(build_network(network, 1, 3)), plan, record))
    return folder


def write_head(path: Path, cortex: float, white: float, csf: float) -> Path:
    """A brain of three shells, 2.5 mm voxels, and its mask beside it."""
    edge = np.linalg.norm((np.indices((64, 72, 60)).T * 2.5 - [80, 90, 75]) / [68, 82, 66], axis=-1).T
    depth = ndimage.distance_transform_edt(edge < 1, sampling=2.5)
    rng = np.random.default_rng(0)
    data = np.select([depth == 0, depth < 3, depth < 7, edge > 0.25], [0, csf, cortex, white], csf)
    data = (data + rng.normal(0, 3, data.shape) * (depth > 0)).astype(np.float32)
    affine = np.diag([2.5, 2.5, 2.5, 1.0])
    write_image(path, Image(data, affine))
    write_image(path.with_name("brain.nii.gz"), Image(depth > 0, affine))
    return path


def segment(*arguments: object) -> int:
    """The command in this process, without its guard, which would hide what it prints."""
    return cli._run(cli._parser().parse_args(["segment", *map(str, arguments), "--threads", "1"]))


def test_a_bad_image_is_a_row_and_the_others_are_segmented(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flair = write_head(tmp_path / "sub-1_FLAIR.nii.gz", cortex=110, white=90, csf=20)
    bad = tmp_path / "sub-2_FLAIR.nii.gz"
    bad.write_bytes(flair.read_bytes()[:2000])
    mask, out = tmp_path / "brain.nii.gz", tmp_path / "out"
    masks = ["--brain-mask", mask, "--brain-mask", mask]
    assert segment(bad, flair, "--model", model, "--out", out, *masks, "--json") == 1
    printed = json.loads(capsys.readouterr().out)["images"]
    table = read_table(out / "volumes.tsv").set_index("name").astype(object)
    assert "damaged or truncated" in str(table.loc["sub-2", "reason"]) and "damaged" in printed[0]["reason"]
    assert table["A_ml"].isna()["sub-2"]
    assert table.loc["sub-1", "A_ml"] == pytest.approx(printed[1]["A_ml"], rel=1e-4)
    assert printed[1]["flag"] is None and printed[1]["brain_mask"] == "brain.nii.gz"
    given: Any = nib.load(mask)
    volume = given.get_fdata().sum() * 2.5**3 / 1000
    assert table.loc["sub-1", "brain_ml"] == pytest.approx(volume, rel=0.03)
    assert set(json.loads((out / "volumes.json").read_text())) == {"name", *table.columns}
    sidecar = json.loads((out / "sub-1_dseg.json").read_text())
    assert sidecar["Sources"] == ["sub-1_FLAIR.nii.gz"] and sidecar["Measured"]["flag"] is None
    assert (out / "sub-1_overlay.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("cortex", "white", "csf", "looks"), [(110, 90, 20, None), (70, 110, 20, "T1w"), (120, 80, 250, "T2w")]
)
def test_another_sequence_than_flair_is_flagged_everywhere(
    tmp_path: Path, model: Path, cortex: float, white: float, csf: float, looks: str | None
) -> None:
    image = write_head(tmp_path / "sub-1_FLAIR.nii.gz", cortex, white, csf)
    assert segment("--model", model, image, "--out", tmp_path, "--brain-mask", tmp_path / "brain.nii.gz") == 0
    flag = read_table(tmp_path / "volumes.tsv", text=True)["flag"][0]
    assert (f"looks like a {looks}, not a FLAIR" in flag) if looks else not flag
    assert json.loads((tmp_path / "sub-1_dseg.json").read_text())["Measured"]["flag"] == (flag or None)


def test_rows_stay_and_what_is_there_is_skipped_until_it_changes(tmp_path: Path, model: Path) -> None:
    first = write_head(tmp_path / "a.nii.gz", cortex=110, white=90, csf=20)
    mask, out = ["--brain-mask", tmp_path / "brain.nii.gz"], tmp_path / "out"
    assert segment(first, "--model", model, "--out", out, *mask) == 0
    assert segment(tmp_path / "none.nii.gz", "--model", model, "--out", out) == 1
    assert list(read_table(out / "volumes.tsv")["name"]) == ["a", "none"]
    dseg = out / "a_dseg.nii.gz"
    before = dseg.stat().st_mtime_ns
    assert segment(first, "--model", model, "--out", out, *mask, "--skip-existing") == 0
    assert dseg.stat().st_mtime_ns == before
    write_head(first, cortex=111, white=90, csf=20)
    assert segment(first, "--model", model, "--out", out, *mask, "--skip-existing") == 0
    assert dseg.stat().st_mtime_ns > before
    assert list(read_table(out / "volumes.tsv")["name"]) == ["a", "none"]


# In a process of its own, as the guard forks: a fork of a process whose libraries have threads may wait for ever.
CRASHING = """
import os, signal, sys
from flairflow import cli
from flairflow.inference.single_images import segment_images
work = segment_images.segment_image
def crash(image, *others):
    if image.name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return work(image, *others)
segment_images.segment_image = crash
sys.exit(cli.main(sys.argv[1:]))
"""


def test_an_image_that_ends_the_process_is_a_row(tmp_path: Path, model: Path) -> None:
    paths = [write_head(tmp_path / f"{name}.nii.gz", cortex=110, white=90, csf=20) for name in "abc"]
    masks = [word for _ in paths for word in ("--brain-mask", str(tmp_path / "brain.nii.gz"))]
    out = tmp_path / "out"
    options = [*map(str, paths), "--model", str(model), "--out", str(out), *masks, "--threads", "1"]
    assert subprocess.run([sys.executable, "-c", CRASHING, "segment", *options], check=False).returncode == 1
    table = read_table(out / "volumes.tsv", text=True).set_index("name")
    assert list(table.index) == ["a", "b", "c"]
    assert "SIGKILL" in table["reason"]["b"] and table["A_ml"]["a"] and table["A_ml"]["c"]
    assert not list(out.glob(".begun*")), "the next run tries it again"


def test_a_brain_mask_of_another_grid_fails_its_image(tmp_path: Path, model: Path, make_image: MakeImage) -> None:
    flair = write_head(tmp_path / "a.nii.gz", cortex=110, white=90, csf=20)
    other = make_image("other.nii.gz", data=np.ones((4, 4, 4), np.uint8))
    assert segment(flair, "--model", model, "--out", tmp_path, "--brain-mask", other) == 1
    assert "not on the grid" in read_table(tmp_path / "volumes.tsv")["reason"][0]


def test_images_after_a_model_are_images(tmp_path: Path, model: Path, make_image: MakeImage) -> None:
    image = make_image("a.nii.gz")
    assert sort_out([model, image], []) == ([model], [image])
    assert sort_out([model, model], [image]) == ([model, model], [image])
    assert sort_out([Path("default"), image], []) == ([Path("default")], [image])
    with pytest.raises(ConfigError, match=r"a\.nii\.gz is no model folder"):
        sort_out([image], [image])
    with pytest.raises(ConfigError, match="put --model before it"):
        sort_out([], [model, image])


def test_folders_give_their_flairs_and_names_are_told_apart(tmp_path: Path, make_image: MakeImage) -> None:
    names = ["sub-1/sub-1_FLAIR.nii.gz", "sub-1/sub-1_T1w.nii.gz", "derivatives/sub-1_FLAIR.nii.gz", "out/x_FLAIR.nii"]
    names += ["p1/flair.nii.gz", "p2/FLAIR.nii", "p2/flair_mask.nii.gz", ".hidden/flair.nii"]
    for name in names:
        make_image(name)
    (tmp_path / "p1" / "loop").symlink_to(tmp_path)
    found = find_inputs([tmp_path], tmp_path / "out")
    assert {image.name: image.path.relative_to(tmp_path).as_posix() for image in found} == {
        "sub-1": "sub-1/sub-1_FLAIR.nii.gz",
        "p1_flair": "p1/flair.nii.gz",
        "p2_FLAIR": "p2/FLAIR.nii",
    }
    two = find_inputs([make_image("p3/flair.nii"), make_image("p3/flair.nii.gz")], tmp_path / "out")
    assert [(image.name, bool(image.reason)) for image in two] == [("flair", False), ("flair.nii.gz", True)]
    make_image("any/head.nii.gz")
    make_image("any/head_mask.nii.gz")
    assert [image.name for image in find_inputs([tmp_path / "any"], tmp_path / "out")] == ["head"]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ConfigError, match="no image in it"):
        find_inputs([tmp_path / "nothing"], tmp_path / "out")


def test_what_is_wrong_with_the_request_is_said_before_any_work(
    tmp_path: Path, model: Path, make_image: MakeImage, caplog: pytest.LogCaptureFixture
) -> None:
    image, file = make_image("a.nii.gz"), tmp_path / "file"
    file.write_text("")
    for arguments, said in [
        ((image, "--model", model, "--out", file / "below"), "--out: "),
        ((image, "--model", model, "--out", tmp_path, "--brain-mask", "no.nii"), "neither a file nor one of"),
        ((image, "--model", model, "--out", tmp_path, "--brain-mask", image, "--brain-mask", image), "2 file(s) for 1"),
        ((image, "--model", model, "--out", tmp_path, "--device", "tpu"), "none of auto, cpu, cuda"),
        (("--model", model, "--out", tmp_path), "no image is given"),
    ]:
        caplog.clear()
        assert segment(*arguments) == 1
        assert said in caplog.text and "Traceback" not in caplog.text
    with pytest.raises(ConfigError, match="reads FLAIR, T1w"):
        check_sequences(["FLAIR", "T1w"])
    assert brain_masks(["template"], [], "network") == ("template", {})
    assert likely_device("cpu") == "cpu"


def test_the_first_line_comes_at_once(tmp_path: Path, model: Path, make_image: MakeImage) -> None:
    command = [sys.executable, "-m", "flairflow.cli", "segment", "--model", str(model), str(make_image("a.nii.gz"))]
    start = time.process_time()
    with subprocess.Popen([*command, "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        modules = Path(f"/proc/{running.pid}/maps")
        loaded = modules.read_text() if modules.exists() else ""
        running.kill()
    assert "segmenting A and B in 1 image(s) on " in line
    assert "libtorch" not in loaded
    assert time.process_time() - start < 5


def test_without_a_model_the_default_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setattr(named_models, "MODELS", tmp_path)
    with pytest.raises(ConfigError, match="not complete in this installation"):
        default_model()
    (tmp_path / "default").symlink_to(model)
    assert model_folder(Path("default")) == tmp_path / "default"
    assert model_folder(model) == model
