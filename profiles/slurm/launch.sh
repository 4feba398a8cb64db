#!/usr/bin/env bash
# snakemake's main process as a job of its own, for clusters that allow nothing long on the login node:
#
#     sbatch slurm/launch.sh --configfile my.yaml
#
# What follows the name goes to snakemake. Say --partition, --account or --time before it where the cluster wants them.
# Two minutes before its time limit the main process ends its jobs and the job goes back into the queue; from there it
# goes on after the last finished scans and checkpoints. It does the same when its node fails.
#SBATCH --job-name=flairflow
#SBATCH --output=flairflow-%j.log
#SBATCH --open-mode=append
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=3-00:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120

# Job control: without it the shell would start the main process deaf to SIGINT.
set -u -m
cd "${SLURM_SUBMIT_DIR:-.}" || exit 1
if [ -f .venv/bin/activate ]; then . .venv/bin/activate; fi

# Snakemake keeps a cache in HOME, which compute nodes cannot write everywhere.
if [ ! -w "${HOME:-/nowhere}" ]; then export XDG_CACHE_HOME="${XDG_CACHE_HOME:-$PWD/.snakemake/cache}"; fi

# The main process that held the lock was this job's own, and is gone.
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then snakemake --profile slurm "$@" --unlock; fi

snakemake --profile slurm "$@" &
main=$!
go_on_later() {
    kill -INT "$main"
    wait "$main"
    scontrol requeue "$SLURM_JOB_ID"
}
trap go_on_later USR1
wait "$main"
