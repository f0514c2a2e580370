"""Bad files that the port reads: matrices, reflection lists, source files, SMV headers, dumps, and no files at all."""

import os
from pathlib import Path
from random import Random

import numpy as np

from tools.scaling.studies.inputs.attempt import Attempt, Kind, still

READERS = ("-mat", "-hkl", "-sourcefile", "-img", "-mask", "--fdump")
MODES = ((), ("--mode", "spec"), ("--mode", "c-parity"))


def no_regular_file(rng: Random, folder: Path) -> Attempt:
    what = rng.choice(("absent", "folder", "fifo", "/dev/zero", "/dev/full", "link"))
    path = folder / "input"
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(path)
    return still(rng.choice(READERS), what if what.startswith("/") else "input")


def empty_or_binary(rng: Random, folder: Path) -> Attempt:
    contents = (b"", b"\n", b"\x00" * 4096, b"\xff\xfe\x00\x01" * 100, bytes(rng.randbytes(5000)), b"{\n")
    (folder / "input").write_bytes(rng.choice(contents))
    return still(rng.choice(READERS), "input", *rng.choice(MODES), refused=False)


def matrix(rng: Random, folder: Path) -> Attempt:
    rows = rng.choice(
        (
            "1 0 0\n0 1 0\n0 0", "1 0 0\n0 1 0\n0 0 x", "1 0 0\n2 0 0\n0 0 1", "0 0 0\n0 0 0\n0 0 0",
            "1_0 0 0\n0 1 0\n0 0 1", "nan 0 0\n0 1 0\n0 0 1", "1e300 0 0\n0 1e300 0\n0 0 1e300", "# 1 0 0",
            "\u0661 0 0\n0 1 0\n0 0 1", "1e999 0 0\n0 1 0\n0 0 1",
        )
    )  # fmt: skip
    (folder / "A.mat").write_text(rows, encoding="utf-8")
    return still("-mat", "A.mat", *rng.choice(MODES), refused="1e300" not in rows)


def reflections(rng: Random, folder: Path) -> Attempt:
    rows = (
        "1000000000 0 0 5\n0 0 0 1\n", "0 0 0 1\n1200 1200 1200 5\n", "h k l F\n0 0 0 1\n", "0 0 0\n", "1 2 3 nan\n",
        "1 2 3 1e999\n", "1.5 0 0 3\n", "0 0 0 1_0\n", "0 0 0 \u0661\n", "-9223372036854775809 0 0 1\n", "x" * 10**6,
        "0 0 0 1\n" + "1 " * 100000, "1 0 0 5 6 7 8\n# nothing\n", "0 0 0 1\r0 0 1 2\r",
    )  # fmt: skip
    (folder / "list.hkl").write_text(rng.choice(rows), encoding="utf-8")
    return still("-hkl", "list.hkl", *rng.choice(MODES), refused=False)


def sources(rng: Random, folder: Path) -> Attempt:
    rows = (
        "# a comment\n0 0 10 1 1e-10\n", "0 0 10 1 1.1\n", "0 0 0 1 1e-10\n", "0 0 10 0 1e-10\n", "0 0 10 1 0\n",
        "nan 0 10 1 1e-10\n", "0 0 10 1 -1e-10\n", "0 0 10 -1 1e-10\n", "a b c d e\n", "0 0 10 1 1e-10 6 7 8\n",
        "0 0 10 1 1e999\n", "1_0 0 10 1 1e-10\n", "0 0 1e300 1 1e-10\n",
    )  # fmt: skip
    (folder / "sources.txt").write_text(rng.choice(rows), encoding="utf-8")
    return still("-sourcefile", "sources.txt", *rng.choice(MODES), refused=False)


def smv_header(rng: Random, folder: Path) -> Attempt:
    header = {
        "HEADER_BYTES": "512", "DIM": "2", "BYTE_ORDER": "little_endian", "TYPE": "unsigned_short", "SIZE1": "16",
        "SIZE2": "16", "PIXEL_SIZE": "0.1", "DISTANCE": "100", "WAVELENGTH": "1",
    }  # fmt: skip
    key = rng.choice(sorted(header))
    values = (
        "0", "-1", "2000000000", "1e300", "1e999", "nan", "x", "", "6000000000", "000.00", "0.5", "signed_long",
        "float", "big_endian", "middle_endian", "1_6", "\x1b[31m", "1,5", "172", "1.1e-10",
    )  # fmt: skip
    header[key] = rng.choice(values)
    text = "{\n" + "".join(f"{name}={value};\n" for name, value in header.items()) + "}\n"
    (folder / "image.img").write_bytes(text.encode("latin-1").ljust(512) + bytes(rng.choice((0, 10, 512, 1024))))
    return still(rng.choice(("-img", "-mask")), "image.img", *rng.choice(MODES), refused=False)


def sparse_header(rng: Random, folder: Path) -> Attempt:
    with (folder / "image.img").open("wb") as file:
        file.write(b"{\nHEADER_BYTES=6000000000;\nSIZE1=16;\nSIZE2=16;\n}\n")
        file.truncate(6_000_001_000)
    return still(rng.choice(("-img", "-mask")), "image.img")


def dump(rng: Random, folder: Path) -> Attempt:
    box = rng.choice(
        ("0 1290 0 1290 0 1290", "0 -5 0 1 0 1", "0 1 0 1", "x", "0 1 0 1 0 1e9", f"0 {10**30} 0 1 0 1", "0 1 0 1 0 1")
    )
    data = np.full(rng.choice((1, 7, 27)), rng.choice((np.nan, np.inf, 1e300, 5.0))).tobytes()
    (folder / "cache").write_bytes(box.encode() + b"\n\x0c" + data)
    return still("--fdump", "cache", *rng.choice(MODES), refused=False)


KINDS: dict[str, Kind] = {
    "no regular file": no_regular_file,
    "an empty file, or bytes": empty_or_binary,
    "a matrix": matrix,
    "a reflection list": reflections,
    "a source file": sources,
    "an SMV header": smv_header,
    "a header of 6 GB": sparse_header,
    "a dump of the grid": dump,
}
