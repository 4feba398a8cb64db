"""Synthetic cohorts with known truth: anatomy with lesions is one step, contrast another."""
