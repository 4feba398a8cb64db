"""The voxels that are brain: found by a network, by SynthStrip, or given; `methods.py` chooses."""
