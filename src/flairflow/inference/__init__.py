"""Trained models applied to images."""
