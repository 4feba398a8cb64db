"""What others published: per-scan results, lists of scans and numbers, brought into flairflow's own tables."""
