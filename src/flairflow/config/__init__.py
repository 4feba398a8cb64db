"""The configuration: read once, validated into frozen models, used by everything."""

from flairflow.config.load import load_config, read_config
from flairflow.config.models import Config

__all__ = ["Config", "load_config", "read_config"]
