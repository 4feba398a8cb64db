"""What overlays show of a scan, read from the results."""

from __future__ import annotations

from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.images.grid import Array, Image
from flairflow.images.masks import resolve
from flairflow.images.nifti import read_image, read_labels
from flairflow.paths import Results
from flairflow.shards.ledger import Row


def read_segmented(
    scan: Scan, registered: Row | None, segmented: Row, config: Config, results: Results
) -> tuple[Image, Array, dict[str, Array], dict[str, Array]]:
    """The reference image, and on its grid (X, Y, Z) the brain mask, the predicted masks and the known ones by label;
    these as they are scored, in one label at most (`precedence`), but with the voxels that count nowhere.

    registered, segmented : the scan's rows in the ledgers of `register` and of `segment`. Raises ScanError where a file
    cannot be read.
    """
    classes = read_labels(results.root / segmented.files["dseg"]).data
    known = {}
    if registered and "bits" in registered.files:
        bits = read_labels(results.root / registered.files["bits"]).data
        reference = resolve(bits, config.labels, config.precedence)
        known = {label: reference == config.labels.index(label) + 1 for label in scan.annotated}
    return (
        read_image(config.datasets[scan.dataset].root / scan.images[config.reference]),
        read_labels(results.root / segmented.files["brain"]).data > 0,
        {label: classes == number + 1 for number, label in enumerate(config.labels)},
        known,
    )
