"""Statistics of scores that several ensembles got on the same scans. Arrays in, arrays out."""
