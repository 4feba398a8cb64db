"""Images in memory: grids, NIfTI files, resampling, label bits."""
