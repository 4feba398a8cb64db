# Run by Snakemake once, inside the new environment, from the folder that snakemake runs in: the clone.
python -m pip install --no-deps .
