"""python -m nanobragg_torch, as a user meets it."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import GOLDEN, INPUTS, load, parse_log

from nanobragg_torch.cli.main import main

SMALL = "-cell 50 60 70 80 90 100 -default_F 10 -lambda 1 -N 4 -distance 100 -detpixels_x 6 -detpixels_y 5 -pixel 2"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_float_image_is_that_of_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    case = load("gauss_crystal")
    flags = [str(INPUTS / x) if x.endswith(".hkl") else x for x in case.flags]
    assert main([*flags, "-nonoise", "-nopgm", "-noprogress", "-floatfile", "out.bin"]) == 0
    assert np.array_equal(np.fromfile("out.bin", "<f4"), case.image())
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "nanobragg_torch: warning: -gauss_xtal: the width of spots goes by Na Nb Nc and the cell, not by each N (Q24)",
        "nanobragg_torch: warning: -oversample 1: spots are finer than its sub-pixels, 11 would resolve them",
    ]
    recorded = (GOLDEN / case.name / "facts.txt").read_text().splitlines()
    assert [line for line in out.splitlines() if line in recorded] == recorded
    assert out.splitlines()[-1] == "wrote out.bin intimage.img Fdump.bin"
    assert sorted(path.name for path in Path().iterdir()) == ["Fdump.bin", "intimage.img", "out.bin"]


def test_pixels_beyond_float32_are_infinite_and_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main([*SMALL.split(), "-seed", "1", "-fluence", "1e70"]) == 0
    line = "nanobragg_torch: warning: 30 of 30 pixels are infinite or no number, as float32 holds them\n"
    assert capsys.readouterr().err == line
    assert np.isinf(np.fromfile("floatimage.bin", "<f4")).all()


def test_it_runs_as_a_module_and_writes_what_the_reference_writes() -> None:
    src = str(Path(__file__).parents[3] / "src")
    done = subprocess.run(
        [sys.executable, "-m", "nanobragg_torch", *SMALL.split()],
        env={"PYTHONPATH": src},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mosflm convention selected.\npivoting detector around direct beam spot\n")
    sizes = {path.name: path.stat().st_size for path in Path().iterdir()}
    smv = 512 + 6 * 5 * 2
    assert sizes.pop("image.pgm") > 6 * 5
    assert sizes == {"floatimage.bin": 6 * 5 * 4, "intimage.img": smv, "noiseimage.img": smv}


def test_trace_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    main(SMALL.split())
    assert "TRACE" not in capsys.readouterr().out
    assert main([*SMALL.split(), "-trace_pixel", "4", "5"]) == 0
    text = capsys.readouterr().out
    rows = {row.name: row.values for row in parse_log(text, "TRACE_PY")}
    assert rows["lambda_angstroms"] == (1.0,)
    assert "TRACE_CONFIG: tracing pixel (spixel=4, fpixel=5)\n" in text
    assert "TRACE_PY:convention_mapping=Fbeam<-Ybeam_mm(+0.5px),Sbeam<-Xbeam_mm(+0.5px),beam_vec=[1 0 0]\n" in text
    assert text.count("\nDETECTOR_PIX0_VECTOR ") == 1
    assert text.isascii()
    image = np.fromfile("floatimage.bin", "<f4").reshape(5, 6)
    assert rows["floatimage_accumulated"] == (pytest.approx(float(image[4, 5]), rel=1e-14),)


def test_dtype_float32(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL.split(), "-trace_pixel", "1", "1", "--dtype", "float32"]) == 0
    rows = {row.name: row.values for row in parse_log(capsys.readouterr().out, "TRACE_PY")}
    assert rows["distance_m"] == (float(f"{float(np.float32(0.1)):.15g}"),)


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    from nanobragg_torch.flags.table import TABLE

    assert main(["--help"]) == 0
    words = capsys.readouterr().out.split()
    for flag in TABLE:
        assert all(name in words for name in flag.names.split()), flag.names


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("-labmda 1", "nanobragg_torch: -labmda: unknown flag, perhaps -lambda is meant"),
        (
            "-trace_pixel 9 9",
            "nanobragg_torch: pixel slow 9, fast 9: expected one that is rendered, slow 0..4, fast 0..5",
        ),
        ("--dtype half", "nanobragg_torch: --dtype: expected float64 or float32, got 'half'"),
        ("--device tpu9x", "nanobragg_torch: --device: expected cpu or cuda, got 'tpu9x'"),
        ("--device", "nanobragg_torch: --device: expected a value, got nothing"),
        ("-hkl no.hkl", "nanobragg_torch: -hkl no.hkl: expected a file, found none in ."),
        (
            "-floatfile no/out.bin",
            "nanobragg_torch: -floatfile no/out.bin: cannot be written: No such file or directory",
        ),
        ("-noisefile no/n.img", "nanobragg_torch: -noisefile no/n.img: cannot be written: No such file or directory"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(flags: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL.split(), *flags.split()]) == 2
    out, err = capsys.readouterr()
    assert err == line + "\n"
    assert "wrote" not in out
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_cuda_exit_three(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL.split(), "--device", "cuda"]) == 3
    assert capsys.readouterr().err == "nanobragg_torch: --device cuda: torch sees no CUDA device here\n"


def test_an_old_image_survives_a_failed_run(capsys: pytest.CaptureFixture[str]) -> None:
    Path("floatimage.bin").write_bytes(b"old")
    Path("bad.hkl").write_text("H K L F\n0 0 0 1\n")
    assert main([*SMALL.split(), "-hkl", "bad.hkl"]) == 2
    expected = "nanobragg_torch: bad.hkl:1: expected h k l F (three integers and a number), got 'H K L F'\n"
    assert capsys.readouterr().err == expected
    assert Path("floatimage.bin").read_bytes() == b"old"


def test_dev_null_is_opened_as_it_is() -> None:
    assert main([*SMALL.split(), "-floatfile", "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


def test_block_and_threads_change_no_byte(capsys: pytest.CaptureFixture[str]) -> None:
    def run(*settings: str) -> dict[str, bytes]:
        assert main([*flags.split(), *settings]) == 0
        printed = {"stdout": capsys.readouterr().out.encode()}
        return printed | {path.name: path.read_bytes() for path in Path().iterdir()}

    flags = f"{SMALL} -seed 3 -hdivrange 2 -hdivsteps 3 -phisteps 4 -osc 1 -oversample 2 -hkl {INPUTS / 'p1.hkl'}"
    usual = run()
    assert usual.keys() == {"stdout", "floatimage.bin", "intimage.img", "image.pgm", "noiseimage.img", "Fdump.bin"}
    for settings in ("--block 18 --threads 1", "--block 1 --threads 2", "--block=54 --threads=3"):
        assert run(*settings.split()) == usual


def test_pipes_get_their_image_one_after_the_other() -> None:
    """A reader that takes the second pipe only when the first one has ended."""
    for name in ("float", "int"):
        os.mkfifo(name)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.extend(Path(name).read_bytes() for name in ("float", "int")))
    reader.start()
    assert main([*SMALL.split(), "-floatfile", "float", "-intfile", "int", "-nonoise", "-nopgm"]) == 0
    reader.join()
    assert [len(data) for data in found] == [6 * 5 * 4, 512 + 6 * 5 * 2]
    assert Path("float").is_fifo()
    assert Path("int").is_fifo()


def test_an_interrupted_run_leaves_the_old_files() -> None:
    Path("floatimage.bin").write_bytes(b"old")
    os.mkfifo("int")  # nobody reads it: the run waits there, its float image written under a temporary name
    argv = [sys.executable, "-m", "nanobragg_torch", *SMALL.split(), "-intfile", "int"]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 60
        while len(list(Path().iterdir())) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(list(Path().iterdir())) == 3
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, "nanobragg_torch: interrupted\n")
    assert "max_I" not in out
    assert sorted(path.name for path in Path().iterdir()) == ["floatimage.bin", "int"]
    assert Path("floatimage.bin").read_bytes() == b"old"


def test_a_reader_that_leaves_costs_no_image_and_a_full_disk_is_one_line() -> None:
    flags = "-cell 10 10 10 90 90 90 -default_F 1 -lambda 1 -distance 100 -detpixels 20 -N 3 -nonoise -nopgm"
    argv = [sys.executable, "-m", "nanobragg_torch", *flags.split(), "-trace_pixel", "3", "3", "-floatfile"]
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}  # a Python as users have it
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*argv, "a.bin"], stdout=writing, stderr=subprocess.PIPE, text=True, env=buffered)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("a.bin").stat().st_size == 20 * 20 * 4
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*argv, "b.bin"], stdout=full, stderr=subprocess.PIPE, text=True, env=buffered)
    assert done.stderr == "nanobragg_torch: standard output: cannot be written: No space left on device\n"
    assert (done.returncode, Path("b.bin").exists()) == (2, False)
    with Path("/dev/full").open("wb") as full:
        asked = subprocess.run([*argv[:3], "--help"], stdout=full, stderr=subprocess.PIPE, text=True, env=buffered)
    assert (asked.returncode, asked.stderr) == (2, done.stderr)


@pytest.mark.parametrize("name", ["x" * 300, "a\x01b\x1b[31m/y", "loop", "loop/x"])
def test_an_output_that_cannot_be_is_refused_before_the_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("loop").symlink_to("loop")
    assert main([*SMALL.split(), "-floatfile", name]) == 2
    out, err = capsys.readouterr()
    shown = name.replace("\x01", "\\x01").replace("\x1b", "\\x1b")
    assert out == ""
    assert err.startswith(f"nanobragg_torch: -floatfile {shown}: cannot be written: ")
    assert len(err.splitlines()) == 1


def test_a_name_as_long_as_a_file_system_takes_is_written() -> None:
    assert main([*SMALL.split(), "-floatfile", "x" * 255, "-nonoise", "-nopgm"]) == 0
    assert Path("x" * 255).stat().st_size == 4 * 30


def test_an_image_that_shows_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL.split(), "-nonoise", "-nopgm", "-fluence", "0"]) == 0
    assert capsys.readouterr().err == "nanobragg_torch: warning: no pixel is above 0\n"


@pytest.mark.parametrize("text", ["1.0", "2.0"])
def test_a_number_of_threads_may_be_written_with_a_point(text: str) -> None:
    assert main([*SMALL.split(), "-nonoise", "-nopgm", "--threads", text]) == 0
