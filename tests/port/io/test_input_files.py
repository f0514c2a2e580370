"""Input files that are none, that would keep one waiting, or that do not fit: one line, and nothing else happens."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nanobragg_torch.cli.main import main
from nanobragg_torch.errors import DoesNotFit, InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.fdump import fdump_cells, fdump_pieces, read_fdump
from nanobragg_torch.io.hkl import read_hkl
from nanobragg_torch.io.load import loaded
from nanobragg_torch.io.mosflm_matrix import read_matrix
from nanobragg_torch.io.numbers import number
from nanobragg_torch.io.smv import read_pixels, read_smv, smv_header
from nanobragg_torch.io.sources import read_columns, read_sources
from nanobragg_torch.memory import Limit, limit
from nanobragg_torch.quirks import IDS, Quirks
from nanobragg_torch.scan.simulate import simulate

SMALL = "-cell 50 60 70 80 90 100 -N 4 -oversample 1 -nonoise -nopgm -default_F 10 -lambda 1 -distance 100"
SMALL += " -detpixels_x 6 -detpixels_y 5 -pixel 2"
READERS: dict[str, Callable[[Path], object]] = {
    "matrix": read_matrix,
    "list": read_hkl,
    "sources": read_sources,
    "columns": lambda path: read_columns(path, "stol F", 2),
    "dump": lambda path: read_fdump(path, skip_white_space=True),
    "cells of a dump": fdump_cells,
    "smv": read_smv,
}
TEXTS = ("matrix", "list", "sources", "columns")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(reader: str, path: Path, line: str) -> None:
    with pytest.raises(InputError) as caught:
        READERS[reader](path)
    assert str(caught.value) == line


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_refused_at_once(reader: str) -> None:
    os.mkfifo("pipe")
    Path("folder").mkdir()
    refused(reader, Path("pipe"), "pipe: expected a regular file, got a pipe")
    refused(reader, Path("folder"), "folder: expected a regular file, got a folder")
    refused(reader, Path("/dev/zero"), "/dev/zero: expected a regular file, got a device")
    refused(reader, Path("none"), "none: expected a regular file, got: No such file or directory")
    refused(reader, Path("a\0b"), "a\0b: expected a regular file, got: embedded null byte")
    refused(reader, Path("n" * 300), f"{'n' * 300}: expected a regular file, got: File name too long")


@pytest.mark.parametrize("flag", ["-mat", "-hkl", "-img", "-mask", "-sourcefile", "-stol", "--fdump"])
def test_a_flag_that_names_no_regular_file_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("pipe")
    for name, got in (("pipe", "got a pipe"), ("/dev/null", "got a device"), (".", "got a folder")):
        assert main([*SMALL.split(), flag, name]) == 2
        assert capsys.readouterr() == ("", f"nanobragg_torch: {flag} {name}: expected a file, {got}\n")
    for name in ("none", "n" * 300, "a\0b"):
        assert main([*SMALL.split(), flag, name]) == 2
        shown = name.replace("\0", "\\x00")
        assert capsys.readouterr() == ("", f"nanobragg_torch: {flag} {shown}: expected a file, found none in .\n")


@pytest.mark.parametrize("reader", TEXTS)
def test_bytes_0_are_no_text(reader: str) -> None:
    Path("x").write_bytes(b"1 2 3 4\n1 2 3 4\n1 2\0 3 4\n")
    refused(reader, Path("x"), "x:3: expected text, got a byte 0: a binary file?")


@pytest.mark.parametrize("reader", TEXTS)
def test_a_text_that_does_not_fit_is_not_read(reader: str) -> None:
    with Path("x").open("wb") as stream:
        stream.truncate(1 << 42)
    with pytest.raises(
        DoesNotFit, match=r"^x, 4398046511104 bytes: needs \d+\.\d GiB of memory, there are \d+.* [MG]iB$"
    ):
        READERS[reader](Path("x"))


def test_a_dump_that_does_not_fit_is_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("Fdump.bin").open("wb") as stream:
        stream.write(b"0 1288 0 1288 0 1288\n\f")
        stream.truncate(22 + 8 * 1290**3)
    assert fdump_cells(Path("Fdump.bin")) == 1290**3
    if limit().bytes > 60 * 2**30:
        pytest.skip("it fits into this machine's memory")
    assert main(SMALL.split()) == 4
    assert re.search(
        r"^nanobragg_torch: does not fit, nothing was started: memory plan: .* GiB grid .*; there are \d+",
        capsys.readouterr().err,
        re.MULTILINE,
    )
    assert [path.name for path in Path().iterdir()] == ["Fdump.bin"]


def test_a_list_whose_box_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("l").write_text("0 0 0 1\n1199 1199 1199 1\n")
    monkeypatch.setattr("nanobragg_torch.io.room.limit", lambda: Limit(20 << 30, "host", 20 << 30))
    with pytest.raises(DoesNotFit) as caught:
        loaded(parse([*["-cell", "50", "50", "50", "90", "90", "90", "-hkl", "l"]]))
    expected = "l: a grid of 1201 x 1201 x 1201 structure factors: needs 38.7 GiB of memory, there are 16.0 GiB"
    assert str(caught.value) == expected
    for text, box in (
        ("0 0 0 1\n1999999 1999 1 1\n", "(2000000, 2000, 2)"),
        ("0 0 0 1\n999999999 0 0 1\n", "(1000000000, 1, 1)"),
    ):
        Path("l").write_text(text)
        refused("list", Path("l"), f"l: expected indices of one crystal, got a box of {box} indices")
    for index in ("1000000000", "-9223372036854775808", "99999999999999999999"):
        Path("l").write_text(f"0 0 0 1\n{index} 0 0 1\n")
        refused("list", Path("l"), f"l:2: expected h k l F (three integers and a number), got '{index} 0 0 1'")


@pytest.mark.parametrize(
    "text", ["1_0", "\u0661", "1\u0660", " 1", "1\n", "nan", "inf", "1e999", "0x10", "1e", "", "+", ".", "1d3", "1,5"]
)
def test_what_is_no_number(text: str) -> None:
    assert number(text) is None


def test_what_is_a_number() -> None:
    assert [number(x) for x in ("1", "-1.", "+.5", "1e-10", "1E+3", "007", "1e-999")] == [1, -1, 0.5, 1e-10, 1e3, 7, 0]


@pytest.mark.parametrize("word", ["1_0", "\u0661", "nan", "1e999", "0x1"])
def test_a_matrix_of_other_numbers_is_refused(word: str) -> None:
    Path("A.mat").write_text(f"1 0 0\n0 1 0\n0 0 {word}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"^A.mat:3: expected a number \(9 of 9\), got '.*'$"):
        read_matrix(Path("A.mat"))


# Reflection lists


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("# h k l F", "; --quirk Q10=off skips # comments and further columns"),
        ("1 2 3 4 # strong", "; --quirk Q10=off skips # comments and further columns"),
        ("1 2 3 4 0.5", "; --quirk Q10=off skips # comments and further columns"),
        ("1.0 2 3 4", "; --quirk Q11=off takes 1.0 for 1"),
        (
            "1.0 2 3 4 0.5",
            "; --quirk Q10=off skips # comments and further columns; --quirk Q11=off takes 1.0 for 1",
        ),
    ],
)
def test_a_line_that_a_switch_would_read_names_the_switch(line: str, hint: str) -> None:
    Path("l").write_text(f"{line}\n1 2 3 4\n")
    start = f"l:1: expected h k l F (three integers and a number), got {line!r}{hint}"
    refused("list", Path("l"), f"{start}; --mode c-parity reads as the reference does")
    off = frozenset(re.findall("Q1[01]", hint))
    assert read_hkl(Path("l"), Quirks(off=off, chosen=off)).hkl[-1].tolist() == [1, 2, 3]


@pytest.mark.parametrize("separator", ["\xa0", "\x1c", "\x85"])
def test_blanks_are_those_of_the_reference(separator: str) -> None:
    Path("l").write_text(f"1{separator}2 3 4\n", encoding="latin-1")
    with pytest.raises(InputError, match=r"^l:1: expected h k l F"):
        read_hkl(Path("l"))


# Source files


GOOD = "-10 0 0 1 1e-10\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# X Y Z w l\n" + GOOD, "s:1: expected sources (X Y Z weight wavelength), got '# X Y Z w l'{hint}"),
        (GOOD + "# end\n", "s:2: expected sources (X Y Z weight wavelength), got '# end'{hint}"),
        (GOOD + "-10 0 0.1", "s:2: expected sources (X Y Z weight wavelength), got '-10 0 0.1'{hint}"),
        ("-10 0 0.1\r\n" + GOOD, "s:1: expected sources (X Y Z weight wavelength), got '-10 0 0.1'{hint}"),
        (GOOD + "\r\n", "s:2: expected sources (X Y Z weight wavelength), got ''{hint}"),
        (GOOD + "  ", "s:2: expected sources (X Y Z weight wavelength), got ''{hint}"),
        ("x y z\n", "s:1: expected sources (X Y Z weight wavelength), got 'x'"),
        ("-10 0 nan\n", "s:1: expected sources (X Y Z weight wavelength), got 'nan'"),
        ("-10 inf 0\n", "s:1: expected sources (X Y Z weight wavelength), got 'inf'"),
        ("-1_0 0 0\n", "s:1: expected sources (X Y Z weight wavelength), got '-1_0'"),
        ("0 0 0 1 1e-10\n", "s:1: expected a position X Y Z in some direction, got 0 0 0"),
        ("1e200 0 0\n", "s:1: expected a position X Y Z in some direction, got 1e200 0 0"),
        ("-10 0 0 1 0\n", "s:1: expected a wavelength above 0 m, got 0"),
        ("-10 0 0 1 -1e-10\n", "s:1: expected a wavelength above 0 m, got -1e-10"),
        ("-10 0 0 1 0.9768\n", "s:1: expected a wavelength in metres, such as 1e-10, got 0.9768: in Angstrom?"),
        (GOOD + "-10 0 0 1 12.7\n", "s:2: expected a wavelength in metres, such as 1e-10, got 12.7: in Angstrom?"),
        ("-10 0 0 1 1e-40\n", "s:1: expected a wavelength in metres, such as 1e-10, got 1e-40: in Angstrom?"),
    ],
)
def test_a_source_file_that_is_misread_or_impossible_is_refused(
    text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it is by default; without Q12 what is only written otherwise is read."""
    Path("s").write_bytes(text.encode())
    hint = "; --quirk Q12=off skips # comments and takes any line end; --mode c-parity reads as the reference does"
    assert main([*SMALL.split(), "-sourcefile", "s"]) == 2
    assert capsys.readouterr() == ("", f"nanobragg_torch: {line.format(hint=hint)}\n")
    assert [path.name for path in Path().iterdir()] == ["s"]
    off = Quirks(off=frozenset({"Q12"}))
    if "{hint}" in line:
        assert {row[4] for row in read_sources(Path("s"), off).rows} <= {1e-10, None}
    else:
        with pytest.raises(InputError, match=re.escape(line)):
            read_sources(Path("s"), off)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "-10,0;0:1 1e-10\n",
        "-10 0 0\n\n  \n-10 0 0 2\n",
        "-10 0 0 1 1e-10 beam 1\n",
        "-10 0 0 1 1e-10\r\n",
        "-10 0 0 1 1e-10",
    ],
)
def test_what_everyone_reads_alike_is_read(text: str) -> None:
    Path("s").write_bytes(text.encode())
    rows = read_sources(Path("s")).rows
    assert rows == read_sources(Path("s"), Quirks(off=frozenset({"Q12"}))).rows
    assert rows == read_columns(Path("s"), "", 5)
    assert rows[0][:3] == (-10.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("weights", "shown"), [((0, 0), "0 0"), ((1, -0.5), "1 -0.5"), ((1e308, 1e308), "1e+308 1e+308")]
)
def test_weights_that_cannot_be_are_refused_where_they_count(weights: tuple[float, float], shown: str) -> None:
    Path("s").write_text("".join(f"-10 {i} 0 {weight}\n" for i, weight in enumerate(weights)))
    flags = [*SMALL.split(), "-sourcefile", "s", "--mode"]
    with pytest.raises(InputError) as caught:
        simulate(parse([*flags, "spec"]), device="cpu", dtype=torch.float64)
    assert str(caught.value) == f"s: expected weights of at least 0, not all of them 0, got {shown}"
    assert simulate(parse([*flags, "c-parity"]), device="cpu", dtype=torch.float64).max() > 0


def test_what_comes_of_sources_read_as_the_reference_does_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s").write_text("# two\n-10 0 0 1 0.9\n-10 0 0 2 1e-10\n")
    assert main([*SMALL.split(), "-sourcefile", "s", "--mode", "c-parity"]) == 0
    said = [line.removeprefix("nanobragg_torch: warning: ") for line in capsys.readouterr().err.splitlines()]
    assert [line for line in said if line.startswith("s: ")] == [
        "s: 1 of 3 sources have the wavelength 0: pixels are NaN (Q12)",
        "s: 1 of 3 sources are at 0 0 0, in no direction (Q12)",
        "s: a wavelength of 0.9 is taken for metres (Q12)",
        "s: the weights have no effect, all sources count the same (Q13)",
    ]


# Dumps


def test_a_dump_whose_first_bytes_are_eaten_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    values = np.full((3, 3, 3), np.frombuffer(b"\x20\x0a\x00\x00\x00\x00\xf0\x3f", "<f8")[0])
    Path("Fdump.bin").write_bytes(b"".join(fdump_pieces(values, (0, 0, 0), (2, 2, 2))))
    dump = read_fdump(Path("Fdump.bin"), skip_white_space=True)
    assert dump.warning == (
        "Fdump.bin: 2 bytes of the first F look like white space and are skipped, so that every F is misread, as in the"
        " reference (Q22); --quirk Q22=off reads them right"
    )
    assert main([*SMALL.split(), "-nointerpolate"]) == 0
    assert f"warning: {dump.warning}\n" in capsys.readouterr().err
    right = read_fdump(Path("Fdump.bin"), skip_white_space=False)
    assert right.warning == ""
    assert np.array_equal(right.F, values)


@pytest.mark.parametrize("skip", [True, False])
def test_a_torn_or_impossible_dump_is_refused(skip: bool) -> None:
    whole = b"".join(fdump_pieces(np.ones((3, 3, 3)), (0, 0, 0), (2, 2, 2)))
    broken = np.ones((3, 3, 3))
    broken[1, 1, 1] = np.nan
    for data, message in (
        (whole[:-9], "expected 27 numbers of 8 bytes after the header, got 207 bytes"),
        (b"", "expected six integers (lowest and highest h, k, l), got b''"),
        (b"5 1 0 0 0 0\n\f", "expected indices of one crystal, got a box of (-3, 1, 1) indices"),
        (b"0 999999999 0 0 0 0\n\f", "expected indices of one crystal, got a box of (1000000000, 1, 1) indices"),
        (
            b"".join(fdump_pieces(broken, (0, 0, 0), (2, 2, 2))),
            "expected finite structure factors, got 1 that are not",
        ),
    ):
        Path("d").write_bytes(data)
        with pytest.raises(InputError, match=f"^d: {re.escape(message)}$"):
            read_fdump(Path("d"), skip_white_space=skip)


# SMV


def smv(name: str, pixels: np.ndarray, **fields: object) -> None:
    slow, fast = pixels.shape
    words = {"SIZE1": fast, "SIZE2": slow, "PIXEL_SIZE": 0.2} | fields
    Path(name).write_bytes(smv_header([(key, str(value)) for key, value in words.items()]) + pixels.tobytes())


ONES = np.zeros((64, 64))
ONES[16:48] = 1
KINDS = [
    ("unsigned_short", "u2"), ("signed_short", "i2"), ("short", "i2"), ("signed_long", "i4"), ("long", "i4"),
    ("unsigned_long", "u4"), ("int", "i4"), ("float", "f4"), ("double", "f8"), ("unsigned_char", "u1"),
    ("signed_char", "i1"),
]  # fmt: skip
MASKED = "-cell 50 60 70 80 90 100 -N 2 -oversample 1 -nonoise -nopgm -default_F 10 -lambda 1 -nointerpolate"


@pytest.mark.parametrize("mode", ["c-parity", "spec"])
@pytest.mark.parametrize("order", ["little_endian", "big_endian"])
@pytest.mark.parametrize(("kind", "code"), KINDS)
def test_a_mask_of_any_type_renders_the_rows_that_it_names(
    kind: str, code: str, order: str, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    smv("mask.img", ONES.astype(("<" if order == "little_endian" else ">") + code), TYPE=kind, BYTE_ORDER=order)
    header = read_smv(Path("mask.img"))
    assert np.array_equal(read_pixels(header), ONES)
    assert main([*MASKED.split(), "-mask", "mask.img", "--mode", mode]) == 0
    image = np.fromfile("floatimage.bin", "<f4").reshape(64, 64)
    assert np.flatnonzero(image.any(axis=1)).tolist() == list(range(16, 48))
    warning = f"mask.img: pixels are {kind}, as TYPE says; the reference reads any mask as 16-bit words"
    assert (warning in capsys.readouterr().err) is (code not in ("u2", "i2"))


@pytest.mark.parametrize(
    "fields", [{}, {"TYPE": "mad"}, {"TYPE": "mad", "Data_type": "unsigned short int", "COMPRESSION": "None"}]
)
def test_a_header_that_names_no_type_means_16_bits(fields: dict[str, str]) -> None:
    smv("m", ONES.astype("<u2"), **fields)
    assert read_smv(Path("m")).dtype == np.dtype("<u2")
    assert np.array_equal(read_pixels(read_smv(Path("m"))), ONES)


def test_a_d_trek_header_has_its_type_elsewhere() -> None:
    smv("m", ONES.astype(">i4"), TYPE="mad", Data_type="long int", BYTE_ORDER="big_endian")
    assert read_smv(Path("m")).dtype == np.dtype(">i4")
    assert np.array_equal(read_pixels(read_smv(Path("m"))), ONES)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"TYPE": "complex"}, "m: expected a TYPE of pixels (unsigned_char, signed_char, unsigned_short, signed_short,"
         " unsigned_int, signed_int, float, double), got complex"),
        ({"BYTE_ORDER": "middle"}, "m: expected BYTE_ORDER=little_endian or big_endian, got middle"),
        ({"COMPRESSION": "BS1"}, "m: expected pixels without compression, got bs1"),
        ({"TYPE": "signed_long"}, "m: expected 64 x 64 pixels of 4 bytes, got 8192 bytes"),
    ],
)  # fmt: skip
def test_pixels_that_have_no_name_are_refused(
    fields: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    smv("m", ONES.astype("<u2"), **fields)
    assert main([*MASKED.split(), "-mask", "m"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"nanobragg_torch: {message}"
    assert [path.name for path in Path().iterdir()] == ["m"]


def test_a_mask_of_nan_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    smv("m", np.where(ONES, 1, np.nan).astype("<f4"), TYPE="float")
    assert main([*MASKED.split(), "-mask", "m"]) == 2
    assert "m: expected 0 or a number in every pixel of a mask, got NaN\n" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["-img", "-mask"])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"SIZE1": "1e300"}, "expected SIZE1 as a whole number of 1 to 2147483647, got 1e+300"),
        ({"SIZE1": "1e999"}, "expected SIZE1 as a whole number of 1 to 2147483647, got inf"),
        ({"SIZE2": "-5"}, "expected SIZE2 as a whole number of 1 to 2147483647, got -5"),
        ({"SIZE2": "4.5"}, "expected SIZE2 as a whole number of 1 to 2147483647, got 4.5"),
        ({"SIZE2": "many"}, "expected SIZE2 as a number, got 'many'"),
    ],
)
def test_sizes_that_no_image_has(
    fields: dict[str, str], message: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    smv("x.img", ONES.astype("<u2"), **fields)
    assert main([*MASKED.split(), flag, "x.img"]) == 2
    assert capsys.readouterr() == ("", f"nanobragg_torch: x.img: {message}\n")


@pytest.mark.parametrize("flag", ["-img", "-mask"])
@pytest.mark.parametrize(
    ("value", "got"), [("6e9", "6e+09"), ("-1", "-1"), ("0", "0"), ("512.5", "512.5"), ("1e999", "inf")]
)
def test_headers_of_lengths_that_no_header_has(
    value: str, got: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("x.img").open("wb") as stream:
        stream.write(f"{{\nHEADER_BYTES={value};\nSIZE1=64;\nSIZE2=64;\n}}\f".encode())
        stream.truncate(6_000_000_000 + 2 * 64 * 64)
    assert main([*MASKED.split(), flag, "x.img"]) == 2
    expected = f"x.img: expected HEADER_BYTES as a whole number of 1 to 1048576, got {got}"
    assert capsys.readouterr() == ("", f"nanobragg_torch: {expected}\n")


def test_quirks_that_were_asked_for() -> None:
    flags = ["-cell", "50", "-default_F", "1"]
    assert parse(flags).quirks.strict("Q10", "Q11")
    assert parse([*flags, "--mode", "c-parity"]).quirks.chosen == set(IDS)
    only = parse([*flags, "--quirk", "Q12=on"]).quirks
    assert (only.strict("Q10", "Q11"), only.strict("Q12")) == (True, False)
    assert not parse([*flags, "--quirk", "Q12=off"]).quirks.strict("Q12")
