"""Predictions against references, ensembles against each other, and beside them what others published."""
