"""Cleaning: what need not stay is removed, what withdrawn participants left is removed."""
