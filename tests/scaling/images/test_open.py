"""Image files: raw floats, .npy and SMV of every type, and what is none."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from tools.scaling.base.errors import BadInput
from tools.scaling.images.compare import compare_image_files
from tools.scaling.images.open import open_image

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
RNG = np.random.default_rng(7)


def image() -> np.ndarray:
    return np.random.default_rng(1).gamma(2.0, 1.0, (90, 70)).astype(np.float32)


def smv(pixels: np.ndarray, **fields: str) -> bytes:
    slow, fast = pixels.shape
    header = {"HEADER_BYTES": "512", "BYTE_ORDER": "little_endian", "TYPE": "unsigned_short"}
    header |= {"SIZE1": str(fast), "SIZE2": str(slow)} | fields
    text = "{\n" + "".join(f"{key}={value};\n" for key, value in header.items()) + "}\f"
    return text.encode().ljust(512) + pixels.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["raw", "npy"])
def test_floats_are_read_raw_and_from_numpy(tmp_path, dtype, form):
    x = image().astype(dtype)
    path = tmp_path / "image"
    if form == "raw":
        x.tofile(path)
    else:
        with path.open("wb") as stream:
            np.save(stream, x)
    found = open_image(path, (90, 70) if form == "raw" else None)
    assert (found.dtype, found.shape) == (dtype, (90, 70))
    assert np.array_equal(found.pixels.numpy(), x)


@pytest.mark.parametrize("order", ["little_endian", "big_endian"])
def test_smv_is_read_in_either_byte_order(tmp_path, order):
    x = RNG.integers(0, 65536, (31, 17)).astype("<u2" if order == "little_endian" else ">u2")
    (tmp_path / "a.img").write_bytes(smv(x, BYTE_ORDER=order))
    found = open_image(tmp_path / "a.img")
    assert (found.dtype, found.shape) == ("uint16", (31, 17))
    assert np.array_equal(found.values(found.pixels).numpy(), x.astype(int))


SMV_TYPES = {
    "unsigned_char": ("u1", 0, 255), "signed_char": ("i1", -120, 120), "signed_short": ("i2", -3000, 30000),
    "unsigned_short": ("u2", 0, 65000), "signed_long": ("i4", -30000, 2**31 - 1),
    "unsigned_int": ("u4", 0, 2**32 - 1), "float": ("f4", -5, 5), "double": ("f8", 0, 5),
}  # fmt: skip


@pytest.mark.parametrize("order", ["little_endian", "big_endian"])
@pytest.mark.parametrize("kind", SMV_TYPES)
def test_smv_of_every_type_is_compared_as_numpy_does(tmp_path, kind, order):
    code, low, high = SMV_TYPES[kind]
    x = RNG.integers(low, high, (90, 70)).astype(("<" if order == "little_endian" else ">") + code)
    y = x.copy()
    y[3, 4] = x[3, 4] - 1 if x[3, 4] > low else x[3, 4] + 1
    (tmp_path / "a.img").write_bytes(smv(x, TYPE=kind, BYTE_ORDER=order))
    (tmp_path / "b.img").write_bytes(smv(y.astype("<" + code), TYPE=kind))
    report = compare_image_files(tmp_path / "a.img", tmp_path / "b.img")
    a, b = x.astype(float), y.astype(float)
    assert (report.unequal, report.max_abs.abs, report.max_abs.slow, report.max_abs.fast) == (1, 1.0, 3, 4)
    assert (report.reference.minimum, report.reference.maximum) == (a.min(), a.max())
    assert (report.reference.total, report.sum_ratio) == pytest.approx((a.sum(), b.sum() / a.sum()), rel=1e-12)
    assert report.peaks[0].reference == a.max()
    assert report.max_abs.ulp == 1 or code[0] == "f"
    assert compare_image_files(tmp_path / "a.img", tmp_path / "a.img").passed
    json.dumps(report.to_dict(), allow_nan=False)


def test_blanks_around_the_values_of_an_smv_header_mean_nothing(tmp_path):
    x = RNG.integers(0, 65536, (31, 17)).astype(">u2")
    (tmp_path / "a.img").write_bytes(smv(x, BYTE_ORDER=" big_endian ", TYPE="\tunsigned_short ", SIZE1=" 17 "))
    found = open_image(tmp_path / "a.img")
    assert np.array_equal(found.values(found.pixels).numpy(), x.astype(int))


def test_the_references_own_smv_is_read():
    path = GOLDEN / "images_mid_counts" / "int.img"
    found = open_image(path)
    theirs = np.frombuffer(path.read_bytes()[512:], "<u2").reshape(40, 40)
    assert np.array_equal(found.values(found.pixels).numpy(), theirs.astype(int))


def _npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


DAMAGED = {
    "truncated raw": (b"\0" * 99, r"expected 24 bytes \(float32\) or 48 \(float64\) for 2 x 3 pixels, got 99 bytes"),
    "empty": (b"", "expected an image, got an empty file"),
    "text": (b"1 2 3\n", r"expected 24 bytes \(float32\) or 48 \(float64\) for 2 x 3 pixels, got 6 bytes"),
    "truncated SMV": (smv(np.zeros((2, 3), "u2"))[:-1], "expected 524 bytes, 2 x 3 uint16, got 523 bytes"),
    "longer SMV": (smv(np.zeros((2, 3), "u2")) + b"x", "expected 524 bytes, 2 x 3 uint16, got 525 bytes"),
    "SMV of another shape": (smv(np.zeros((3, 2), "u2")), r"expected 2 x 3 pixels \(slow x fast\), got 3 x 2"),
    "SMV without sizes": (
        smv(np.zeros((2, 3), "u2"), SIZE1="x"),
        "expected SIZE1 as a number, got 'x'",
    ),
    "SMV of another type": (
        smv(np.zeros((2, 3), "u2"), TYPE="quaternion"),
        r"expected a TYPE of pixels \(unsigned_char, .*, float, double\), got quaternion",
    ),
    "SMV of no known byte order": (
        smv(np.zeros((2, 3), "u2"), BYTE_ORDER="PDP_endian"),
        "expected BYTE_ORDER=little_endian or big_endian, got pdp_endian",
    ),
    "SMV without pixels": (
        smv(np.zeros((2, 3), "u2"), SIZE2="0"),
        "expected SIZE1 and SIZE2 above 0 in the header, got 3 and 0",
    ),
    "torn npy": (b"\x93NUMPY\x01\x00\xff", "expected a .npy header, got one that is damaged or truncated"),
    "npy of ten thousand signs": (
        _npy(b"-" * 60000 + b"1"),
        "expected a .npy header, got one that is damaged or truncated",
    ),
    "npy of ten thousand sums": (
        _npy(b"1+" * 20000 + b"1"),
        "expected a .npy header, got one that is damaged or truncated",
    ),
    "npy of integers": (
        _npy(b"{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3)}"),
        r"expected one of f4, f8, i1, u1, i2, u2, i4, u4 \(slow, fast\) in C order, got <i8 \(2, 3\) in C order",
    ),
    "npy in Fortran order": (
        _npy(b"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}"),
        r"got <f4 \(2, 3\) in Fortran order",
    ),
    "npy without pixels": (
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3)}"),
        r"expected 2 x 3 pixels \(slow x fast\), got 0 x 3",
    ),
    "npy of truth values": (
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, True)}"),
        r"expected a shape \(slow, fast\) of whole numbers below 2\^31, got \(True, True\)",
    ),
    "npy of less than nothing": (
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -3)}"),
        r"expected a shape \(slow, fast\) of whole numbers below 2\^31, got \(-2, -3\)",
    ),
    "npy of everything": (
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1" + 4000 * b"0" + b", 2)}"),
        r"expected a shape \(slow, fast\) of whole numbers below 2\^31, got \(10{58}\.\.\.",
    ),
    "npy of objects": (
        _npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}"),
        r"expected one of f4, .* in C order, got \|O \(2, 3\) in C order",
    ),
    "npy of records": (
        _npy(b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}"),
        r"expected one of f4, .* in C order, got \[\('a', '<f4'\)\] \(2, 3\) in C order",
    ),
    "npy of lines": (
        _npy(b"{'descr': 'x\\ny', 'fortran_order': False, 'shape': (2, 3)}"),
        "expected a .npy header, got one that is damaged or truncated",
    ),
    "npy of a list": (_npy(b"[1, 2]"), "expected a .npy header, got one that is damaged or truncated"),
    "npy of no version": (b"\x93NUMPY\x09" + _npy(b"{}")[7:], "expected a .npy header, got one that is damaged"),
    "npy of a longer header": (
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{}",
        "expected a .npy header, got one that is damaged or truncated",
    ),
    "SMV of half a pixel": (
        smv(np.zeros((2, 3), "u2"), SIZE1="2.5"),
        "expected SIZE1 as a whole number of 1 to 2147483647, got 2.5",
    ),
    "SMV of everything": (
        smv(np.zeros((2, 3), "u2"), SIZE1="1e999"),
        "expected SIZE1 as a whole number of 1 to 2147483647, got inf",
    ),
    "SMV of two billion": (
        smv(np.zeros((2, 3), "u2"), SIZE1="2e9"),
        r"expected 2 x 3 pixels \(slow x fast\), got 2 x 2000000000",
    ),
    "SMV of a long header": (
        smv(np.zeros((2, 3), "u2"), HEADER_BYTES="6e9"),
        "expected HEADER_BYTES as a whole number of 1 to 1048576, got 6e\\+09",
    ),
    "truncated npy": (
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}"),
        r"expected 9\d bytes, 2 x 3 float32, got \d\d bytes",
    ),
}


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", ">u4", "u1"])
def test_npy_of_every_version_and_type(tmp_path, version, dtype):
    x = RNG.integers(0, 200, (9, 7)).astype(dtype)
    with (tmp_path / "x.npy").open("wb") as stream:
        np.lib.format.write_array(stream, x, version)
    found = open_image(tmp_path / "x.npy")
    assert (found.dtype, found.shape) == (x.dtype.name, (9, 7))
    assert np.array_equal(found.values(found.pixels).numpy(), x.astype(float))


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_is_no_image_is_one_line(tmp_path, name):
    data, message = DAMAGED[name]
    (tmp_path / "x.img").write_bytes(data)
    with pytest.raises(BadInput, match=rf"^[^\n]*x\.img: [^\n]*{message}[^\n]*$"):
        open_image(tmp_path / "x.img", (2, 3))


def test_a_missing_file_a_folder_and_a_raw_file_without_shape_are_one_line(tmp_path):
    with pytest.raises(BadInput, match=r"gone: expected a regular file, got: No such file or directory$"):
        open_image(tmp_path / "gone")
    with pytest.raises(BadInput, match=r"expected a regular file, got a folder$"):
        open_image(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match=r"pipe: expected a regular file, got a pipe$"):
        open_image(tmp_path / "pipe")
    with pytest.raises(BadInput, match=r"^/dev/zero: expected a regular file, got a device$"):
        open_image(Path("/dev/zero"), (2, 3))
    image().tofile(tmp_path / "c.bin")
    with pytest.raises(
        BadInput, match=r"expected the shape of a file without a header \(--shape SLOW FAST\), got none$"
    ):
        open_image(tmp_path / "c.bin")


def test_another_shape_or_type_is_one_line(tmp_path):
    np.save(tmp_path / "a.npy", image())
    np.save(tmp_path / "b.npy", image().astype(float))
    np.save(tmp_path / "t.npy", np.ascontiguousarray(image().T))
    with pytest.raises(BadInput, match=r"b.npy: expected the dtype of [^\n]*a.npy, float32, got float64$"):
        compare_image_files(tmp_path / "a.npy", tmp_path / "b.npy")
    with pytest.raises(
        BadInput,
        match=r"t.npy: expected the shape of [^\n]*a.npy, \(90, 70\), got \(70, 90\): slow and fast are exchanged$",
    ):
        compare_image_files(tmp_path / "a.npy", tmp_path / "t.npy")
    with pytest.raises(BadInput, match=r"^expected a region \(slow min max, fast min max\) on 90 x 70 pixels, got"):
        compare_image_files(tmp_path / "a.npy", tmp_path / "a.npy", roi=(0, 90, 0, 69))


def test_counts_of_an_smv_are_compared_as_counts(tmp_path):
    x = RNG.integers(0, 60000, (40, 30)).astype("<u2")
    y = x.copy()
    y[3, 4] += 1
    (tmp_path / "a.img").write_bytes(smv(x))
    (tmp_path / "b.img").write_bytes(smv(y))
    report = compare_image_files(tmp_path / "a.img", tmp_path / "b.img")
    assert (report.unequal, report.max_abs.abs, report.max_abs.ulp, report.outliers) == (1, 1.0, 1, 1)
    assert compare_image_files(tmp_path / "a.img", tmp_path / "a.img").passed
