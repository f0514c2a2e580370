"""Integer, PGM and noise images byte for byte, and what is printed about an image, against the reference."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import CASES, GOLDEN, load

from nanobragg_torch.cli.facts import result_lines, setting_lines
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.io.smv import smv_header
from nanobragg_torch.products.outputs import Outputs, make_outputs
from nanobragg_torch.products.statistics import Statistics, statistics
from nanobragg_torch.scan import simulate
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.summation import Run

FILES = {"int.img": "intimage.img", "image.pgm": "image.pgm", "noise.img": "noiseimage.img"}
SMALL = "-cell 50 60 70 80 90 100 -default_F 10 -N 4 -distance 100 -detpixels_x 6 -detpixels_y 5 -pixel 2 -oversample 1"


def measured(*flags: str) -> tuple[Run, np.ndarray, Statistics]:
    run = simulate.start(prepare(loaded(parse([*SMALL.split(), *flags])), device="cpu", dtype=torch.float64))
    image = simulate.render_image(run).float().numpy()
    return run, image, statistics(run, image)


def contents(outputs: Outputs) -> dict[str, bytes]:
    return {path.name: b"".join(map(bytes, pieces)) for path, pieces in outputs.files.items()}


@cache
def made(name: str) -> tuple[Outputs, dict[str, bytes]]:
    run = simulate.start(prepare(loaded(load(name).config()), device="cpu", dtype=torch.float64))
    image = simulate.render_image(run).numpy()
    outputs = make_outputs(run, image, statistics(run, image))
    return outputs, contents(outputs)


@pytest.mark.parametrize("name", ["images_low_counts", "images_mid_counts", "images_overload_roi"])
@pytest.mark.parametrize("file", FILES)
def test_images_are_those_of_the_reference_byte_for_byte(name: str, file: str) -> None:
    _, files = made(name)
    assert files[FILES[file]] == (GOLDEN / name / file).read_bytes()


def test_the_three_regimes_were_reached() -> None:
    low, mid, high = (load(f"images_{x}").image() for x in ("low_counts", "mid_counts", "overload_roi"))
    assert low.max() < 12 < mid.min()
    assert mid.max() < 1e6 < high.max()
    noise = made("images_overload_roi")[0].noise
    assert noise is not None
    assert noise.overloads == int((high > 65535 - 40).sum()) > 0


@pytest.mark.parametrize("name", CASES)
def test_facts(name: str) -> None:
    """Beam centres, axes, solid angle, maximum, mean, rms: the reference's lines. The image is the golden one."""
    config = load(name).config()
    run = simulate.start(prepare(loaded(config), device="cpu", dtype=torch.float64))
    roi = config.detector.rendered
    image = np.zeros((config.detector.pixels_slow, config.detector.pixels_fast), np.float32)
    window = image[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1]
    window[:] = load(name).image().reshape(window.shape)
    ours = [*setting_lines(run.exp), *result_lines(statistics(run, image))]
    recorded = (GOLDEN / name / "facts.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in ours if line in recorded] == recorded  # not all lines were recorded


def test_an_image_without_a_positive_pixel() -> None:
    run, image, found = measured("-default_F", "0.0", "-hkl", str(GOLDEN / "inputs" / "one.hkl"), "-nointerpolate")
    assert not image.any()
    assert (found.max_I, found.max_fast_m, found.max_slow_m, found.rmsd) == (0.0, 0.0, 0.0, 0.0)
    assert result_lines(found)[-2:] == ["max_I = 0  at 0 0", "mean= 0 rms= 0 rmsd= 0"]
    out = make_outputs(run, image, found)
    files = contents(out)
    assert out.noise is not None
    assert (out.int_scale, out.pgm_scale, out.noise.photons, out.noise.overloads) == (1.0, 1.0, 0.0, 0)
    assert set(np.frombuffer(files["intimage.img"][512:], np.uint16)) == {40}


WIDE = f"{SMALL} -detpixels_x 900 -detpixels_y 331 -roi 7 880 3 300"  # some blocks of rows


def wide(*flags: str) -> tuple[Run, np.ndarray]:
    """An image of made up values, and the run that it might be of."""
    run = simulate.start(prepare(loaded(parse([*WIDE.split(), *flags])), device="cpu", dtype=torch.float64))
    rng = np.random.default_rng(3)
    image = np.zeros((331, 900))
    image[3:301, 7:881] = rng.exponential(30.0, (298, 874)) * (rng.random((298, 874)) < 0.3)
    image[200, 500] = image[250, 9] = 1234.5  # the first of two counts
    return run, image


def test_sums_run_over_all_blocks(tmp_path: Path) -> None:
    keep = np.random.default_rng(4).integers(0, 2, (331, 900)).astype(np.uint16)
    keep[200, 500] = 1
    header = smv_header([("SIZE1", "900"), ("SIZE2", "331")])
    (tmp_path / "mask.img").write_bytes(header + keep.tobytes())
    for flags, kept in ((), np.ones_like(keep)), (("-mask", str(tmp_path / "mask.img")), keep):
        run, image = wide(*flags)
        whole = image[3:301, 7:881].astype(np.float32).astype(float)
        values = whole[kept[3:301, 7:881] == 1].tolist()
        total = squares = deviations = 0.0
        for value in values:
            total += value
            squares += float(np.float32(value * value))
        mean = total / len(values)
        for value in whole.ravel().tolist():
            deviations += (value - mean) ** 2
        found = statistics(run, image)
        assert found.mean == pytest.approx(mean, rel=1e-11)
        assert found.rms == pytest.approx(math.sqrt(squares / (len(values) - 1)), rel=1e-11)
        assert found.rmsd == pytest.approx(math.sqrt(deviations / (whole.size - 1)), rel=1e-11)
        assert found.max_I == 1234.5
        assert (found.max_fast_m, found.max_slow_m) == pytest.approx((500.5 * 2e-3, 200.5 * 2e-3), rel=1e-15)


def test_squares_of_rms_are_float32_numbers() -> None:
    """As in the reference, whose rms of bright images is infinite (-fluence 1e33 with water): rmsd is not."""
    run, image = wide()
    image[200, 500] = image[250, 9] = 2e19
    found = statistics(run, image)
    assert result_lines(found)[-1] == "mean= 1.53579e+14 rms= inf rmsd= 5.54218e+16"
    image[:] = 1e-30
    assert (statistics(run, image).rms, statistics(run, image).mean) == (0.0, pytest.approx(1e-30, rel=1e-6))


def test_a_value_that_is_no_number_is_no_maximum() -> None:
    run, image = wide()
    image[4, 8] = math.nan
    found = statistics(run, image)
    assert found.max_I == 1234.5
    assert math.isnan(found.mean)


def test_the_files_of_an_image_of_many_blocks() -> None:
    run, image = wide("-adc", "3", "-scale", "50", "-pgmscale", "2", "-seed", "9")
    image[200, 500], image[201, 500], image[202, 500] = math.nan, math.inf, -math.inf
    out = make_outputs(run, image, statistics(run, image))
    files = contents(out)
    assert files["floatimage.bin"] == image.astype("<f4").tobytes()
    v, inside = image.astype(np.float32).astype(float), np.zeros((331, 900), bool)
    inside[3:301, 7:881] = True
    level = np.where(np.isnan(v), 0.0, np.clip(np.clip(v, -9e9, 9e9) * 50 + 3, 0, 65535))
    whole = np.floor((level + 0.5).astype(np.float32)) * inside
    assert np.array_equal(np.frombuffer(files["intimage.img"][512:], np.uint16).reshape(331, 900), whole)
    grey = np.trunc(np.nan_to_num(np.clip(np.clip(v, -9e9, 9e9) * 2, 0, 255))) * inside
    assert np.array_equal(np.frombuffer(files["image.pgm"][-331 * 900 :], np.uint8).reshape(331, 900), grey)
    noisy = np.frombuffer(files["noiseimage.img"][512:], np.uint16).reshape(331, 900).astype(float)
    assert not noisy[~inside].any()
    # no number, or infinite with a deviate below 0: what is no number is 0 as an integer of 16 bits, without the offset
    assert noisy[200:202, 500].tolist() == [0, 0]
    assert np.sort(noisy[inside])[:3].tolist() == [0, 0, 3]
    assert out.noise is not None
    assert out.noise.overloads == 0


def test_an_offset_beyond_16_bits_is_the_same_outside_the_region_of_interest() -> None:
    """Without Q43; as what has no counts within it, which is cut off above and wraps below."""
    for adc, level in (("70000", 65535), ("-3", 65533), ("-1e12", 0)):
        run, image, found = measured("-roi", "1", "2", "1", "2", "-adc", adc, "--quirk", "Q43=off", "-fluence", "0")
        noise = contents(make_outputs(run, image, found))["noiseimage.img"]
        assert set(np.frombuffer(noise[512:], "<u2")) == {level}


def test_switches_and_names() -> None:
    output = parse(f"{SMALL} -nonoise -nopgm -noisefile n -pgmscale 3 -intfile i -adc 5".split()).output
    assert (output.noise_file, output.pgm_file, output.int_file) == (Path("n"), Path("image.pgm"), Path("i"))
    assert (output.pgm_scale, output.adc) == (3.0, 5.0)
    output = parse(f"{SMALL} -noisefile n -nonoise -pgmfile p -nopgm".split()).output
    assert (output.noise_file, output.pgm_file) == (None, None)


def test_a_header_longer_than_512_bytes_is_followed_by_the_data() -> None:
    flags = (
        "-Xbeam 12.34567 -Ybeam 12.34567 -distance 1234.567 -lambda 1.234567 -detector_rotx 1.234567 -detector_roty 1"
    )
    run, image, found = measured(*flags.split(), "-phi", "0.123456", "-osc", "0.123456", "-twotheta", "1.23456")
    data = contents(make_outputs(run, image, found))["intimage.img"]
    end = data.index(b"}\f") + 2
    assert end > 512
    assert len(data) == end + 2 * image.size


def test_an_origin_of_0_has_no_sign_in_the_header() -> None:
    """x of the first pixel is 0, and of its negative the reference prints 0, not -0."""
    run, image, found = measured("-adxv", "-Xbeam", "0")
    assert b"DIALS_ORIGIN=100,6,0\n" in contents(make_outputs(run, image, found))["intimage.img"]


@pytest.mark.filterwarnings("error")
def test_the_deviations_of_infinite_intensities_are_no_number() -> None:
    run, image, found = measured("-fluence", "1e300", "-nopgm")
    assert math.isinf(found.max_I)
    assert math.isnan(found.rmsd)
    image[0] = -image[0]
    assert math.isnan(statistics(run, image).mean)
