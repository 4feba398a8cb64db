"""Settings of `simulate`: which synthetic BIDS datasets to write, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, StringConstraints, model_validator

Label = Literal["WMH", "ISL", "cavity"]
Sequence = Literal["FLAIR", "T1w", "dwi"]
Share = Annotated[float, Field(ge=0, le=1)]
VoxelSize = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
DatasetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]


class SimulatedDataset(BaseModel):
    """One synthetic dataset: its size, its FLAIR and which masks its annotators drew."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    participants: int = Field(ge=1, description="Number of participants. More can be added later; none changes then.")
    second_session: Share = Field(
        0.0, description="Share of participants scanned twice. Above 0, every file name of the dataset has a session."
    )
    labels: tuple[Label, ...] = Field(
        (),
        description="Masks that are written, an empty one where there is no lesion. The others are missing. "
        "`cavity` is the fluid part of old strokes.",
    )
    drawn_on: dict[Label, Sequence] = Field(
        default_factory=dict,
        description="Sequence a mask is drawn on (default FLAIR). That image is written too; the mask is on its grid.",
    )
    voxel_size: VoxelSize = Field(
        (1.0, 1.0, 1.0), description="Voxel edges of the FLAIR (right-left, back-front, up), mm."
    )
    slice_gap: float = Field(0.0, ge=0, description="mm of the third voxel edge that no slice sees.")
    scanners: int = Field(1, ge=1, le=99, description="Number of scanners the participants are spread over.")
    t1w: bool = Field(False, description="Write a T1w as well, on a grid of its own and slightly moved.")
    stroke: Share = Field(2 / 3, description="Share of participants with ischaemic stroke lesions (ISL).")

    @model_validator(mode="after")
    def _slices_have_a_thickness(self) -> Self:
        if self.slice_gap >= self.voxel_size[2]:
            raise ValueError("slice_gap must be smaller than the third edge of voxel_size, which includes it")
        return self

    @model_validator(mode="after")
    def _drawn_labels_are_written(self) -> Self:
        if extra := sorted(set(self.drawn_on) - set(self.labels)):
            raise ValueError(f"drawn_on names {', '.join(extra)}, which labels does not")
        return self


class SimulationSettings(BaseModel):
    """A synthetic cohort with known truth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path = Field(description="Folder the datasets are written to, one folder each, and their truth under truth/.")
    seed: int = Field(
        0, ge=0, description="Seed of every random draw, together with dataset name and participant number."
    )
    datasets: dict[DatasetName, SimulatedDataset] = Field(
        min_length=1, description="Datasets by name (letters, digits, hyphens)."
    )

    @model_validator(mode="after")
    def _truth_is_no_dataset(self) -> Self:
        if "truth" in self.datasets:
            raise ValueError("a dataset cannot be called truth: that folder holds the truth of all datasets")
        return self
