"""The two kinds of expected failure; everything else is a bug and keeps its traceback."""


class ScanError(Exception):
    """A scan that cannot be processed. It becomes a row with this reason; the rest of the cohort goes on."""


class ConfigError(Exception):
    """A configuration that cannot be used: the key's path, what is wrong and what is allowed."""
