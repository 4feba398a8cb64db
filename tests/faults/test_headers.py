"""Headers that real archives have: what each becomes, and what is said of it. A row of a table is a case."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from flairflow.brain_mask.plausible import usable_brain
from flairflow.cohort.index import index, read_scans
from flairflow.cohort.scan import Mask, Scan
from flairflow.config import load_config
from flairflow.errors import ScanError
from flairflow.images.axis_order import brought_over
from flairflow.images.grid import Array, Image
from flairflow.images.nifti import read_image, read_labels, write_image
from flairflow.images.placement import _qform
from flairflow.inference.output_files import write_segmentation
from flairflow.inference.prediction import Segmentation
from flairflow.inference.single_images.inputs import output_stem
from flairflow.paths import Results
from flairflow.registration.carried_masks import known_voxels

SHAPE = (8, 9, 10)
RAMP = np.arange(720, dtype="i2").reshape(SHAPE)
Damage = Callable[[Path], None]


def saved(path: Path, data: Array | None = None, affine: Array | None = None, unit: str = "") -> Path:
    """A NIfTI file as nibabel writes it, at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(1, 100, SHAPE).astype("i2") if data is None else data
    image = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
    if unit:
        image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


def field(offset: int, layout: str, *values: Any) -> Damage:
    """Other numbers at a place of the header."""

    def damage(path: Path) -> None:
        content = bytearray(saved(path).read_bytes())
        struct.pack_into(layout, content, offset, *values)
        path.write_bytes(content)

    return damage


def content(data: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return damage


def written(data: Array | None = None, edge: float = 1.0, unit: str = "") -> Damage:
    return placed(data, np.diag([edge, edge, edge, 1.0]), unit)


def placed(data: Array | None, affine: Array, unit: str = "") -> Damage:
    def damage(path: Path) -> None:
        saved(path, data, affine, unit)

    return damage


def cut_short(path: Path) -> None:
    path.write_bytes(saved(path).read_bytes()[:600])


def long_extension(path: Path) -> None:
    """An extension of a header that says it is longer than its file."""
    whole = bytearray(saved(path).read_bytes())
    struct.pack_into("<f", whole, 108, 368.0)
    path.write_bytes(whole[:348] + struct.pack("<4Bii8x", 1, 0, 0, 0, 2**30, 6) + whole[352:])


def pressed(path: Path) -> None:
    """A compressed file whose header asks for a gigabyte of which nothing is there."""
    header = nib.Nifti1Header()
    header.set_data_dtype("i2")
    header.set_data_shape((800, 800, 800))
    header["magic"], header["vox_offset"] = b"n+1", 352
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header.binaryblock + bytes(1000)))


def compressed(change: Callable[[bytes], bytes]) -> Damage:
    """A compressed file, changed as bytes."""

    def damage(path: Path) -> None:
        path.write_bytes(change(saved(path).read_bytes()))

    return damage


def flipped(data: bytes, place: int) -> bytes:
    """One byte of it is another one, as a bad disk leaves it."""
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def in_two_parts(data: bytes) -> bytes:
    whole = gzip.decompress(data)
    return gzip.compress(whole[:500]) + gzip.compress(whole[500:])


def linked(target: str) -> Damage:
    def damage(path: Path) -> None:
        path.parent.mkdir(parents=True)
        path.symlink_to(target.format(name=path.name))

    return damage


def folder(path: Path) -> None:
    path.mkdir(parents=True)


def pipe(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def flat(path: Path) -> None:
    """Axes that lie in one plane."""
    header: Any = nib.load(saved(path)).header
    matrix = np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    header["sform_code"], header["qform_code"] = 1, 0
    for name, row in zip(("srow_x", "srow_y", "srow_z"), matrix, strict=False):
        header[name] = row
    path.write_bytes(header.binaryblock + bytes(4) + path.read_bytes()[352:])


# name: what the file is made by, whether compressed, what the reason says (None: the scan is used)
FILES: dict[str, tuple[Damage, str, str | None]] = {
    "good1": (written(), ".nii.gz", None),
    "good2": (written(), ".nii", None),
    "slopeNan": (field(112, "<ff", 1.0, float("nan")), ".nii", "intercept"),
    "slopeBothNan": (field(112, "<ff", float("nan"), float("nan")), ".nii", None),
    "slopeInf": (field(112, "<ff", float("inf"), 0.0), ".nii", None),
    "interInf": (field(112, "<ff", 1.0, float("inf")), ".nii", "cannot be read"),
    "datatype0": (field(70, "<h", 0), ".nii", "data code 0 not supported"),
    "datatype1": (field(70, "<h", 1), ".nii", "data code 1 not supported"),
    "datatypeOdd": (field(70, "<h", 77), ".nii", "data code 77"),
    "complex": (written(np.ones(SHAPE, np.complex64)), ".nii", "no single real numbers"),
    "rgb": (written(np.ones(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])), ".nii", "no single real numbers"),
    "offset": (field(108, "<f", 350.0), ".nii", "vox offset"),
    "offsetFar": (field(108, "<f", 1e6), ".nii", "damaged or truncated"),
    "offsetNan": (field(108, "<f", float("nan")), ".nii", "cannot be read"),
    "extension": (long_extension, ".nii", "cannot be read"),
    "dimensions": (field(40, "<8h", 3, 8, 9, -10, 1, 1, 1, 1), ".nii", "sub-dimensions_FLAIR"),
    "noDimensions": (field(40, "<8h", 0, 8, 9, 10, 1, 1, 1, 1), ".nii", "sub-noDimensions_FLAIR"),
    "tooLarge": (field(40, "<8h", 3, 32000, 32000, 32000, 1, 1, 1, 1), ".nii", "its header asks for 65,536,000.0 MB"),
    "pressed": (pressed, ".nii.gz", "its header asks for 1,024.0 MB"),
    "short": (cut_short, ".nii", "damaged or truncated"),
    "header": (content(b"\x5c\x01" + bytes(98)), ".nii", "cannot be read"),
    "empty": (content(b""), ".nii.gz", "cannot be read"),
    "text": (content(b"Sorry, the file was moved\n" * 40), ".nii", "cannot be read"),
    "noGzip": (content(b"\x1f\x8b\x08no more"), ".nii.gz", "cannot be read"),
    "folder": (folder, ".nii.gz", None),
    "pipe": (pipe, ".nii.gz", None),
    "flat": (flat, ".nii", "no usable voxel-to-world affine"),
    "oneSlice": (written(np.ones((8, 9, 1), "i2")), ".nii", "not a three-dimensional"),
    "twoVolumes": (written(np.ones((8, 9, 10, 2), "i2")), ".nii", "not a three-dimensional"),
    "fifthAxis": (written(RAMP.reshape(*SHAPE, 1, 1)), ".nii", None),
    "hugeNumbers": (written(np.full(SHAPE, 1e300)), ".nii", "not finite"),
    "metresNoCode": (written(edge=0.001), ".nii", "voxels of 0.001 x 0.001 x 0.001 mm"),
    "micronsNoCode": (written(edge=1000), ".nii", "voxels of 1000 x 1000 x 1000 mm"),
    "metres": (written(edge=0.001, unit="meter"), ".nii", None),
    "microns": (written(edge=1000, unit="micron"), ".nii", None),
    "wrongCode": (written(edge=1, unit="meter"), ".nii", "voxels of 1000 x 1000 x 1000 mm"),
    "noUnit": (field(123, "<B", 7), ".nii", None),
    "smallView": (written(np.ones((40, 40, 40), "i2"), edge=0.5), ".nii", "field of view of 20 x 20 x 20 mm"),
    "wideView": (written(np.ones((50, 60, 8), "i2"), edge=10.0), ".nii", "field of view of 500 x 600 x 80 mm"),
    "thick": (written(edge=13.0), ".nii", "voxels of 13 x 13 x 13 mm"),
    "farAway": (placed(None, np.eye(4) + np.eye(4, k=3) * 1e20), ".nii", "lies 1e+20 mm from the origin"),
    "notFinite": (written(np.where(np.eye(9)[:8, :, None].repeat(10, 2) > 0, np.nan, 1.0)), ".nii", "not finite"),
    "zeros": (written(np.zeros(SHAPE, "i2")), ".nii", "all voxels are zero"),
    "oneValue": (written(np.full(SHAPE, 7, "i2")), ".nii", None),
    "mask": (written((np.indices(SHAPE)[0] == 3).astype("u1")), ".nii", None),
    "tiny64": (written(np.random.default_rng(0).uniform(1e-300, 2e-300, SHAPE)), ".nii", "all voxels are zero"),
    "slopeHuge": (field(112, "<ff", 1e38, 0.0), ".nii", "not finite"),
    "slopeZero": (field(112, "<ff", 0.0, 5.0), ".nii", None),
    "headerSize": (field(0, "<i", 0), ".nii", None),
    "noMagic": (field(344, "<4s", b""), ".nii", "cannot be read"),
    "lastAxisEmpty": (field(40, "<8h", 4, 8, 9, 10, 0, 1, 1, 1), ".nii", "not a three-dimensional"),
    "firstAxisOne": (written(np.ones((1, 8, 9, 10), "i2")), ".nii", "not a three-dimensional"),
    "sliceTooMany": (field(40, "<8h", 3, 8, 9, 11, 1, 1, 1, 1), ".nii", "damaged or truncated"),
    "quaternion": (field(252, "<hh3f", 1, 0, 5.0, 5.0, 5.0), ".nii", "sub-quaternion_FLAIR"),
    "quaternionNan": (field(252, "<hh3f", 1, 0, *[float("nan")] * 3), ".nii", "no usable voxel-to-world affine"),
    "sformNan": (field(252, "<hh24xf", 0, 1, float("nan")), ".nii", "no usable voxel-to-world affine"),
    "unknownCodes": (field(252, "<hh", 99, -3), ".nii", None),
    "compressedUnnamed": (compressed(gzip.compress), ".nii", "cannot be read"),
    "namedCompressed": (compressed(gzip.decompress), ".nii.gz", "cannot be read"),
    "twiceCompressed": (compressed(gzip.compress), ".nii.gz", "cannot be read"),
    "inParts": (compressed(in_two_parts), ".nii.gz", None),
    "somethingBehind": (compressed(lambda data: data + b"something else"), ".nii.gz", None),
    "endMissing": (compressed(lambda data: data[:-300]), ".nii.gz", "damaged or truncated"),
    "bitsFlipped": (compressed(lambda data: flipped(data, len(data) // 2)), ".nii.gz", "damaged or truncated"),
    "sumWrong": (compressed(lambda data: flipped(data, -8 % len(data))), ".nii.gz", "damaged or truncated"),
    "linkToNothing": (linked("nowhere.nii"), ".nii", "a broken link"),
    "linkToItself": (linked("{name}"), ".nii", "a broken link"),
}
NOT_FOUND = ("folder", "pipe")  # no files: the discovery passes them over


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scan]:
    """All of them in one cohort: its scans by participant."""
    root = tmp_path_factory.mktemp("headers")
    for name, (damage, suffix, _) in FILES.items():
        if name not in NOT_FOUND:
            damage(root / f"ds/sub-{name}/anat/sub-{name}_FLAIR{suffix}")
    config = load_config(
        {
            "labels": ["A"],
            "results": str(root / "results"),
            "datasets": {"ds": {"root": str(root / "ds"), "labels": {"A": {}}}},
        }
    )
    index(config, threads=2)
    scans = read_scans(Results(config.results).cohort, config.labels, config.images)
    return {scan.participant: scan for scan in scans}


@pytest.mark.parametrize("name", [name for name in FILES if name not in NOT_FOUND])
def test_a_header_costs_its_own_scan_at_most(cohort: dict[str, Scan], name: str) -> None:
    says, scan = FILES[name][2], cohort[name]
    assert scan.included == (says is None), scan.reason
    if says is not None:
        assert says in scan.reason and f"sub-{name}_FLAIR" in scan.reason


@pytest.mark.parametrize(("name", "note"), [("metres", "in meter, taken to mm"), ("microns", "in micron, taken to mm")])
def test_lengths_come_to_millimetres_by_the_unit(cohort: dict[str, Scan], name: str, note: str) -> None:
    assert cohort[name].voxel_mm == "1x1x1" and note in cohort[name].note
    assert "taken to mm" not in cohort["good1"].note


def test_an_image_that_may_be_a_mask_is_told(cohort: dict[str, Scan]) -> None:
    assert "sub-mask_FLAIR.nii: holds 0 and 1 alone, as a mask does" in cohort["mask"].note
    assert "sub-oneValue_FLAIR.nii: holds 7 alone" in cohort["oneValue"].note


@pytest.mark.parametrize("make", [folder, pipe])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Damage) -> None:
    make(tmp_path / "a.nii.gz")
    with pytest.raises(ScanError, match=r"a\.nii\.gz: is no file"):
        read_image(tmp_path / "a.nii.gz")


def test_any_byte_of_a_header_may_be_wrong(tmp_path: Path) -> None:
    """Whatever a reader makes of it, it is this file's reason or an image; and no memory is taken for it."""
    whole = saved(tmp_path / "whole.nii").read_bytes()
    for place, value in itertools.product(range(352), (0x00, 0x7F, 0xFF)):
        damaged = bytearray(whole)
        damaged[place] = value
        (tmp_path / "a.nii").write_bytes(damaged)
        for read in (read_image, read_labels):
            try:
                read(tmp_path / "a.nii")
            except ScanError as problem:
                assert str(problem).startswith("a.nii: ")


CODES = [(0, 0), (0, 1), (0, 2), (0, 4), (1, 0), (2, 0), (1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (4, 1), (4, 4), (1, 3)]
SFORM = np.array([[-0.98, 0.12, 0.1, 50], [0.11, 1.18, -0.3, -40], [0.08, 0.2, 1.97, -30], [0, 0, 0, 1]])


def with_forms(path: Path, qform: Array, qcode: int, sform: Array, scode: int, unit: str = "mm") -> Path:
    image = nib.Nifti1Image(np.random.default_rng(0).integers(1, 100, SHAPE).astype("i2"), None)
    image.header.set_qform(qform, qcode)
    image.header.set_sform(sform, scode)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


def by_itk(path: Path) -> Array:
    """The affine to RAS mm as ITK sees a file."""
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    flipped: Array = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    return flipped


@pytest.mark.parametrize("unit", ["mm", "micron", "unknown"])
@pytest.mark.parametrize(("qcode", "scode"), CODES)
def test_a_mask_lies_on_its_image_in_every_program(tmp_path: Path, qcode: int, scode: int, unit: str) -> None:
    """qform and sform 7 mm apart: programs differ in where the image is, so the mask must say all that it says."""
    scale = np.diag([1000.0, 1000, 1000, 1]) if unit == "micron" else np.eye(4)
    image = nib.Nifti1Header()
    image.set_qform(SFORM, 1)  # without the shear that a qform cannot hold
    sform = image.get_qform()
    qform = sform.copy()
    qform[0, 3] += 7
    path = with_forms(tmp_path / "image.nii", scale @ qform, qcode, scale @ sform, scode, unit)
    mask = tmp_path / "mask.nii.gz"
    read = read_image(path)
    write_image(mask, Image(read.data > 50, read.affine), like=path)
    first, second = (nib.load(file) for file in (path, mask))  # type: ignore[attr-defined]
    assert np.array_equal(first.affine, second.affine)
    assert np.array_equal(by_itk(path), by_itk(mask))
    for name in ("qform_code", "sform_code"):
        assert first.header[name] == second.header[name]
    assert np.array_equal(first.header.get_sform(), second.header.get_sform())
    assert np.array_equal(first.header.get_qform(), second.header.get_qform())
    again = read_labels(mask)
    assert np.array_equal(again.affine, read.affine) and np.array_equal(again.data, read.data > 50)
    if qcode and scode:
        assert np.allclose(read.affine, sform, atol=1e-4)
        assert f"up to 7.0 mm apart (qform code {qcode}, sform code {scode}); its sform counts here" in read.notes[-1]
    elif not (qcode or scode):
        assert "has no position (qform code 0, sform code 0)" in read.notes[-1]


@pytest.mark.parametrize(("qcode", "scode"), [(0, 0), (1, 4), (1, 2), (2, 1)])
def test_everything_that_is_delivered_lies_on_its_image(tmp_path: Path, qcode: int, scode: int) -> None:
    path = with_forms(tmp_path / "image.nii", np.diag([1.0, 2, 3, 1]), qcode, np.diag([-1.0, 2, 3, 1]), scode)
    read = read_image(path)
    classes = (read.data > 50).astype(np.uint8)
    box = (slice(0, 8), slice(0, 9), slice(0, 10))
    segmentation = Segmentation(classes, read.affine, classes > 0, np.stack([1.0 - classes, classes]), box)
    files, volumes = write_segmentation(lambda name: tmp_path / name, segmentation, ["A"], path, {}, ["A"])
    assert len(files) == 4 and volumes["A"] == pytest.approx(classes.sum() * 6 / 1000)
    for file in files.values():
        written: Any = nib.load(file)
        assert np.array_equal(written.affine, nib.load(path).affine)  # type: ignore[attr-defined]
        assert np.array_equal(by_itk(file), by_itk(path))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti2_and_other_byte_orders_lend_their_place_too(tmp_path: Path, name: str) -> None:
    data = RAMP.astype(">i2")
    big = nib.Nifti1Image(data, SFORM, nib.Nifti1Header(endianness=">"))
    for file in (big, nib.Nifti2Image(data, SFORM)):
        nib.save(file, tmp_path / name)
        read = read_image(tmp_path / name)
        write_image(tmp_path / "mask.nii", Image(read.data > 0, read.affine), like=tmp_path / name)
        assert np.allclose(nib.load(tmp_path / "mask.nii").affine, SFORM, atol=1e-5)  # type: ignore[attr-defined]


ZOOMED = SFORM @ np.diag([1.1, 1.1, 1.1, 1.0])
MIRRORED = np.diag([-1.0, 1, 1, 1]) @ SFORM
ZERO = np.zeros((4, 4))


@pytest.mark.parametrize(
    ("sform", "used", "note"),
    [
        (SFORM, "sform", None),
        (ZOOMED, "qform", "its qform counts here"),
        (MIRRORED, "sform", "left and right exchanged"),
        (ZERO, "qform", "its sform is no usable matrix"),
        (np.full((4, 4), np.nan), "qform", "its sform is no usable matrix"),
    ],
)
def test_which_matrix_counts_is_said(tmp_path: Path, sform: Array, used: str, note: str | None) -> None:
    """A sform of other voxels leads into a template's space: millilitres by it would not be the scan's."""
    header = nib.Nifti1Header()
    header.set_qform(SFORM, 1)
    qform = header.get_qform()
    sform = qform if sform is SFORM else sform
    image = nib.Nifti1Image(RAMP, None)
    image.header.set_qform(qform, 1)
    image.header["sform_code"] = 4
    for name, row in zip(("srow_x", "srow_y", "srow_z"), sform, strict=False):
        image.header[name] = row
    nib.save(image, tmp_path / "a.nii")
    read = read_image(tmp_path / "a.nii")
    assert np.allclose(read.affine, sform if used == "sform" else qform, atol=1e-4)
    assert (note in " ".join(read.notes)) if note else not read.notes


@pytest.mark.parametrize("seed", range(20))
def test_quaternions_mean_what_nibabel_reads(seed: int) -> None:
    random = np.random.default_rng(seed)
    left, _, right = np.linalg.svd(random.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = left @ right * random.uniform(0.3, 5, 3)
    affine[:3, 3] = random.normal(0, 100, 3)
    header = nib.Nifti1Header()
    # Half turns too, for which no room is left beside the three numbers.
    header.set_qform(affine if seed else np.diag([-1.0, -1, 2, 1]), 1)
    assert np.allclose(_qform(header), header.get_qform(), atol=1e-4)


def test_a_pixdim_that_its_sform_contradicts_is_said(tmp_path: Path) -> None:
    image = nib.Nifti1Image(RAMP, None)
    image.header.set_sform(np.diag([2.0, 2, 2, 1]), 1)
    image.header["pixdim"][1:4] = 1
    nib.save(image, tmp_path / "a.nii")
    assert "pixdim says 1 x 1 x 1" in read_image(tmp_path / "a.nii").notes[0]


def lesion() -> Array:
    data = np.zeros(SHAPE, "u1")
    data[1:3, 2, 5:9] = 1
    return data


def reordered(data: Array, affine: Array, axes: tuple[int, ...], flips: tuple[int, ...]) -> tuple[Array, Array]:
    """The same voxels in space, stored in another order."""
    order = np.array([[axis, flip] for axis, flip in zip(axes, flips, strict=True)], float)
    return (
        nib.orientations.apply_orientation(data, order),
        affine @ nib.orientations.inv_ornt_aff(order, data.shape),
    )


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_a_mask_in_another_voxel_order_comes_back_exactly(
    tmp_path: Path, axes: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    image = read_image(saved(tmp_path / "image.nii", affine=SFORM))
    saved(tmp_path / "mask.nii", *reordered(lesion(), SFORM, axes, flips))
    where, ignore = known_voxels(Mask("mask", "mask.nii", ignore_path="mask.nii"), tmp_path, image)
    assert not where.any() and np.array_equal(ignore, lesion() == 1)
    where, ignore = known_voxels(Mask("mask", "mask.nii"), tmp_path, image)
    assert np.array_equal(where, lesion() == 1) and not ignore.any()


# What the mask is, what the FLAIR's header is, and what the index says: a note that begins with +, or the reason.
Forms = tuple[Array, int, Array, int]
SHIFTED = np.eye(4) + np.eye(4, k=3) * 7
by_qform = placed(lesion(), SHIFTED)  # as a program saves it that goes by the qform of its image
PLAIN: Forms = (np.eye(4), 1, np.eye(4), 1)
MASKS: dict[str, tuple[Damage, Forms, str]] = {
    "same": (written(lesion()), PLAIN, "+"),
    "flipped": (
        placed(*reordered(lesion(), np.eye(4), (0, 1, 2), (-1, 1, 1))),
        PLAIN,
        "+voxels are in another order than its image's",
    ),
    "sagittal": (
        placed(*reordered(lesion(), np.eye(4), (2, 0, 1), (-1, 1, -1))),
        PLAIN,
        "+voxels are in another order than its image's",
    ),
    "turned": (
        written(np.ones((9, 8, 10), "u1")),
        PLAIN,
        "not on the grid of sub-turned_FLAIR.nii (shape and position",
    ),
    "cut": (written(np.ones((8, 9, 7), "u1")), PLAIN, "(shape 8 x 9 x 7 against 8 x 9 x 10)"),
    "moved": (by_qform, PLAIN, "(position differs by up to 7.0 mm)"),
    "byQform": (by_qform, (SHIFTED, 1, np.eye(4), 4), "+qform and sform place it up to 7.0 mm apart"),
    "codeless": (
        placed(lesion(), np.diag([-1.0, -1, 1, 1])),
        (np.eye(4), 0, np.eye(4), 0),
        "has no position (qform code 0, sform code 0)",
    ),
    "microns": (written(lesion(), 1000, "micron"), PLAIN, "+taken to mm"),
    "intent": (field(112, "<ff", 1.0, float("nan")), PLAIN, "sub-intent_label-A_mask.nii: cannot be read"),
}


@pytest.mark.parametrize("name", list(MASKS))
@pytest.mark.parametrize("kind", ["label", "brain"])
def test_what_the_index_says_of_masks(tmp_path: Path, name: str, kind: str) -> None:
    """A brain mask is looked at as a lesion's is."""
    make, forms, says = MASKS[name]
    image = with_forms(tmp_path / "FLAIR.nii", *forms)
    (tmp_path / f"ds/sub-{name}/anat").mkdir(parents=True)
    shutil.move(image, tmp_path / f"ds/sub-{name}/anat/sub-{name}_FLAIR.nii")
    make(tmp_path / f"ds/derivatives/manual/sub-{name}/anat/sub-{name}_label-A_mask.nii")
    source = {"folder": "derivatives/manual", "suffix": "mask", "entities": {"label": "A"}}
    found: dict[str, Any] = (
        {"labels": {"A": source}} if kind == "label" else {"labels": {"A": {}}, "brain_mask": source}
    )
    config = load_config(
        {
            "labels": ["A"],
            "results": str(tmp_path / "results"),
            "datasets": {"ds": {"root": str(tmp_path / "ds"), **found}},
        }
    )
    index(config, threads=1)
    (scan,) = read_scans(Results(config.results).cohort, config.labels, config.images)
    assert scan.included == says.startswith("+"), scan.reason
    assert says.lstrip("+") in (scan.note if scan.included else scan.reason)


BRAIN = np.zeros((60, 60, 60), "u1")
BRAIN[10:50, 12:50, 15:50] = 1
AT = np.diag([3.0, 3, 3, 1])


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (Image(BRAIN, AT), None),
        (Image(*reordered(BRAIN, AT, (2, 0, 1), (1, -1, 1))), None),
        (Image(BRAIN * 0, AT), "0 ml (less than 300 ml)"),
        (Image(BRAIN * 0 + 1, AT), "5832 ml (more than 2500 ml)"),
        (Image(1 - BRAIN, AT), "(more than 2500 ml)"),
        (Image(BRAIN[:30], AT), "shape 30 x 60 x 60 against 60 x 60 x 60"),
        (Image(BRAIN, AT + np.eye(4, k=3)), "position differs by up to 1.0 mm"),
    ],
)
def test_a_brain_mask_of_any_program_is_checked(mask: Image, says: str | None) -> None:
    image = Image(np.ones(BRAIN.shape, np.float32), AT)
    if says is None:
        assert np.array_equal(usable_brain(mask, image, "m.nii"), BRAIN == 1)
    else:
        with pytest.raises(ScanError) as problem:
            usable_brain(mask, image, "m.nii")
        assert str(problem.value).startswith("m.nii: brain mask") and says in str(problem.value)


def test_voxels_of_another_grid_are_not_brought_over() -> None:
    """Half a voxel off, or turned by a few degrees, it is another image."""
    image = Image(lesion(), SFORM)
    turn = np.eye(4)
    turn[:2, :2] = [[0.99, -0.14], [0.14, 0.99]]
    for affine in (SFORM + np.eye(4, k=3) * 0.6, turn @ SFORM):
        with pytest.raises(ScanError, match="position differs"):
            brought_over(Image(lesion(), affine), image, "m.nii")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("sub-01_FLAIR.nii.gz", "sub-01"),
        ("sub-01_FLAIR.nii", "sub-01"),
        ("subj20.mgz", "subj20"),
        ("subj20.mgh", "subj20"),
        ("a.b.MGZ", "a.b"),
    ],
)
def test_outputs_bear_no_suffix_of_their_image(name: str, stem: str) -> None:
    assert output_stem(Path(name)) == stem


def test_mgz_images_are_read_and_written_on(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(RAMP.astype(np.float32), SFORM), tmp_path / "a.mgz")
    read = read_image(tmp_path / "a.mgz")
    write_image(tmp_path / "mask.nii.gz", Image(read.data > 0, read.affine), like=tmp_path / "a.mgz")
    assert np.allclose(nib.load(tmp_path / "mask.nii.gz").affine, SFORM, atol=1e-5)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("anatomical.nii", None),
        ("reoriented_anat_moved.nii", None),
        ("someones_anatomy.nii.gz", None),
        ("standard.nii.gz", None),
        ("example4d.nii.gz", "not a three-dimensional"),
        ("example_nifti2.nii.gz", "not a three-dimensional"),
        ("functional.nii", "not a three-dimensional"),
        ("resampled_anat_moved.nii", "not finite"),
        ("test.mgz", "not a three-dimensional"),
    ],
)
def test_real_headers(real_data: Path, tmp_path: Path, name: str, says: str | None) -> None:
    path = real_data / "real" / "header_cases" / name
    if says is not None:
        with pytest.raises(ScanError, match=rf"{name}: .*{says}"):
            read_image(path)
        return
    read = read_image(path)
    # One of them is a box of 0 and 255.
    assert [note.partition(": ")[2] for note in read.notes] == (
        ["holds 0 and 255 alone, as a mask does"] if name == "standard.nii.gz" else []
    )
    write_image(tmp_path / "mask.nii.gz", Image(read.data > 0, read.affine), like=path)
    assert np.array_equal(by_itk(tmp_path / "mask.nii.gz"), by_itk(path))
