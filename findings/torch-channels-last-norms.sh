#!/bin/sh
# The same tensor, normalised in PyTorch on a CPU: right to 1e-5 or wrong by whole standard deviations, by its memory format.
#
# One would expect: channels-last is a matter of speed; group norm with a group per channel, batch norm of one item and
# instance norm are the same formula, so all six results agree to float32's last digits.
# What happens: contiguous, all three do. In channels_last_3d `group_norm` takes the variance as mean(x^2) - mean(x)^2 in
# float32 sums: at a mean of 100 standard deviations it is wrong by 3 of them, at 10 by 0.02; `batch_norm` is wrong by
# 0.001 even at a mean of 0. `instance_norm` is right, but returns a contiguous tensor, so each layer after it copies.
# Why it matters here: 3D networks run on CPUs in channels-last, where convolutions are faster, and images in raw scanner
# units have means of many standard deviations. flairflow normalises slab by slab with sums in float64 (network/instance_norm.py).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install numpy==2.3.5 torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_num_threads(1)
print("torch", torch.__version__)
channels, edge = 8, 96
norms = {
    "instance_norm": F.instance_norm,
    "group_norm": lambda x: F.group_norm(x, channels),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
}
error, kept = {}, {}
for mean in (0, 10, 100):
    image = torch.randn(1, channels, edge, edge, edge) + mean
    exact = image.double()
    spread, centre = torch.var_mean(exact, dim=(2, 3, 4), keepdim=True, correction=0)
    exact = (exact - centre) / (spread + 1e-5).sqrt()
    for order in (torch.contiguous_format, torch.channels_last_3d):
        for name, norm in norms.items():
            result = norm(image.contiguous(memory_format=order))
            error[name, order, mean] = float((result - exact).abs().max())
            kept[name, order] = result.is_contiguous(memory_format=order)
            print(f"mean {mean:3d} sd, {name:13s} {order}: largest error {error[name, order, mean]:.1e} sd, "
                  f"format {'kept' if kept[name, order] else 'LOST'}")
last, plain = torch.channels_last_3d, torch.contiguous_format
as_described = (
    max(error[name, plain, mean] for name in norms for mean in (0, 10, 100)) < 1e-4
    and error["group_norm", last, 100] > 0.5
    and error["group_norm", last, 10] > 1e-3
    and error["batch_norm", last, 0] > 1e-4
    and error["instance_norm", last, 100] < 1e-4
    and not kept["instance_norm", last]
)
sys.exit(not as_described)
PYTHON
