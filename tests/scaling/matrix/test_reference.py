"""The live reference, with a stand-in program that repeats what a golden run recorded."""

import hashlib
import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tools.scaling import cli
from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.base.repo import digest
from tools.scaling.cases.case import Case, find_case
from tools.scaling.matrix.judge import MatrixOutcome
from tools.scaling.matrix.reference import case_of, find_binary, record_reference
from tools.scaling.matrix.run import GOLDEN, matrix_cases, run_case, run_matrix

# Finds the golden case of its flags, prints its trace among other lines, writes its image on the whole detector.
STAND_IN = r"""
import json, os, pathlib, shlex, signal, sys, time
argv = sys.argv[1:]
mode = os.environ.get("STAND_IN", "")
def value(flag, count=1):
    at = argv.index(flag)
    return argv[at + 1 : at + 1 + count]
for path in pathlib.Path(GOLDEN).glob("*/case.json"):
    record = json.loads(path.read_text())
    flags = shlex.split(record["flags"])
    if argv[: len(flags)] == flags:
        break
else:
    sys.exit("no such case: " + shlex.join(argv))
if seen := os.environ.get("STAND_IN_SEEN"):
    report = {"argv": argv, "files": sorted(os.listdir()), "threads": os.environ.get("OMP_NUM_THREADS")}
    report["taps"] = [name for name in os.environ if name.startswith("TRACE_C")]
    with open(seen, "a") as stream:
        stream.write(json.dumps(report) + "\n")
print("nanoBragg nanocrystal diffraction simulator - stand-in")
slow, fast = value("-trace_pixel", 2)
if mode == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if mode == "hang":
    time.sleep(600)
if mode == "mute":
    os._exit(0)
if mode == "flood":
    while True:
        os.write(1, b"TRACE_C: F_cell 1\\n" * 4096)
if mode == "flood stderr":
    while True:
        os.write(2, b"x" * 65536)
if mode == "stdin":
    sys.exit(f"read {len(sys.stdin.read())} characters")
if mode == "stays" and os.fork() == 0:
    os.setsid()
    time.sleep(600)
if mode == "fail":
    print("ERROR: could not open file", file=sys.stderr)
    sys.exit(9)
print((path.parent / "facts.txt").read_text(), end="")
log = (path.parent / f"trace_{slow}_{fast}.log").read_text()
axes = [log.split(f"TRACE_C:{v}det_after_twotheta=")[1].splitlines()[0] for v in "fso"]
names = ("FAST_AXIS", "SLOW_AXIS", "NORMAL_AXIS")
bare = "".join(f"DETECTOR_{name} {axis}\n" for name, axis in zip(names, axes))
final = log.split("TRACE_C:odet_after_twotheta=")[1].splitlines()[0]
log = log.replace(f"TRACE_C:odet_after_twotheta={final}\n", f"TRACE_C:odet_after_twotheta={final}\n{bare}", 1)
pix0 = log.split("TRACE_C: pix0_vector_meters ")[1].splitlines()[0]
log = log.replace("TRACE_CONFIG", f"DETECTOR_PIX0_VECTOR {pix0}\nTRACE_CONFIG", 1)
if mode == "other pixel":
    log = log.replace(f"spixel={slow}", f"spixel={int(slow) + 1}")
if mode == "torn":
    log = log.replace("TRACE_C: F_cell", "WARNING: turning off interpolation TRACE_C: F_cell")
if mode == "silent":
    log = log[: log.index("TRACE_CONFIG")]
if mode != "uninstrumented":
    print(log, end="")
size = [int(value(f)[0]) if f in argv else int(value("-detpixels")[0]) for f in ("-detpixels_x", "-detpixels_y")]
roi = [int(x) for x in value("-roi", 4)] if "-roi" in argv else [0, size[0] - 1, 0, size[1] - 1]
crop = (path.parent / "float.bin").read_bytes()
image = bytearray(4 * size[0] * size[1])
width = 4 * (roi[1] - roi[0] + 1)
for row in range(roi[3] - roi[2] + 1):
    at = 4 * (size[0] * (roi[2] + row) + roi[0])
    image[at : at + width] = crop[row * width : (row + 1) * width]
if mode == "short":
    image = image[:-4]
if mode == "other image":
    image[-1] ^= int(slow) & 1
if mode != "no image":
    pathlib.Path(value("-floatfile")[0]).write_bytes(image)
pathlib.Path("Fdump.bin").write_bytes(b"what a second run must not see")
for flag, name in (("-intfile", "int.img"), ("-pgmfile", "image.pgm"), ("-noisefile", "noise.img")):
    if flag in argv and value(flag)[0] != os.devnull:
        pathlib.Path(value(flag)[0]).write_bytes((path.parent / name).read_bytes())
"""


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "nanoBragg"
    path.write_text(f"#!{sys.executable}\nGOLDEN = {str(GOLDEN)!r}\n{STAND_IN}")
    path.chmod(0o755)
    return path


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict]]:
    """What the stand-in was started with, run by run."""
    monkeypatch.setenv("STAND_IN_SEEN", str(tmp_path / "seen"))
    return lambda: [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]


def test_a_recorded_case_is_a_golden_case(binary: Path, tmp_path: Path, seen) -> None:
    out = record_reference(find_case("matrix_and_cell"), tmp_path / "mine", binary)
    golden = GOLDEN / "matrix_and_cell"
    assert sorted(path.name for path in out.iterdir()) == [
        "A.mat", "case.json", "facts.txt", "float.bin", "p1.hkl", "sha256.txt", "trace_20_20.log", "trace_33_12.log",
    ]  # fmt: skip
    assert (out / "float.bin").read_bytes() == (golden / "float.bin").read_bytes()
    assert (out / "facts.txt").read_bytes() == (golden / "facts.txt").read_bytes()
    for name in ("trace_20_20.log", "trace_33_12.log"):
        lines = (out / name).read_bytes().decode("ascii").splitlines()
        recorded = (golden / name).read_text().replace("\u2190", "<-").splitlines()
        assert [line for line in lines if not line.startswith("DETECTOR_")] == recorded
        assert len(lines) == len(recorded) + 4
    record = json.loads((out / "case.json").read_text())
    assert record["flags"].split() == json.loads((golden / "case.json").read_text())["flags"].split()
    assert record["traced_pixels_slow_fast"] == [[20, 20], [33, 12]]
    assert record["reference"]["sha256"] == hashlib.sha256(binary.read_bytes()).hexdigest()
    assert record["reference"]["banner"] == "nanoBragg nanocrystal diffraction simulator - stand-in"
    assert {"platform", "machine", "libc", "versions", "threads"} <= record["reference"].keys()
    manifest = dict(reversed(line.split("  ")) for line in (out / "sha256.txt").read_text().splitlines())
    assert manifest == {path.name: digest(path) for path in out.iterdir() if path.name != "sha256.txt"}


def test_every_run_is_clean_and_in_one_thread(binary: Path, tmp_path: Path, seen, monkeypatch) -> None:
    monkeypatch.setenv("TRACE_C_TAP5", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    case = find_case("matrix_and_cell")
    record_reference(case, tmp_path / "mine", binary)
    assert len(seen()) == 2
    for run, pixel in zip(seen(), case.pixels):
        assert run["threads"] == "1"
        assert run["files"] == ["A.mat", "p1.hkl"]
        assert run["taps"] == []
        assert tuple(run["argv"][: len(case.flags)]) == case.flags
        assert run["argv"][len(case.flags) :] == [
            "-noprogress", "-floatfile", "float.bin", "-nonoise", "-nopgm", "-intfile", "/dev/null",
            "-trace_pixel", str(pixel[0]), str(pixel[1]),
        ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "nanoBragg", "seen"]


def test_a_recording_with_a_region_and_images_keeps_them(binary: Path, tmp_path: Path) -> None:
    out = record_reference(find_case("images_overload_roi"), tmp_path / "mine", binary)
    golden = GOLDEN / "images_overload_roi"
    for name in ("float.bin", "int.img", "image.pgm", "noise.img"):
        assert (out / name).read_bytes() == (golden / name).read_bytes()
    assert find_case(str(out)).images == ("int.img", "image.pgm", "noise.img")


def test_a_torn_line_is_kept_and_read(binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "torn")
    out = record_reference(find_case("cubic_mosflm"), tmp_path / "mine", binary)
    assert "turning off interpolation TRACE_C: F_cell" in (out / "trace_0_0.log").read_text()


def test_the_matrix_compares_with_the_live_reference_at_once(binary: Path, seen) -> None:
    found = run_matrix(matrix_cases(["images_overload_roi", "tilted_twotheta"]), binary=binary)[0]
    assert [case.problems for case in found.cases] == [(), ()]
    assert [case.image.pixels for case in found.cases if case.image] == [837, 4096]
    # with the four DETECTOR_ lines that golden logs lack, twelve numbers more in each trace
    assert [case.numbers for case in found.cases] == [183 + 12, 549 + 36]
    assert len(seen()) == 1 + 3


def test_a_live_reference_that_differs_fails(binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = binary.read_text().replace('print(log, end="")', 'print(log.replace("F_cell 100", "F_cell 101"), end="")')
    binary.write_text(text)
    result = run_case(find_case("cubic_mosflm"), binary=binary)[0]
    assert result.outcome is MatrixOutcome.FAIL
    assert result.problems[0].startswith("trace 32 32: F_cell: expected 101, got 100: relative -9.90e-03")


def test_a_live_reference_without_a_trace_is_compared_by_its_image(
    binary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STAND_IN", "uninstrumented")
    words = ["matrix", "images_low_counts", "--live", "--binary", str(binary)]
    assert cli.main(words) == 0
    line = "PASS     images_low_counts                 0 numbers, worst -; 0 of 1600 pixels differ"
    assert capsys.readouterr().out.splitlines()[1] == line
    assert cli.main([*words, "--mode", "spec"]) == 1
    said = capsys.readouterr().out
    assert "    FAIL: float image: 1600 of 1600 pixels are not bitwise equal, at most 0.1% may be" in said
    assert "    diagnosis: The reference is as ours (--mode spec) with " in said


@pytest.mark.parametrize(
    ("mode", "error", "line"),
    [
        ("crash", BadInput, r"nanoBragg: crashed with SIGSEGV, expected a run to its end"),
        ("fail", BadInput, r"nanoBragg: exit code 9, expected a run to its end: ERROR: could not open file"),
        (
            "uninstrumented",
            Unavailable,
            r"expected TRACE_C lines \(nanoBragg instrumented, compiled with TRACING\), got n",
        ),
        ("silent", BadInput, r"expected pixel 32 32 traced up to I_pixel_final, got pixel none with 0 of it"),
        ("other pixel", BadInput, r"expected pixel 32 32 traced up to I_pixel_final, got pixel 33 32 with 1 of it"),
        ("short", BadInput, r"expected a float image of 64 x 64 float32, 16384 bytes, got 16380 bytes"),
        ("no image", BadInput, r"expected a float image of 64 x 64 float32, 16384 bytes, got none"),
        ("hang", BadInput, r"nanoBragg: on pixel 32 32: still running after 1 s; stopped"),
        ("flood", BadInput, r"nanoBragg: on pixel 32 32: printed more than 2 MiB, expected a trace; stopped"),
        ("flood stderr", BadInput, r"nanoBragg: on pixel 32 32: printed more than 2 MiB, expected a trace; stopped"),
        ("mute", BadInput, r"expected a float image of 64 x 64 float32, 16384 bytes, got none"),
        ("stdin", BadInput, r"nanoBragg: exit code 1, expected a run to its end: read 0 characters"),
    ],
)
def test_a_program_that_does_not_do_it_is_named_in_one_line(binary, tmp_path, monkeypatch, mode, error, line) -> None:
    monkeypatch.setenv("STAND_IN", mode)
    monkeypatch.setattr("tools.scaling.implementations.run.MOST_PRINTED", 2 * 2**20)
    with pytest.raises(error, match=line) as caught:
        record_reference(find_case("cubic_mosflm"), tmp_path / "mine", binary, timeout=1.0 if mode == "hang" else 60.0)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isascii()
    assert [path.name for path in tmp_path.iterdir()] == ["nanoBragg"]


def test_what_a_program_leaves_running_ends_with_it(binary, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN", "stays")
    record_reference(find_case("cubic_mosflm"), tmp_path / "mine", binary)
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if str(binary) in (process.info["cmdline"] or [])
    ]


def test_two_runs_that_write_different_images_are_refused(binary, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN", "other image")  # by the parity of the slow index
    with pytest.raises(BadInput, match="expected the same image from every run, got 2 different ones"):
        record_reference(find_case("tilted_twotheta"), tmp_path / "mine", binary)
    result = run_case(find_case("tilted_twotheta"), binary=binary)[0]
    assert result.outcome is MatrixOutcome.FAIL
    assert "expected the same image from every run" in result.problems[0]


def test_nothing_is_overwritten(binary: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(BadInput, match="mine: exists already; a recorded case is never overwritten"):
        record_reference(find_case("cubic_mosflm"), tmp_path / "mine", binary)
    with pytest.raises(BadInput, match="expected an existing folder, got none at"):
        record_reference(find_case("cubic_mosflm"), tmp_path / "no" / "mine", binary)


def test_a_binary_is_given_or_in_the_environment(binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NB_C_BIN", raising=False)
    with pytest.raises(
        Unavailable, match="no reference program: expected --binary PATH or NB_C_BIN, got neither"
    ) as caught:
        find_binary()
    assert caught.value.exit_code == 3
    assert find_binary(binary) == binary
    monkeypatch.setenv("NB_C_BIN", str(binary))
    assert find_binary() == binary
    monkeypatch.setenv("NB_C_BIN", str(binary.parent))
    with pytest.raises(Unavailable, match=r"NB_C_BIN .*: expected a compiled nanoBragg that can be run, got none"):
        find_binary()
    binary.chmod(0o644)
    with pytest.raises(Unavailable, match=r"--binary .*: expected a compiled nanoBragg that can be run, got none"):
        find_binary(binary)


def test_flags_of_a_command_line_make_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, binary: Path) -> None:
    flags = find_case("matrix_and_cell").flags
    text = re.sub(r"\b(A\.mat|p1\.hkl)", rf"{os.path.relpath(GOLDEN, tmp_path)}/inputs/\1", shlex.join(flags))
    monkeypatch.chdir(tmp_path)
    case = case_of([f"{text} -nonoise -floatfile x.bin -trace_pixel 33 12"])
    assert case.pixels == ((33, 12),)
    assert case.flags == tuple(shlex.split(text))
    assert case_of(shlex.split(text), [(20, 20)]).pixels == ((20, 20),)
    assert case_of(shlex.split(text)).pixels == ((20, 20),)  # the middle of 40 x 40
    out = record_reference(case, tmp_path / "mine", binary)
    assert find_case(str(out)).flags == flags
    assert run_case(find_case(str(out)))[0].outcome is MatrixOutcome.PASS


def test_a_case_by_name_keeps_its_pixels_and_images() -> None:
    assert case_of(["images_low_counts"]).images == ("int.img", "image.pgm", "noise.img")
    assert case_of(["cubic_mosflm"]).pixels == ((32, 32), (10, 50), (0, 0))
    assert case_of(["cubic_mosflm"], [(1, 2)]).pixels == ((1, 2),)
    flags = find_case("supervisor").flags
    assert case_of(["supervisor"]).flags == tuple(flag for flag in flags if flag != "-nonoise")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "expected a case or the flags of nanoBragg, got nothing"),
        (["nope"], "nope: expected a folder with case.json"),
        (["cubic_mosflm", "-lambda", "1"], "expected one case or flags that begin with -, got cubic_mosflm -lambda 1"),
        (["-default_F 1 -lambda"], "expected -mat FILE or -cell A B C ALPHA BETA GAMMA, got neither"),
        (["-cell 10 10 10 90 90 90 -default_F 1 -trace_pixel 3"], "-trace_pixel: expected SLOW FAST, got 3"),
        (["-cell 10 10 10 90 90 90 -hkl none.hkl"], "-hkl none.hkl: expected a file, found none in"),
    ],
)
def test_wrong_words_are_named(words: list[str], line: str) -> None:
    with pytest.raises(BadInput, match=re.escape(line)):
        case_of(words)


def test_two_inputs_of_one_name_are_refused(tmp_path: Path, binary: Path) -> None:
    for folder, text in (("one", "1 0 0 5\n"), ("two", "0 1 0 5\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "F.hkl").write_text(text)
    flags = shlex.split("-cell 10 10 10 90 90 90 -detpixels 8 -hkl one/F.hkl -sourcefile two/F.hkl")
    case = Case("clash", tmp_path, tuple(flags), ((1, 1),), None, {})
    with pytest.raises(
        BadInput, match=r"-sourcefile two/F\.hkl: expected input files of different names, got two F\.hkl"
    ):
        record_reference(case, tmp_path / "mine", binary)
