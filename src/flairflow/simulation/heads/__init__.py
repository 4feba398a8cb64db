"""Heads drawn from label maps in random contrasts, for training the networks in the box."""
