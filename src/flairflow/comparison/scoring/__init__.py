"""Scores of the test scans: an ensemble or an intensity rule against the known masks, and the table of all scores."""
