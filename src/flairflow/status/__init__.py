"""What a run has done, is doing and still has to do, as its files and SLURM's queue say. Light: nothing is computed."""
