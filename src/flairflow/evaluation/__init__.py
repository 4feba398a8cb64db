"""Evaluation: predictions against references, per scan and label, on the native grid."""
