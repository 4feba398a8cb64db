"""What a configuration needs to be there before anything runs: models, tables of others, entries, folders."""

from __future__ import annotations

from flairflow.cohort.check_folders import check_places
from flairflow.comparison.published.imported_scores import check_imported
from flairflow.comparison.published.published_means import check_published
from flairflow.config import Config
from flairflow.training.configured_strategies import check_entries
from flairflow.training.ensemble_members import check_given_models, check_inits


def check_all(config: Config, places: bool = True) -> None:
    """Raises ConfigError where a configuration that is valid by itself names models, tables, entries or (`places`)
    folders that cannot be used."""
    check_given_models(config)
    check_imported(config)
    check_published(config)
    if not config.models:
        check_entries(config)
        check_inits(config)
    if places:
        check_places(config)
