#!/bin/sh
# One NIfTI file, two programs, two places: which of its matrices counts depends on codes that few look at.
#
# One would expect: a header whose sform is set is placed by the sform, as nibabel, FSL and SPM do, whatever its code.
# What happens: ITK 5.4 (SimpleITK, ANTs, Slicer, ITK-SNAP) goes by the sform only where its code is exactly 1 or the
# qform's is 0, and by the qform otherwise; with both codes 0 it takes LPS identity, where nibabel centres the image and
# turns x. Nothing is said.
# Why it matters here: a mask that is written with one matrix, or with codes of its own, lies on its image in one program
# and beside it in the other. flairflow copies both matrices and both codes (images/placement.py).
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
path = sys.argv[1]
sform = np.array([[-1.0, 0, 0, 50], [0, 1.2, 0, -40], [0, 0, 2, -30], [0, 0, 0, 1]])
qform = sform + np.array([[0, 0, 0, 7], [0] * 4, [0] * 4, [0] * 4])


def which(affine):
    return next((name for name, matrix in (("sform", sform), ("qform", qform)) if np.allclose(affine, matrix)), "neither")


expected = {(0, 0): ("neither", "neither"), (0, 2): ("sform", "sform"), (1, 0): ("qform", "qform")}
expected |= {(1, 1): ("sform", "sform"), (4, 1): ("sform", "sform")}
expected |= {codes: ("sform", "qform") for codes in ((1, 2), (1, 4), (2, 2), (4, 4))}
seen = {}
for qcode, scode in expected:
    image = nib.Nifti1Image(np.ones((6, 7, 8), "i2"), None)
    image.header.set_qform(qform, qcode)
    image.header.set_sform(sform, scode)
    nib.save(image, path)
    read = sitk.ReadImage(path)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(read.GetDirection(), (3, 3)) * read.GetSpacing()
    affine[:3, 3] = read.GetOrigin()
    seen[qcode, scode] = which(nib.load(path).affine), which(np.diag([-1.0, -1, 1, 1]) @ affine)
    print("qform code", qcode, "sform code", scode, ": nibabel", seen[qcode, scode][0], "- ITK", seen[qcode, scode][1])
sys.exit(seen != expected)
PYTHON
