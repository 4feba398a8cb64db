#!/usr/bin/env bash
# Trains the models in the box on a machine with a GPU and leaves them in a folder to bring back. From a clone:
#   benchmarks/default_models_gpu.sh HEADS OUT [BRAIN_UPDATES LESION_UPDATES]
# HEADS has the folders anatomies, stroke_masks and, where there are masks of WMH, wmh. Stopped and started again it goes on.
set -euo pipefail
heads=$(realpath "$1") out=$(realpath -m "$2")
cd "$(dirname "$0")/.."
make .venv/installed
mkdir -p "$out"
wmh=null
[ -d "$heads/wmh" ] && wmh=$heads/wmh
cat > "$out/config.yaml" <<YAML
results: $out/results
labels: [WMH, ISL]
datasets: {none: {root: $out, labels: {WMH: {}}}}
default_models:
  anatomies: $heads/anatomies
  strokes: $heads/stroke_masks
  wmh: $wmh
  brain_updates: ${3:-20000}
  lesion_updates: ${4:-20000}
YAML
.venv/bin/flairflow make-models --config "$out/config.yaml" --threads "$(nproc)"
cp -r "$out/results/default_models/brain" "$out/results/default_models/default" "$out"
