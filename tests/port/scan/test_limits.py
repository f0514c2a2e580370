"""What cannot fit, or cannot be, is refused before it starts: one line, an exit code, no file."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nanobragg_torch.cli.main import main
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.scan.advice import of_experiment
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.simulate import simulate

SRC = str(Path(__file__).parents[3] / "src")
BASE = "-cell 50 60 70 80 95 105 -default_F 100 -N 5 -nonoise -nopgm -lambda 1.1 -distance 100 -pixel 2 -oversample 1"


def run(flags: str, folder: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def bound() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    argv = [sys.executable, "-m", "nanobragg_torch", *BASE.split(), *flags.split()]
    env = os.environ | {"PYTHONPATH": SRC}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, preexec_fn=bound, timeout=60)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ("-detpixels 1000000000", 4, "does not fit, nothing was started: memory plan: "),
        ("-detpixels 8 -osc 1 -phisteps 1000000000", 4, "does not fit, nothing was started: memory plan: "),
        ("-detpixels 8 -mosaic 1 -mosaic_dom 1000000000", 4, "does not fit, nothing was started: memory plan: "),
        ("-detpixels 8 -hdivrange 1 -hdivsteps 1000000000", 4, "does not fit, nothing was started: memory plan: "),
        ("-detpixels 8 -osc 360 -phistep 1e-300", 2, "phi steps: expected fewer than 2147483648, got more"),
        ("-detpixels 8 -hdivrange 1 -hdivstep 1e-30", 2, "sources: expected fewer than 2147483648, got 1e+30"),
        ("-detsize 1e300", 2, "detector along fast: expected fewer than 2147483648 pixels"),
        ("-detpixels 32 -oversample 100000", 2, "1.0e+13 terms to sum: expected at most 1e12, a larger"),
        ("-detpixels 8 --max-terms 63", 2, "6.4e+01 terms to sum: expected at most 63, a larger"),
        ("-detpixels 8 --max-terms 0", 2, "--max-terms: expected a number above 0, got '0'"),
        ("-detpixels 8 --threads 100000", 2, "--threads: expected at most 1024, got '100000'"),
        ("-detpixels 8 --device meta", 2, "--device: expected cpu or cuda, got 'meta'"),
        ("-detpixels 8 --device mps", 2, "--device: expected cpu or cuda, got 'mps'"),
        ("-detpixels 8 --device cuda:77", 3, "--device cuda:77: torch sees no "),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    flags: str, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*BASE.split(), *flags.split()]) == code
    said, told = capsys.readouterr()
    errors = [line for line in told.splitlines() if ": warning: " not in line]
    assert len(errors) == 1
    assert errors[0].startswith(f"nanobragg_torch: {message}")
    assert said == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA")
def test_a_small_limit_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    done = run("-detpixels 64", tmp_path, limit=100 * 2**20)
    assert done.returncode == 4, done.stderr
    assert "there are 80 MiB, 80 % of 100 MiB (RLIMIT_DATA)" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_window_of_a_vast_detector_takes_memory_and_disk_of_the_window(tmp_path: Path) -> None:
    """100,000 x 100,000 pixels: 80 GB as a whole, 40 GB of zeros in the float file."""
    done = run("-detpixels 100000 -roi 7 8 5 6 -pgmfile a.pgm", tmp_path)
    if "File too large" in done.stderr:
        pytest.skip("the file system holds no such file")
    assert done.returncode == 0, done.stderr
    names = ["floatimage.bin", "intimage.img"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in (".bin", ".img")) == names
    found = tmp_path / "floatimage.bin"
    assert found.stat().st_size == 4 * 10**10
    assert (tmp_path / "intimage.img").stat().st_size == 512 + 2 * 10**10
    assert found.stat().st_blocks * 512 < 2**20
    config = parse(f"{BASE} -detpixels 100000 -roi 7 8 5 6".split())
    window = simulate(config, device="cpu", dtype=torch.float64, whole=False).float().numpy()
    assert window.shape == (2, 2)
    assert (window > 0).all()
    with found.open("rb") as stream:
        for row, values in zip((5, 6), window):
            stream.seek(4 * (row * 100000 + 6))
            assert stream.read(16) == bytes(4) + values.astype("<f4").tobytes() + bytes(4)


def test_the_window_is_that_of_the_whole_image() -> None:
    for roi in ("0 31 0 31", "3 9 4 31", "0 31 5 6", "40 50 0 3"):
        config = parse(f"{BASE} -detpixels 32 -roi {roi}".split())
        whole = simulate(config, device="cpu", dtype=torch.float64)
        window = simulate(config, device="cpu", dtype=torch.float64, whole=False)
        x, y, low, high = map(int, roi.split())
        assert torch.equal(window, whole[low : high + 1, x : y + 1])
        assert whole.count_nonzero() == window.count_nonzero()


@pytest.mark.parametrize("given", [{"block": 0}, {"threads": -1}, {"threads": 0}])
def test_no_block_and_no_thread_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected block and threads of at least 1"):
        simulate(parse(f"{BASE} -detpixels 4".split()), device="cpu", dtype=torch.float64, **given)


@pytest.mark.parametrize(("cells", "off"), [(50, False), (1000, True)])
def test_float32_says_where_it_does_not_serve(cells: int, off: bool) -> None:
    """The sums of both precisions, and the warning, on both sides of its limit."""
    flags = "-cell 50 50 50 90 90 90 -misset 10 20 30 -default_F 100 -lambda 1 -distance 100 -detpixels 100 -pixel 0.3"
    config = parse(f"{flags} -oversample 1 -N {cells}".split())
    sums = [simulate(config, device="cpu", dtype=dtype).double().sum() for dtype in (torch.float64, torch.float32)]
    assert (abs(float(sums[1] / sums[0]) - 1) > 0.05) is off
    warnings = of_experiment(prepare(config, device="cpu", dtype=torch.float32))
    assert any("float32: phases of the lattice factor are off by about" in line for line in warnings) is off
    assert not any("float32" in line for line in of_experiment(prepare(config, device="cpu", dtype=torch.float64)))


@pytest.mark.skipif(sys.platform != "linux", reason="signals")
def test_an_endless_run_says_how_much_it_sums_and_can_be_interrupted(tmp_path: Path) -> None:
    flags = f"{BASE} -detpixels 64 -detector_thick 1 -thicksteps 1000000000 --max-terms 1e13"
    argv = [sys.executable, "-m", "nanobragg_torch", *flags.split()]
    env = os.environ | {"PYTHONPATH": SRC}
    with subprocess.Popen(
        argv, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline()  # the settings: what comes next is the image
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "4.1e+12 terms are to be summed, which takes hours; Ctrl-C ends it" in errors
    assert errors.endswith("nanobragg_torch: interrupted\n")
    assert not list(tmp_path.iterdir())
