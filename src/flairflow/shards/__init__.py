"""Shards: many scans in one job, each with its own row, resumed where it stopped."""
