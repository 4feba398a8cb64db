"""A model folder as a MONAI bundle: two JSON files with which MONAI alone, without flairflow, segments.

What the bundle reads: for each of the plan's sequences a file `<name>_<sequence>.nii.gz` (as in BIDS), all on one grid,
brain-extracted (zero outside the brain) and, where the plan says so, corrected for the bias field. What it writes:
`<name>_<first sequence>_dseg.nii.gz` on that grid, 0 background, i the i-th class.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flairflow.files import write_text
from flairflow.network.activation import channels
from flairflow.network.architecture import network_arguments
from flairflow.network.plan import Plan, Record
from flairflow.paths import BUNDLE_FILES

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"


def write_bundle(folder: Path, plan: Plan, record: Record) -> None:
    """Write the bundle's files beside the weights: `python -m monai.bundle run --config_file
    FOLDER/configs/inference.json --bundle_root FOLDER --input_dir IN --output_dir OUT` runs it. No path is in them."""
    for name, content in zip(BUNDLE_FILES, (_metadata(plan, record), _inference(plan)), strict=True):
        write_text(folder / name, json.dumps(content, indent=2) + "\n")


def _metadata(plan: Plan, record: Record) -> dict[str, Any]:
    channels = ["background", *plan.classes]
    # Patches as the network sees them; z-scores have no range.
    patch = {"spatial_shape": [plan.patch] * 3, "dtype": "float32", "is_patch_data": True}
    image = {"type": "image", "format": "magnitude", "modality": "MR", "num_channels": len(plan.images)}
    pred = {"type": "probabilities", "format": "segmentation", "num_channels": len(channels)}
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"trained with flairflow {version('flairflow')} from inputs {record.inputs}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in ("nibabel", "safetensors")},
        "name": f"{plan.strategy}, {plan.part}, seed {record.seed}",
        "task": f"segmentation of {', '.join(plan.classes)} in brain MRI ({', '.join(plan.images)})",
        "description": (
            f"A DynUNet trained on {record.training_scans} scans by flairflow's strategy {plan.strategy}. Reads images "
            f"that are brain-extracted (zero outside){' and bias-corrected' * plan.preprocessing.bias_correction}."
        ),
        "authors": "whoever trained it",
        "copyright": "of whoever trained it",
        "intended_use": "research; not a medical device",
        "network_data_format": {
            "inputs": {
                "image": image | patch | {"value_range": [], "channel_def": _numbered(plan.images)},
            },
            "outputs": {
                "pred": pred | patch | {"value_range": [0, 1], "channel_def": _numbered(channels)},
            },
        },
    }


def _inference(plan: Plan) -> dict[str, Any]:
    outputs = channels(plan.activation, len(plan.classes))
    first = plan.images[0]
    return {
        "imports": [
            "$import glob",
            "$import os",
            "$import sys",
            "$import torch",
            "$from safetensors.torch import load_file",
        ],
        "bundle_root": ".",
        "input_dir": "input",
        "output_dir": "output",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "sequences": list(plan.images),
        "files": f"$sorted(glob.glob(os.path.join(@input_dir, '*_{first}.nii*')))",
        "network_def": {"_target_": "DynUNet", **network_arguments(plan.network, len(plan.images), outputs)},
        "network": "$@network_def.to(@device).eval()",
        "weights": "$load_file(os.path.join(@bundle_root, 'weights.safetensors'))",
        "loaded": "$@network_def.load_state_dict(@weights, strict=False)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(plan)},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [plan.patch] * 3,
            "sw_batch_size": 2,
            "overlap": plan.overlap,
            "mode": "gaussian",
        },
        "predict": "$torch.no_grad()(lambda image: @inferer(image[None].to(@device), @network)[0].cpu())",
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(plan)},
        "dataset": {
            "_target_": "Dataset",
            "data": f"$[{{'image': [f'_{{name}}.nii'.join(file.rsplit('_{first}.nii', 1)) for name in @sequences]}}"
            " for file in @files]",
            "transform": "@preprocessing",
        },
        "initialize": [
            # DynUNet lists its blocks a second time under skip_layers; the file has them once.
            "$not @loaded.unexpected_keys and all(name.startswith('skip_layers.') for name in @loaded.missing_keys)"
            " or sys.exit('the weights do not fit the network')",
            f"$@files or sys.exit('no file *_{first}.nii or .nii.gz in ' + @input_dir)",
        ],
        "run": ["$[len(@postprocessing({**scan, 'pred': @predict(scan['image'])})) for scan in @dataset]"],
    }


def _preprocessing(plan: Plan) -> list[dict[str, Any]]:
    # As flairflow.preprocessing does: z-scores over the brain on an isotropic RAS grid, cropped to the brain.
    both = ["image", "brain"]
    return [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {"_target_": "CopyItemsd", "keys": "image", "times": 2, "names": ["brain", "native_brain"]},
        {
            "_target_": "Lambdad",
            "keys": ["brain", "native_brain"],
            "func": "$lambda image: (image[:1] != 0).float()",
        },
        {"_target_": "Orientationd", "keys": both, "axcodes": "RAS", "labels": None},
        {"_target_": "Spacingd", "keys": both, "pixdim": [plan.preprocessing.spacing] * 3, "scale_extent": True},
        {"_target_": "Lambdad", "keys": "brain", "func": "$lambda brain: (brain >= 0.5).float()"},
        {"_target_": "MaskIntensityd", "keys": "image", "mask_key": "brain"},
        {"_target_": "CropForegroundd", "keys": both, "source_key": "brain", "margin": 1, "allow_smaller": True},
        {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
    ]


def _postprocessing(plan: Plan) -> list[dict[str, Any]]:
    # As `network.activation.probabilities`.
    activation: list[dict[str, Any]] = [{"_target_": "Activationsd", "keys": "pred", plan.activation: True}]
    if plan.temperature != 1:
        cooler = {"_target_": "Lambdad", "keys": "pred", "func": f"$lambda logits: logits / {plan.temperature}"}
        activation.insert(0, cooler)
    if plan.activation == "sigmoid":
        surest = "$lambda classes: torch.cat([1 - classes.amax(0, keepdim=True), classes])"
        activation.append({"_target_": "Lambdad", "keys": "pred", "func": surest})
    return [
        *activation,
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "MaskIntensityd", "keys": "pred", "mask_key": "native_brain"},
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_postfix": "dseg",
            "output_dtype": "uint8",
            "separate_folder": False,
            # Changes nothing, as the grid is the input's already; without it MONAI 1.6.1 takes the affine for one of
            # two dimensions, and fails where the slices are not the third axis.
            "resample": True,
        },
        # Else every scan would stay in memory until the last is done.
        {"_target_": "DeleteItemsd", "keys": ["image", "brain", "native_brain", "pred"]},
    ]


def _numbered(names: Any) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}
