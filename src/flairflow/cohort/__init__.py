"""The cohort table: which scans there are, what is known of each, which split and shard it belongs to."""
