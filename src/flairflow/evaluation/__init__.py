"""Evaluation: predictions against references, per scan and label."""
