"""What a configuration may say. Every key is explained in config.yaml; unknown keys are errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from flairflow.config.simulation import SimulationSettings
from flairflow.paths import RULES

# What columns of the tables, files and classes are called beside the labels (in small letters), or parts of such names.
NOT_FOR_LABELS = {
    *("annotation", "background", "brain", "dataset", "digest", "dseg", "ensemble", "flag", "ignore", "image", "known"),
    *("label", "mask", "participant", "person", "precision", "predicted", "prepared", "quality", "reason", "reference"),
    *("scan", "seconds", "session", "shape", "shard", "split", "starts", "status", "values", "volume", "voxel"),
}


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", name):
        raise ValueError(f"{name!r}: only letters and digits, a letter first (it becomes part of file names)")
    return name


def _relative(path: str) -> str:
    if path.startswith("/") or ".." in Path(path).parts:
        raise ValueError(f"{path!r}: must lie inside its dataset (no leading '/', no '..')")
    return path


def _entry_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"{name!r}: only letters, digits and '_', a letter first (it becomes part of file names)")
    if name in RULES:
        raise ValueError(f"{name!r}: is an intensity rule that entries are compared with; rename it")
    return name


def _text(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"YAML reads what stands here as {str(value).lower()}: put it in quotes")
    return str(value) if isinstance(value, int | float) else value


def _label_name(name: str) -> str:
    if name.lower() in NOT_FOR_LABELS:
        raise ValueError(f"{name!r}: a column of the tables, or a class, has that name; choose another one")
    return name


def _precision(given: object) -> object:
    """As people and YAML write it: fp32, 32 or "32"."""
    return str(given).removeprefix("fp") if isinstance(given, int | str) else given


Name = Annotated[str, AfterValidator(_plain_name)]
# What is compared with a cell of a table or a part of a file's name: numbers are given as such too.
Text = Annotated[str, BeforeValidator(_text)]
LabelName = Annotated[Name, AfterValidator(_label_name)]
EntryName = Annotated[str, AfterValidator(_entry_name)]
InsideDataset = Annotated[str, AfterValidator(_relative)]
Positive = Annotated[float, Field(gt=0)]
Intermediate = Literal["prepared", "pseudolabels", "checkpoints"]
Share = Annotated[float, Field(ge=0, le=1)]
Precision = Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_precision)]


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FilePattern(Settings):
    """Which files of a dataset are meant, by BIDS name."""

    folder: InsideDataset = ""
    suffix: str
    entities: dict[str, Text | None] = {}


class LabelSource(FilePattern):
    """How one label's masks are found in one dataset, and what their voxels mean."""

    suffix: str = "mask"
    values: tuple[int, ...] = ()
    ignore_values: tuple[int, ...] = ()
    ignore_mask: FilePattern | None = None
    drawn_on: Name | None = None
    absent: Literal["unknown", "none"] = "unknown"
    none_where: dict[str, tuple[Text, ...]] = {}

    @model_validator(mode="after")
    def _values_apart(self) -> Self:
        if both := set(self.values) & set(self.ignore_values):
            raise ValueError(f"values and ignore_values both name {sorted(both)}: a value can mean only one")
        return self


class Dataset(Settings):
    root: Path
    manifest: Path | None = None
    use: Literal["all", "test", "segment"] = "all"
    select: dict[str, Text | None] = {}
    labels: dict[Name, LabelSource] = {}
    brain_mask: FilePattern | None = None
    person_column: str | None = None
    split_list: Path | None = None
    unlisted: Literal["split", "exclude"] = "split"
    withdrawn: Path | None = None

    @model_validator(mode="after")
    def _labels_are_used(self) -> Self:
        if self.use == "segment" and self.labels:
            raise ValueError("labels: a dataset with 'use: segment' takes no labels (use 'test' to score it)")
        if self.use != "all" and self.split_list:
            raise ValueError(f"split_list: a dataset with 'use: {self.use}' is not split; leave one of the two out")
        if self.unlisted == "exclude" and not self.split_list:
            raise ValueError("unlisted: there is no split_list, so 'exclude' would leave out all; give one")
        return self


class SplitSettings(Settings):
    train: Share = 0.6
    validation: Share = 0.15
    test: Share = 0.25

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, not {self.train + self.validation + self.test:g}")
        return self


class IndexSettings(Settings):
    prefer: tuple[Literal["best_in_plane_resolution", "latest_run", "first_run"], ...] = (
        "best_in_plane_resolution",
        "latest_run",
    )
    shard_size: Annotated[int, Field(ge=1, le=10000)] = 64
    splits: SplitSettings = SplitSettings()


class RegistrationSettings(Settings):
    template_transform: Literal["affine", "syn"] = "affine"
    template_resolution: Positive = 2.0
    minimum_quality: Share = 0.3
    maximum_doubt: Share = 0.35


class PreprocessingSettings(Settings):
    spacing: Positive
    brain_mask: Literal["network", "template", "provided", "synthstrip"] = "network"
    bias_correction: bool = True
    bias_resolution: Positive = 4.0


class NetworkSettings(Settings):
    filters: Annotated[tuple[int, ...], Field(min_length=3)]
    deep_supervision: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.deep_supervision > len(self.filters) - 2:
            raise ValueError(f"deep_supervision: at most {len(self.filters) - 2} heads with {len(self.filters)} levels")
        return self


class AugmentationSettings(Settings):
    """The probability of each augmentation (strengths are those of the paper where it gives them)."""

    rotation: Share = 0.2
    scaling: Share = 0.2
    noise: Share = 0.15
    blur: Share = 0.1
    brightness: Share = 0.15
    contrast: Share = 0.15
    low_resolution: Share = 0.25
    gamma: Share = 0.15
    flip: Share = 0.5
    motion: Share = 0.05
    ghosting: Share = 0.05
    spike: Share = 0.05
    bias_field: Share = 0.05


class TrainingSettings(Settings):
    network: NetworkSettings
    patch: Annotated[int, Field(ge=16)]
    init: Path | None = None
    batch: Annotated[int, Field(ge=1)]
    accumulate: Annotated[int, Field(ge=1)]
    updates: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)] | None = None
    validate_every: Annotated[int, Field(ge=1)]
    learning_rate: Positive
    momentum: Share = 0.99
    weight_decay: Annotated[float, Field(ge=0)] = 3e-5
    gradient_clip: Positive = 1.0
    background_share: Share = 0.3
    precision: Precision = "auto"
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    augmentation: AugmentationSettings = AugmentationSettings()

    @model_validator(mode="after")
    def _patch_divides(self) -> Self:
        factor = 2 ** (len(self.network.filters) - 1)
        if self.patch % factor:
            raise ValueError(
                f"patch: {self.patch} must be a multiple of {factor} with {len(self.network.filters)} levels"
            )
        if self.updates % self.validate_every:
            raise ValueError(f"updates: {self.updates} must be a multiple of validate_every ({self.validate_every})")
        return self


class StrategySettings(Settings):
    """What an entry of `strategies` says; further keys are options of its strategy, which knows them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    strategy: str | None = None
    calibrates: EntryName | None = None
    budget: Annotated[int, Field(ge=1)] = 1
    init: Path | None = None

    @property
    def options(self) -> dict[str, object]:
        return dict(self.model_extra or {})


class SegmentationSettings(Settings):
    model: str | None = None
    precision: Precision = "auto"
    probabilities: bool = False


class EvaluationSettings(Settings):
    grid: Literal["native", "preprocessed"] = "native"


class DefaultModelsSettings(Settings):
    anatomies: Path | None = None
    wmh: Path | None = None
    strokes: Path | None = None
    brain_updates: Annotated[int, Field(ge=1)] = 6400
    brain_spacing: Positive = 2.5
    lesion_updates: Annotated[int, Field(ge=1)] = 6000
    seed: Annotated[int, Field(ge=0)] = 0


class CompareSettings(Settings):
    imported: tuple[Path, ...] = ()
    published: Path | None = None


class ReportSettings(Settings):
    title: str = "flairflow report"
    mosaics: Annotated[int, Field(ge=0)] = 12


class Config(Settings):
    preset: Literal["laptop", "paper"] = "laptop"
    results: Path = Path("results")
    strict: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    labels: Annotated[tuple[LabelName, ...], Field(min_length=1, max_length=8)]
    precedence: tuple[Name, ...] = ()
    images: Annotated[tuple[Name, ...], Field(min_length=1)] = ("FLAIR",)
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    index: IndexSettings = IndexSettings()
    registration: RegistrationSettings = RegistrationSettings()
    preprocessing: PreprocessingSettings
    training: TrainingSettings
    strategies: Annotated[dict[EntryName, StrategySettings], Field(min_length=1)] = {
        "multiclass": StrategySettings(),
        "marginal": StrategySettings(),
        "pseudolabels": StrategySettings(),
    }
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    models: dict[Name, tuple[Path, ...]] = {}
    segmentation: SegmentationSettings = SegmentationSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    compare: CompareSettings = CompareSettings()
    report: ReportSettings = ReportSettings()
    keep: tuple[Intermediate, ...] = ("prepared", "pseudolabels", "checkpoints")
    simulation: SimulationSettings | None = None
    default_models: DefaultModelsSettings = DefaultModelsSettings()

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        def known(where: str, names: object, allowed: tuple[str, ...]) -> None:
            for name in names:  # type: ignore[attr-defined]
                if name not in allowed:
                    raise ValueError(f"{where}: {name!r} is none of {', '.join(allowed)}")

        lists = {"labels": self.labels, "images": self.images, "seeds": self.seeds}
        for where, names in lists.items():
            # Files of names that differ in capitals alone are the same on some file systems.
            if len({str(name).lower() for name in names}) != len(names):
                raise ValueError(f"{where}: a value stands twice in {list(names)}")
        if sorted(self.precedence) != sorted(self.labels):
            raise ValueError(
                f"precedence: must order exactly the labels {list(self.labels)}, is {list(self.precedence)}"
            )
        for name, dataset in self.datasets.items():
            known(f"datasets.{name}.labels", dataset.labels, self.labels)
        if self.models:
            for name, folders in self.models.items():
                if not folders:
                    raise ValueError(f"models.{name}: names no model folder")
        elif not any(dataset.labels and dataset.use == "all" for dataset in self.datasets.values()):
            raise ValueError(
                "datasets: none has labels and 'use: all', so there is nothing to train on; "
                "give one labels, or name trained models under 'models' (models: {default: default} names the one "
                "that comes with flairflow)"
            )
        if self.segmentation.model is not None:
            known("segmentation.model", [self.segmentation.model], self.ensembles)
        if self.preprocessing.brain_mask == "provided":
            for name, dataset in self.datasets.items():
                if dataset.brain_mask is None and dataset.manifest is None:
                    raise ValueError(
                        f"datasets.{name}.brain_mask: preprocessing.brain_mask is 'provided', so say how they are found"
                    )
        return self

    @field_validator("strategies", mode="before")
    @classmethod
    def _names_alone(cls, given: object) -> object:
        """A list of names says that they have no options, and so does a name with nothing behind it."""
        if isinstance(given, list | tuple):
            if not all(isinstance(name, str) for name in given):
                raise ValueError("a list takes names alone; where one has options, make all of them keys")
            if len(set(given)) != len(given):
                raise ValueError(f"a value stands twice in {list(given)}")
            return {name: {} for name in given}
        if isinstance(given, dict):
            return {name: {} if settings is None else settings for name, settings in given.items()}
        return given

    @field_validator("models", mode="before")
    @classmethod
    def _one_folder_alone(cls, given: object) -> object:
        """A model of one folder needs no list."""
        if isinstance(given, dict):
            return {name: [folders] if isinstance(folders, str | Path) else folders for name, folders in given.items()}
        return given

    @model_validator(mode="before")
    @classmethod
    def _last_label_wins(cls, values: object) -> object:
        """Without `precedence` the later labels win: they are written from frequent to rare."""
        if isinstance(values, dict) and not values.get("precedence") and isinstance(values.get("labels"), list | tuple):
            return {**values, "precedence": list(reversed(values["labels"]))}
        return values

    def __hash__(self) -> int:
        # Enough to tell configurations apart, and quick: what rules ask for every job is cached by configuration.
        return hash((self.results, self.labels, self.seeds))

    @property
    def reference(self) -> str:
        """The sequence that defines a scan: the first of `images`."""
        return self.images[0]

    @property
    def ensembles(self) -> tuple[str, ...]:
        """What can segment: the given models, or the entries of `strategies`, to be trained."""
        return tuple(self.models) or tuple(self.strategies)

    @property
    def compared(self) -> tuple[str, ...]:
        """What is scored on the test scans: every ensemble, and the intensity rules where there are training scans."""
        return self.ensembles if self.models else (*self.ensembles, *RULES)

    @property
    def scores(self) -> bool:
        """Whether there may be anything to compare: test scans with known masks, or scores of others."""
        return bool(self.compare.imported) or any(dataset.labels for dataset in self.datasets.values())

    @property
    def segmenter(self) -> str:
        """The ensemble whose masks are delivered for every scan: `segmentation.model`, default the last one."""
        return self.segmentation.model or self.ensembles[-1]
