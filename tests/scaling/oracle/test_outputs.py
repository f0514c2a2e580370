"""What the reference writes of an image, in plain Python: against what it wrote, and against the port's files."""

import math
import random
import struct

import numpy as np
import pytest
import torch

from nanobragg_torch.cli.facts import result_lines
from nanobragg_torch.config import Config
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.products.outputs import make_outputs
from nanobragg_torch.products.statistics import statistics
from nanobragg_torch.scan import simulate
from nanobragg_torch.scan.experiment import prepare
from tools.scaling.cases.case import SHIPPED, find_case
from tools.scaling.oracle.uncovered import Uncovered
from tools.scaling.oracle.writing.outputs import expected_files, expected_lines, unlike

GOLDEN = SHIPPED[1]
INPUTS = GOLDEN / "inputs"
WRITTEN = {"int.img": "intimage.img", "image.pgm": "image.pgm", "noise.img": "noiseimage.img"}
BASE = "-cell 50 60 70 80 90 100 -default_F 10 -N 4 -distance 100 -detpixels_x 9 -detpixels_y 8 -pixel 2 -seed 1"
SMALL = sorted(path.parent.name for path in GOLDEN.glob("*/float.bin") if path.stat().st_size < 10_000)


def golden(name: str) -> tuple[Config, list[list[float]]]:
    config = loaded(parse(find_case(name).flags, [INPUTS]))
    detector, roi = config.detector, config.detector.rendered
    image = np.zeros((detector.pixels_slow, detector.pixels_fast), np.float32)
    window = image[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1]
    window[:] = np.fromfile(GOLDEN / name / "float.bin", "<f4").reshape(window.shape)
    return config, image.tolist()


@pytest.mark.parametrize("name", ["images_low_counts", "images_mid_counts", "images_overload_roi"])
def test_the_files_are_those_that_the_reference_wrote(name: str) -> None:
    found = expected_files(*golden(name))
    for written, file in WRITTEN.items():
        assert unlike(file, found[file], (GOLDEN / name / written).read_bytes()) == ""


def test_the_lines_are_those_that_the_reference_printed() -> None:
    assert len(SMALL) > 15
    for name in SMALL:
        recorded = (GOLDEN / name / "facts.txt").read_text(encoding="utf-8").splitlines()
        assert expected_lines(*golden(name)) == recorded[-2:], name


def some(seed: int) -> str:
    """Flags that decide over the files of an image, each there or not."""
    r = random.Random(seed)
    flags = [
        f"-seed {r.choice([1, 5, -5, 0])}",
        f"-adc {r.choice([0, 40.5, -10, 1e5, 65535.3, -1e12])}",
        f"-scale {r.choice([1, 0, -3, 1e-3, 1e30])}",
        f"-pgmscale {r.choice([1, 0, 1e-3, 1e30])}",
        f"-mosaic 1 -mosaic_dom 3 -mosaic_seed {r.choice([1, -5, 0])}",
        f"-misset random -misset_seed {r.choice([3, -3])}",
        f"-roi 1 {r.randint(0, 9)} 2 7",
        "--quirk Q43=off",
        "--quirk Q63=on",
        "-phi 7.25 -osc 2",
        "-xds -twotheta 12 -detector_rotz 5",
        "-hkl p1.hkl",
        "-nopgm",
    ]
    return " ".join(flag for flag in flags if r.random() < 0.4)


def made_up(seed: int) -> np.ndarray:
    """Pixels of every regime of the noise."""
    r = np.random.default_rng(seed)
    image = r.exponential(1.0, (8, 9)) * 10.0 ** r.integers(-3, 8, (8, 9))
    return np.where(r.random((8, 9)) < 0.2, r.choice([0.0, -1.5, -1e12, 1e25]), image)


def test_random_images_are_written_as_the_port_writes_them() -> None:
    for seed in range(25):
        config = loaded(parse(f"{BASE} -oversample {seed % 3 + 1} {some(seed)}".split(), [INPUTS]))
        image, roi = made_up(seed), config.detector.rendered
        window = np.zeros_like(image)
        rows = slice(roi.slow_min, roi.slow_max + 1), slice(roi.fast_min, roi.fast_max + 1)
        window[rows] = image[rows]
        run = simulate.start(prepare(config, device="cpu", dtype=torch.float64))
        measured = statistics(run, window)
        files = make_outputs(run, window, measured, config.output.dump_file).files
        expected = expected_files(config, window.tolist())
        assert {str(path) for path in files} == expected.keys()
        for path, pieces in files.items():
            assert unlike(str(path), b"".join(map(bytes, pieces)), expected[str(path)]) == "", some(seed)
        assert result_lines(measured)[1:] == expected_lines(config, window.tolist())


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e39])
def test_a_pixel_that_is_no_finite_float32_is_not_covered(value: float) -> None:
    config = loaded(parse(f"{BASE} -detpixels 2".split()))
    for asked in (expected_files, expected_lines):
        with pytest.raises(Uncovered, match="infinite or no number"):
            asked(config, [[0.0, value], [0.0, 0.0]])


def test_what_is_unlike_is_told_in_one_sentence() -> None:
    head = b"{\nHEADER_BYTES=512;\nSIZE1=3;\nPHI=1;\n}\f".ljust(512)
    right = head + struct.pack("<6H", 1, 2, 3, 4, 5, 6)
    assert unlike("a", right, right) == ""
    assert unlike("a", right.replace(b"PHI=1", b"PHI=2"), right) == (
        "a: line 4 of its header: expected 'PHI=1;', got 'PHI=2;'"
    )
    found = head + struct.pack("<6H", 1, 2, 3, 4, 9, 7)
    assert unlike("a", found, right) == "a: pixel 1 1: expected 5, got 9; 2 of 6 differ"
    assert unlike("a", right[:-2], right) == "a: expected 524 bytes, got 522"
    grey = b"P5\n2 2\n# pixels scaled by 3\n255\n"
    assert unlike("b", grey + b"\0\1\2\4", grey + b"\0\1\2\3") == "b: pixel 1 1: expected 3, got 4; 1 of 4 differ"
    one, two = (b"0 1 0 1 0 1\n\f" + struct.pack("<27d", *[2.0] * 26, last) for last in (1.0, 2.0))
    assert unlike("c", one, two) == "c: number 26: expected 2, got 1; 1 of 27 differ"
    assert unlike("d", b"\0\0\0\0", b"\0\0\x80?") == "d: number 0: expected 1, got 0; 1 of 1 differ"
    assert unlike("d", b"", right) == "d: line 1 of its header: expected '{', got ''"
