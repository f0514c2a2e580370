"""Random mixtures of flags against a scalar transcription of the semantics (tools.scaling.oracle)."""

import random

import numpy as np
import pytest
import torch

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.scan.simulate import simulate
from tools.scaling.cases.case import SHIPPED, find_case
from tools.scaling.oracle.image import Oracle

INPUTS = SHIPPED[1] / "inputs"

REL = 1e-12
MIXTURES = 60


def mixture(seed: int) -> str:
    """Flags of a random case: every feature sometimes, few pixels and terms always."""
    r = random.Random(seed)

    def some(chance: float, text: str) -> str:
        return text if r.random() < chance else ""

    def u(low: float, high: float) -> str:
        return f"{r.uniform(low, high):.4f}"

    convention = r.choice(["mosflm", "adxv", "denzo", "xds", "dials", "custom", "custom"])
    pixel = r.choice(["1.5", "3", "6"])
    flags = [
        r.choice([
            f"-cell {u(30, 60)} {u(30, 60)} {u(30, 60)} {u(75, 110)} {u(75, 110)} {u(75, 110)}",
            "-mat A.mat", f"-mat A.mat -cell {u(30, 60)}",
        ]),
        r.choice(["-default_F 7", "-hkl p1.hkl -default_F 2", "-hkl p1.hkl"]),
        f"-lambda {u(0.8, 2.2)} -distance {u(60, 140)} -detpixels_x 4 -detpixels_y 3 -pixel {pixel}",
        f"-N {r.randint(1, 6)}",
        some(0.3, f"-Na {r.randint(1, 12)} -Nc {r.randint(1, 5)}"),
        r.choice(["", "", f"-misset {u(-20, 20)} 0 {u(-20, 20)}", f"-misset random -misset_seed {r.randint(1, 99)}"]),
        r.choice(["", "", "-round_xtal", "-gauss_xtal -fudge 1e-3", "-gauss_xtal -fudge 1e-4",
                  "-tophat_spots -fudge 1e-5"]),
        some(0.4, f"-phi {r.choice(['0', '-0.5', '3'])} -osc {r.choice(['1', '0.5'])} -phisteps {r.randint(1, 4)}"),
        some(0.3, f"-mosaic {u(0.1, 2)} -mosaic_dom {r.randint(2, 4)} -mosaic_seed {r.choice([5, -7, 12])}"),
        some(0.3, f"-dispersion {u(0.5, 5)} -dispsteps {r.randint(2, 3)}"),
        some(0.3, f"-hdivrange {u(1, 5)} -hdivsteps {r.randint(2, 3)} -vdivrange 2 -vdivstep {u(0.7, 1.5)}"),
        some(0.2, "-square_div"),
        some(0.5, f"-polar {u(-1, 1)}"),
        some(0.1, "-nopolar"),
        some(0.2, "-oversample_polar"), some(0.2, "-oversample_omega"), some(0.2, "-oversample_thick"),
        f"-oversample {r.randint(1, 2)}",
        some(0.3, f"-detector_thick {u(100, 400)} -detector_thicksteps {r.randint(1, 3)} -detector_abs {u(100, 500)}"),
        some(0.4, f"-detector_rotx {u(-20, 20)} -detector_roty {u(-10, 10)} -detector_rotz {u(-30, 30)}"),
        some(0.4, f"-twotheta {u(-15, 15)}"),
        some(0.3, f"-Xbeam {u(-2, 6)} -Ybeam {u(-2, 6)}"),
        some(0.2, f"-close_distance {u(60, 120)}"),
        some(0.15, f"-curved_det {r.choice(['', '1'])}"), some(0.1, "-point_pixel"),
        some(0.15, f"-water {u(1, 5)}"), some(0.15, f"-dmin {u(1.5, 4)}"),
        some(0.2, "-roi 1 3 0 2"), some(0.15, f"-xtalsize {u(0.0001, 0.0005)}"),
        r.choice(["-interpolate", "-nointerpolate", ""]),
    ]  # fmt: skip
    if convention == "custom":
        flags += [
            f"-spindle_axis {u(-1, 1)} {u(-1, 1)} {u(-1, 1)}",
            some(0.5, f"-twotheta_axis {u(-1, 1)} {u(-1, 1)} {u(-1, 1)}"),
            some(0.5, "-fdet_vector 0 0.1 1 -sdet_vector 0 -1 0.1"),
            some(0.4, f"-odet_vector 1 {u(-0.1, 0.1)} 0"),
            some(0.4, f"-beam_vector 1 {u(-0.1, 0.1)} {u(-0.1, 0.1)}"),
            some(0.4, f"-polar_vector {u(-0.2, 0.2)} {u(-1, 1)} 1"),
            r.choice(["-pivot beam", "-pivot sample"]),
        ]
    else:
        flags.append(f"-{convention} {some(0.3, '-ORGX 2.2 -ORGY 1.4')}")
    return " ".join(flags)


@pytest.mark.parametrize("seed", range(MIXTURES))
def test_a_random_mixture_of_flags(seed: int) -> None:
    """Every pixel within 1e-12, or, where terms cancel, within what their rounding can leave."""
    config = loaded(parse(mixture(seed).split(), [INPUTS]))
    image = simulate(config, device="cpu", dtype=torch.float64)
    off = [
        (slow, fast, found, expected)
        for (slow, fast), expected in Oracle(config).image().items()
        if abs((found := float(image[slow, fast])) - expected.value) > max(REL * abs(expected.value), expected.bound)
    ]
    assert off == []


def test_the_mixtures_reach_the_features() -> None:
    texts = [mixture(seed) for seed in range(MIXTURES)]
    configs = [parse(text.split(), [INPUTS]) for text in texts]
    assert {c.detector.convention for c in configs} == {"MOSFLM", "ADXV", "DENZO", "XDS", "DIALS", "CUSTOM"}
    assert {c.crystal.shape for c in configs} == {"SQUARE", "ROUND", "GAUSS", "TOPHAT"}
    assert {c.detector.pivot for c in configs} == {"BEAM", "SAMPLE"}
    for flag in ("-curved_det", "-water", "-dmin", "-oversample_thick", "-oversample_omega", "-misset random",
                 "-mat A.mat -cell", "-detector_thick", "-interpolate", "-xtalsize", "-close_distance"):  # fmt: skip
        assert any(flag in text for text in texts), flag
    lit = [int((simulate(config, device="cpu", dtype=torch.float64) != 0).sum()) for config in configs]
    assert sum(lit) > 400 and lit.count(0) < MIXTURES / 4


def test_the_oracle_is_no_echo_of_the_port() -> None:
    """Against the golden images themselves, at the corner of each small case."""
    for name in ("cubic_mosflm", "tricubic_falls_out", "custom_sample_pivot_behind", "thick_detector"):
        case = find_case(name)
        assert case.c_image is not None
        config = loaded(case.config())
        image = np.fromfile(case.c_image, "<f4")
        oracle = Oracle(config)
        for fast in range(8):
            value = oracle.one(config.detector.rendered.slow_min, config.detector.rendered.fast_min + fast)
            assert value.value == pytest.approx(float(image[fast]), rel=2e-7)
