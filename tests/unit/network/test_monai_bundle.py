"""Model folders as MONAI bundles: run by MONAI alone, they segment as flairflow does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, verify_net_in_out
from scipy import ndimage

from flairflow.config.models import NetworkSettings, PreprocessingSettings
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_image, write_image
from flairflow.inference.prediction import segment_prepared
from flairflow.network.activation import Activation, channels, probabilities
from flairflow.network.architecture import build_network, network_weights
from flairflow.network.ensemble import Ensemble
from flairflow.network.model import Model, save_model
from flairflow.paths import BUNDLE_FILES
from flairflow.preprocessing.prepare import prepare
from small_models import small_plan, small_record

NETWORK = NetworkSettings(filters=(4, 8, 16), deep_supervision=1)
PREPROCESSING = PreprocessingSettings(spacing=2.0, bias_correction=False)


def make_model(images: tuple[str, ...], activation: Activation = "softmax", temperature: float = 1.0) -> Model:
    torch.manual_seed(1)
    plan = small_plan(
        NETWORK, activation=activation, temperature=temperature, images=images, preprocessing=PREPROCESSING, patch=32
    )
    record = small_record(seed=3, training_scans=7, inputs="0123456789abcdef")
    return Model(network_weights(build_network(NETWORK, len(images), channels(activation, 2))), plan, record)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "model"
    save_model(folder, make_model(("FLAIR", "T1w")))
    # A bundle is passed on: nothing in it may know where it was made.
    moved: Path = folder.rename(tmp_path_factory.mktemp("given") / "bundle")
    for name in BUNDLE_FILES:
        assert "/tmp" not in (moved / name).read_text() and str(folder) not in (moved / name).read_text()
    return moved


def brain_images(affine: Array, shape: tuple[int, int, int], seed: int) -> tuple[Array, Array]:
    """Two brain-extracted sequences, (2, X, Y, Z), and the brain: an ellipsoid of 60 x 70 x 50 mm half axes in the
    middle of the field of view, with structure of some 10 mm."""
    size = np.linalg.norm(affine[:3, :3], axis=0)
    position = (np.indices(shape).T - (np.array(shape) - 1) / 2) * size
    axes = np.abs(affine[:3, :3] / size).T @ [60.0, 70.0, 50.0]
    brain = ((position / axes) ** 2).sum(-1).T < 1
    noise = np.random.default_rng(seed).normal(size=(2, *shape))
    smooth = np.stack([ndimage.gaussian_filter(channel, 8 / size) for channel in noise])
    return (300 + 50 * smooth / smooth.std()) * brain, brain


def run_bundle(folder: Path, scans: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = f"-X importtime -m monai.bundle run --config_file {folder}/configs/inference.json --bundle_root {folder}"
    return subprocess.run(
        [sys.executable, *command.split(), "--input_dir", str(scans), "--output_dir", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=out.parent,
    )


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_monai_alone_segments_as_flairflow_does(model_folder: Path, tmp_path: Path, activation: Activation) -> None:
    if activation == "sigmoid":
        model_folder = tmp_path / "sigmoid"
        save_model(model_folder, make_model(("FLAIR", "T1w"), "sigmoid", 1.5))
    grids = {
        # The network's voxels, stored from right to left and from front to back.
        "same": (np.diag([-2.0, -2.0, 2.0, 1.0]), (64, 76, 56)),
        # Other axes and voxels, resampled there and back; so little coarser that flairflow does not smooth, which MONAI
        # never does, and a field of view of whole network voxels, in which both place them alike.
        "other": (np.array([[0.0, 0, 2.2, -80], [2.1, 0, 0, 20], [0, 1.9, 0, -10], [0, 0, 0, 1]]), (80, 60, 60)),
    }
    prepared = {}
    for number, (name, (affine, shape)) in enumerate(grids.items()):
        channels, brain = brain_images(affine, shape, number)
        for sequence, channel in zip(("FLAIR", "T1w"), channels, strict=True):
            write_image(tmp_path / "in" / f"{name}_{sequence}.nii.gz", Image(channel.astype(np.float32), affine))
        images = [read_image(tmp_path / "in" / f"{name}_{sequence}.nii.gz") for sequence in ("FLAIR", "T1w")]
        prepared[name] = prepare(images, [None, None], brain, PREPROCESSING)

    done = run_bundle(model_folder, tmp_path / "in", tmp_path / "out")
    assert done.returncode == 0, done.stderr[-3000:]
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "monai" in imported and "flairflow" not in imported

    ensemble = Ensemble([model_folder], precision="32")
    for name, (affine, _) in grids.items():
        ours = segment_prepared(prepared[name], ensemble).classes
        theirs = read_image(tmp_path / "out" / f"{name}_FLAIR_dseg.nii.gz")
        np.testing.assert_allclose(theirs.affine, affine, atol=1e-4)
        assert theirs.data.shape == ours.shape
        brain = read_image(tmp_path / "in" / f"{name}_FLAIR.nii.gz").data != 0
        assert not theirs.data[~brain].any()
        shares = np.bincount(ours[brain], minlength=3) / brain.sum()
        assert (shares > 0.05).sum() >= 2, "a network that says one thing everywhere would show nothing"
        agreement = (ours == theirs.data)[brain].mean()
        # Edge voxels that are half brain are in it or not by rounding, and a network of random weights minds.
        assert agreement > (0.999 if name == "same" else 0.95), (name, agreement)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "other_FLAIR_dseg.nii.gz",
        "same_FLAIR_dseg.nii.gz",
    ]


def test_every_weight_is_loaded(model_folder: Path, tmp_path: Path) -> None:
    def parsed(folder: Path) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config(folder / "configs" / "inference.json")
        parser["bundle_root"], parser["input_dir"] = str(folder), str(folder)
        return parser

    bundle = parsed(model_folder)
    network = bundle.get_parsed_content("network")
    bundle.get_parsed_content("loaded")
    expected = make_model(("FLAIR", "T1w")).network().state_dict()
    assert network.state_dict().keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(network.state_dict()[name].cpu(), tensor), name

    model = make_model(("FLAIR", "T1w"))
    kept = dict(list(model.weights.items())[1:])
    save_model(tmp_path / "damaged", replace(model, weights=kept))
    with pytest.raises(SystemExit, match="do not fit"):
        parsed(tmp_path / "damaged").get_parsed_content("initialize")


def test_no_input_is_an_error(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    done = run_bundle(model_folder, tmp_path / "in", tmp_path / "out")
    assert done.returncode == 1 and "no file *_FLAIR.nii or .nii.gz" in done.stderr


def test_the_metadata_describe_the_network(model_folder: Path) -> None:
    meta, config = (model_folder / name for name in BUNDLE_FILES)
    verify_net_in_out("network_def", meta_file=str(meta), config_file=str(config), device="cpu")
    content: dict[str, Any] = json.loads(meta.read_text())
    # What MONAI's bundle specification calls mandatory.
    for key in ("version", "changelog", "monai_version", "pytorch_version", "numpy_version", "task", "description"):
        assert content[key], key
    assert content["version"] in content["changelog"] and "0123456789abcdef" in content["changelog"]["1.0.0"]
    assert content["authors"] and content["copyright"] and content["required_packages_version"]["safetensors"]
    data = content["network_data_format"]
    assert data["inputs"]["image"]["channel_def"] == {"0": "FLAIR", "1": "T1w"}
    assert data["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "A", "2": "B"}


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_bundle_makes_the_same_probabilities(activation: Activation, temperature: float, tmp_path: Path) -> None:
    save_model(tmp_path / "model", make_model(("FLAIR",), activation, temperature))
    parser = ConfigParser()
    parser.read_config(tmp_path / "model" / "configs" / "inference.json")
    found = {"pred": torch.randn(channels(activation, 2), 4, 4, 4, generator=torch.Generator().manual_seed(0))}
    expected = probabilities(found["pred"][None], activation, temperature)[0]
    steps = parser["postprocessing"]["transforms"]
    for number in range(next(n for n, step in enumerate(steps) if step["_target_"] == "Invertd")):
        found = parser.get_parsed_content(f"postprocessing#transforms#{number}")(found)
    torch.testing.assert_close(torch.as_tensor(found["pred"]), expected)
