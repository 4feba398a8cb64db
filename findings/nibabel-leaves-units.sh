#!/bin/sh
# A NIfTI file in micrometres is a thousand times larger for nibabel than for ITK.
#
# One would expect: xyzt_units says what a length means, so an affine is in millimetres, as the documents of both say.
# What happens: nibabel's `affine` and `get_zooms` hold the numbers as they stand, whatever the unit; ITK converts
# micrometres and metres to millimetres.
# Why it matters here: volumes in ml would be off by a factor of 1e9, and a grid of 1 mm over such an image takes all
# memory. flairflow converts by the unit, and refuses voxels that no head has (images/placement.py).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install numpy==2.3.5 nibabel==5.4.2 simpleitk==2.5.7
"$folder/venv/bin/python" - "$folder/image.nii" <<'PYTHON'
import sys

import nibabel as nib
import numpy as np
import SimpleITK as sitk

print("nibabel", nib.__version__, "- ITK", sitk.Version.ITKVersionString())
path, seen = sys.argv[1], {}
for unit, edge in (("micron", 1000.0), ("meter", 0.001), ("mm", 1.0)):
    image = nib.Nifti1Image(np.ones((6, 7, 8), "i2"), np.diag([edge, edge, edge, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    seen[unit] = float(nib.load(path).affine[0, 0]), round(sitk.ReadImage(path).GetSpacing()[0], 9)
    print(f"voxel of {edge:g} {unit}: nibabel's affine says {seen[unit][0]:g}, ITK's spacing {seen[unit][1]:g}")
right = {"micron": (1000, 1), "meter": (0.001, 1), "mm": (1, 1)}
sys.exit(not all(np.allclose(seen[unit], right[unit]) for unit in right))
PYTHON
