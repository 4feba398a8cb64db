"""What stands beside the weights of a model: the plan to predict by, and the record of how it came to be."""

from __future__ import annotations

from flairflow.config.models import NetworkSettings, PreprocessingSettings, Settings
from flairflow.network.activation import Activation


class Plan(Settings):
    """All that is needed to predict. `strategy` is the entry of the configuration that it was trained for. The logits
    are divided by `temperature`; `patch` is in voxels of `preprocessing.spacing` mm, `overlap` a share of it."""

    strategy: str
    part: str
    labels: tuple[str, ...]
    precedence: tuple[str, ...]
    classes: tuple[str, ...]
    activation: Activation
    temperature: float = 1.0
    images: tuple[str, ...]
    preprocessing: PreprocessingSettings
    network: NetworkSettings
    patch: int
    overlap: float


class Init(Settings):
    """The model that a training started from: as it was named, its `model_hash`, the updates that were spent on it, and
    whether its output heads were taken over too."""

    model: str
    hash: str
    updates: int
    heads: bool


class Record(Settings):
    """How the model came to be. `history` has a row per row of the training log, `annotated` the training scans with a
    mask of each label; `inputs` is a hash of the settings, the seed and the scans (their files and how they were
    prepared): the same inputs give the same. `updates_before` is what was spent on the models that it goes on from or
    that taught it, per seed; `init` the model of other data that it started from, whose updates are counted there and
    not here; `calibration` the mean negative log-likelihood on the validation scans before and after the temperature
    was fitted."""

    seed: int
    updates: int
    updates_before: int = 0
    init: Init | None = None
    best_update: int
    best_score: float | None
    history: tuple[dict[str, float], ...]
    training_scans: int
    validation_scans: int
    annotated: dict[str, int]
    inputs: str
    calibration: dict[str, float] | None = None
    precision: str
    versions: dict[str, str]
