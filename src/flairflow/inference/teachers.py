"""Who teaches which scan: one ensemble for all, or for each fold of persons those that have not learnt from them."""

from __future__ import annotations

from flairflow.cohort.index import read_scans
from flairflow.cohort.scan import Scan
from flairflow.config.models import Config
from flairflow.network.ensemble import Ensemble
from flairflow.paths import Results
from flairflow.training.configured_strategies import ensemble_parts
from flairflow.training.data.folds import assign_folds
from flairflow.training.ensemble_members import fold_folders


class Teaching:
    """The teacher `name` (an entry, or with a dot one of its steps), loaded once.

    smallest_ml : lesions below this that it finds are not passed on.
    """

    def __init__(self, config: Config, results: Results, name: str) -> None:
        """Raises ConfigError when a model folder is unusable."""
        self.name = name
        parts = list(ensemble_parts(config, name)[1].values())
        self.smallest_ml = max(part.smallest_taught_ml for part in parts)
        self.by_fold = {
            fold: Ensemble(folders, config.segmentation.precision)
            for fold, folders in fold_folders(config, name).items()
        }
        self.folds: dict[str, int] = {}
        if parts[0].fold:
            scans = read_scans(results.cohort, config.labels, config.images)
            self.folds = assign_folds(scans, parts[0].fold[1], config.seed)

    def ensemble(self, scan: Scan) -> Ensemble:
        """Those who teach a training scan."""
        return self.by_fold[self.folds.get(scan.scan)]
