"""Preprocessing: from registered scans to images a network reads."""
