"""Integer, PGM and noise images byte for byte, and what is printed about an image, against the reference."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import CASES, GOLDEN, load

from nanobragg_torch import mosaic, noise, simulate
from nanobragg_torch.experiment import prepare
from nanobragg_torch.facts import fact_lines
from nanobragg_torch.flags import parse
from nanobragg_torch.outputs import Outputs, make_outputs
from nanobragg_torch.simulate import Run
from nanobragg_torch.statistics import Statistics, statistics

FILES = {"int.img": "intimage.img", "image.pgm": "image.pgm", "noise.img": "noiseimage.img"}
SMALL = "-cell 50 60 70 80 90 100 -default_F 10 -N 4 -distance 100 -detpixels_x 6 -detpixels_y 5 -pixel 2 -oversample 1"


def measured(*flags: str) -> tuple[Run, np.ndarray, Statistics]:
    run = simulate.start(prepare(parse([*SMALL.split(), *flags]), device="cpu", dtype=torch.float64))
    image = simulate.render_image(run).float().numpy()
    return run, image, statistics(run, image)


@cache
def made(name: str) -> Outputs:
    run = simulate.start(prepare(load(name).config(), device="cpu", dtype=torch.float64))
    image = simulate.render_image(run).float().numpy()
    return make_outputs(run, image, statistics(run, image))


@pytest.mark.parametrize("name", ["images_low_counts", "images_mid_counts", "images_overload_roi"])
@pytest.mark.parametrize("file", FILES)
def test_images_are_those_of_the_reference_byte_for_byte(name: str, file: str) -> None:
    assert made(name).files[Path(FILES[file])] == (GOLDEN / name / file).read_bytes()


def test_the_three_regimes_were_reached() -> None:
    low, mid, high = (load(f"images_{x}").image() for x in ("low_counts", "mid_counts", "overload_roi"))
    assert low.max() < 12 < mid.min()
    assert mid.max() < 1e6 < high.max()
    assert made("images_overload_roi").overloads == int((high > 65535 - 40).sum()) > 0


@pytest.mark.parametrize("name", CASES)
def test_facts(name: str) -> None:
    """Beam centres, axes, solid angle, maximum, mean, rms: the reference's lines. The image is the golden one."""
    config = load(name).config()
    run = simulate.start(prepare(config, device="cpu", dtype=torch.float64))
    roi = config.detector.rendered
    image = np.zeros((config.detector.pixels_slow, config.detector.pixels_fast), np.float32)
    window = image[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1]
    window[:] = load(name).image().reshape(window.shape)
    ours = fact_lines(run.exp, statistics(run, image))
    assert ours == (GOLDEN / name / "facts.txt").read_text(encoding="utf-8").splitlines()


def test_an_image_without_a_positive_pixel() -> None:
    run, image, found = measured("-default_F", "0.0", "-hkl", str(GOLDEN / "inputs" / "one.hkl"), "-nointerpolate")
    assert not image.any()
    assert (found.max_I, found.max_fast_m, found.max_slow_m, found.rmsd) == (0.0, 0.0, 0.0, 0.0)
    assert fact_lines(run.exp, found)[-2:] == ["max_I = 0  at 0 0", "mean= 0 rms= 0 rmsd= 0"]
    out = make_outputs(run, image, found)
    assert (out.int_scale, out.pgm_scale, out.photons) == (1.0, 1.0, 0.0)
    assert set(np.frombuffer(out.files[Path("intimage.img")][512:], np.uint16)) == {40}


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
    data = make_outputs(run, image, found).files[Path("intimage.img")]
    end = data.index(b"}\f") + 2
    assert end > 512
    assert len(data) == end + 2 * image.size


def test_uniforms_in_bulk_are_those_drawn_one_by_one() -> None:
    for seed in (-1, -12345678, 5):
        one, bulk = mosaic.Generator(), mosaic.Generator()
        drawn, state = [], seed
        for _ in range(1000):
            value, state = one.uniform(state)
            drawn.append(value)
        first, after = bulk.uniforms(600, seed)
        second, end = bulk.uniforms(400, after)
        assert [*first.tolist(), *second.tolist()] == drawn
        assert end == state


def test_a_positive_state_shares_the_table() -> None:
    """A negative seed on the command line goes on with what the mosaic domains left (semantics 3.4)."""
    crystal = parse([*SMALL.split(), "-mosaic_seed", "7", "-mosaic", "1", "-mosaic_dom", "4"]).crystal
    generator = mosaic.Generator()
    state = -7
    for _ in range(12):
        _, state = generator.uniform(state)
    expected = [generator.uniform(5 if i == 0 else later)[0] for i, later in _states(5, 3)]
    assert mosaic.draws(crystal).generator.uniforms(3, 5)[0].tolist() == expected
    fresh = mosaic.Generator().uniforms(3, 5)[0]
    assert fresh.tolist() == mosaic.Generator().uniforms(3, -1)[0].tolist() != expected
    # misset first, then domains: a positive mosaic state goes on with the misset's table
    both = parse(f"{SMALL} -misset random -misset_seed 5 -mosaic 1 -mosaic_dom 3 -mosaic_seed -9".split())
    generator = mosaic.Generator()
    mosaic.deviates(1, -5, generator)
    assert mosaic.draws(both.crystal).domains == mosaic.deviates(3, 9, generator)
    assert mosaic.draws(both.crystal).domains != mosaic.deviates(3, -9)


def _states(seed: int, count: int) -> list[tuple[int, int]]:
    states = [seed]
    for _ in range(count - 1):
        states.append(16807 * states[-1] % (2**31 - 1))
    return list(enumerate(states))


@pytest.mark.parametrize("mean", [0.3, 5.0, 11.9, 12.0, 40.0, 1000.0, 9e5, 2e6])
def test_poisson_deviates_have_their_mean_and_variance(mean: float) -> None:
    n = 4000
    counts = noise.poisson(np.full(n, mean, np.float32), mosaic.Generator(), -11)
    assert abs(counts.mean() - mean) < 5 * math.sqrt(mean / n)
    assert abs(counts.var() / mean - 1) < 0.15
    assert (counts == np.floor(counts)).all() or mean > 1e6


def test_log_gamma_and_what_is_no_number() -> None:
    x = np.array([1.0, 2.0, 13.0, 1e6], np.float32)
    assert noise.log_gamma(x) == pytest.approx([math.lgamma(v) for v in x.tolist()], rel=1e-6, abs=1e-9)
    values = np.array([math.nan, -3.0, math.inf], np.float32)
    assert noise.poisson(values, mosaic.Generator(), -1)[:2].tolist() == [0.0, 0.0]
