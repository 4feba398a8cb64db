"""Which scans and masks a dataset holds, by BIDS names or by a manifest. Nothing is opened here but headers, where
several images of a session could be taken."""

from __future__ import annotations

from flairflow.cohort.bids import scans_by_name
from flairflow.cohort.left_out import LeftOut
from flairflow.cohort.manifest_table import scans_of_manifest
from flairflow.cohort.scan import Scan
from flairflow.config.models import Config, Dataset
from flairflow.errors import ConfigError


def discover(name: str, dataset: Dataset, config: Config) -> tuple[list[Scan], list[LeftOut]]:
    """The scans of one dataset, sorted by id: one per reference image, with the masks that go with it; and what else
    lies in a BIDS dataset.

    A scan whose files cannot be told apart is excluded with a reason. Raises ConfigError when the root or the manifest
    is not there.
    """
    if not dataset.root.is_dir():
        raise ConfigError(f"config: datasets.{name}.root: {dataset.root} is not a folder")
    left_out: list[LeftOut] = []
    if dataset.manifest:
        scans = scans_of_manifest(name, dataset, config)
    else:
        scans, left_out = scans_by_name(name, dataset, config)
    return sorted(scans, key=lambda scan: scan.scan), left_out
