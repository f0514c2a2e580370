"""The oracle against the reference's images and traces, and against the torch path on random mixtures of flags."""

import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from nanobragg_torch.config import Config
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.simulate import render_window, start
from tools.scaling.campaign.signature import first_divergence
from tools.scaling.cases.case import SHIPPED, find_case
from tools.scaling.oracle.image import Oracle, Value

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


def rendered(config: Config, *, kernel: bool = False) -> torch.Tensor:
    """The region of interest, by the torch path."""
    exp = prepare(config, device=torch.device("cpu"), dtype=torch.float64)
    with torch.no_grad():
        return render_window(start(exp, kernel=kernel), 1)


def differing(config: Config, pixels: Sequence[tuple[int, int]]) -> list[tuple[int, int, float, Value]]:
    """(slow, fast, the torch path, the oracle) at places of the region of interest that rounding cannot explain."""
    image, oracle, roi = rendered(config), Oracle(config), config.detector.rendered
    off = []
    for slow, fast in pixels:
        ours, known = float(image[slow, fast]), oracle.one(roi.slow_min + slow, roi.fast_min + fast)
        same = ours == known.value or (math.isnan(ours) and math.isnan(known.value))
        if not same and not abs(ours - known.value) <= max(REL * abs(known.value), known.bound):
            off.append((slow, fast, ours, known))
    return off


@pytest.mark.parametrize("seed", range(MIXTURES))
def test_a_random_mixture_of_flags(seed: int) -> None:
    """Pixels within 1e-12, or, where terms cancel, within what their rounding can leave."""
    config = loaded(parse(mixture(seed).split(), [INPUTS]))
    roi = config.detector.rendered
    last = roi.slow_max - roi.slow_min, roi.fast_max - roi.fast_min
    assert differing(config, [(0, 0), (1, 1), last]) == []


def test_the_mixtures_reach_the_features() -> None:
    texts = [mixture(seed) for seed in range(MIXTURES)]
    configs = [parse(text.split(), [INPUTS]) for text in texts]
    assert {c.detector.convention for c in configs} == {"MOSFLM", "ADXV", "DENZO", "XDS", "DIALS", "CUSTOM"}
    assert {c.crystal.shape for c in configs} == {"SQUARE", "ROUND", "GAUSS", "TOPHAT"}
    assert {c.detector.pivot for c in configs} == {"BEAM", "SAMPLE"}
    for flag in ("-curved_det", "-water", "-dmin", "-oversample_thick", "-oversample_omega", "-misset random",
                 "-mat A.mat -cell", "-detector_thick", "-interpolate", "-xtalsize", "-close_distance"):  # fmt: skip
        assert any(flag in text for text in texts), flag


GOLDEN = sorted(path.parent for path in SHIPPED[1].glob("*/case.json"))
OTHERS = sorted(path.parent for path in (SHIPPED[1].parent / "golden_variants").glob("*/*/case.json"))


@pytest.mark.parametrize("folder", [*GOLDEN, *OTHERS], ids=lambda folder: folder.name)
def test_a_case_that_the_reference_has_measured(folder: Path) -> None:
    """Some float32 pixels to the bit."""
    case = find_case(str(folder))
    config = loaded(case.config())
    roi = config.detector.rendered
    slow, fast, wide = roi.slow_min, roi.fast_min, roi.fast_max - roi.fast_min + 1
    if case.window is not None:
        slow, _, fast, last = case.window
        wide = last - fast + 1
    image = np.fromfile(folder / "float.bin", "<f4")
    oracle, dice = Oracle(config), random.Random(folder.name)
    for at in [0, dice.randrange(len(image)), dice.randrange(len(image))]:
        assert np.float32(oracle.one(slow + at // wide, fast + at % wide).value) == image[at]


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_a_trace_is_the_reference_s_word_for_word(folder: Path) -> None:
    case = find_case(str(folder))
    slow, fast = case.pixels[-1]
    log = case.reference((slow, fast))
    assert log is not None
    text = log.read_text(encoding="utf-8").replace("\u2190", "<-")
    known = [line for line in text.splitlines() if line.startswith("TRACE_C")]
    found = [line for line in Oracle(loaded(case.config())).trace(slow, fast) if line.startswith("TRACE_C")]
    if case.config().structure.interpolate:  # the first line behind the end of interpolation is torn (semantics 8)
        found = [line for line in found if line in known or not line.startswith("TRACE_C: pix0_vector_meters")]
    assert found == known


SMALL = "-cell 50 60 70 80 85 95 -default_F 10 -lambda 1 -N 3 -distance 100 -detpixels 4 -pixel 2 -oversample 1"
# what a switch needs to change something
NEEDS = {
    "Q02": "-pix0_vector 0.1 0.01 0.02 -oversample 1",
    "Q03": "-fdet_vector 0 0.1 1 -odet_vector 1 0.0004 0",
    "Q04": "-twotheta_axis 0 0 2 -twotheta 20",
    "Q05": "-xds -Xbeam 1 -Yclose 3",
    "Q08": "-twotheta 20 -curved_det -N 4",
    "Q09": "-phi 30",
    "Q13": "-sourcefile weights.txt",
    "Q15": "-detector_thick 300 -detector_abs 200 -thicksteps 3",
    "Q16": "-point_pixel",
    "Q17": "-curved_det -pixel 9",
    "Q19": "-misset random -misset_seed 3",
    "Q23": "-nopolar -oversample_polar",
    "Q24": "-gauss_xtal -fudge 1e-3",
    "Q25": "-hkl p1.hkl -interpolate -distance 120 -detpixels 40 -pixel 0.6 -Xbeam -0.3 -Ybeam -0.3",
    "Q26": "-water 50 -oversample 2",
    "Q27": "-phisteps 3 -phi 1 -osc 1 -oversample_omega",
    "Q28": "-oversample_thick",
    "Q29": "-phi 0 -osc 3 -phisteps 3",
    "Q30": "-oversample 2 -pixel 9",
    "Q34": "-N 300",
    "Q37": "-detector_rotx 3",
    "Q38": "",
    "Q54": "-twotheta 20 -spindle_axis 0 1 0",
    "Q58": "",
    "Q66": "--quirk Q27=off -oversample_omega -water 50",
}
TRACED = {"Q09", "Q37", "Q38"}  # these change no pixel


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "weights.txt").write_text("-10 0 0 1 1e-10\n-10 0 0.1 3 1.02e-10\n")
    return folder


@pytest.mark.parametrize("quirk", NEEDS)
def test_a_quirk_s_switch_changes_the_oracle_as_the_port(quirk: str, weights: Path) -> None:
    words = [*SMALL.split(), *NEEDS[quirk].split()]
    pixels = [(slow, fast) for slow in range(4) for fast in range(4)]
    seen = []
    for state in ("on", "off"):
        config = loaded(parse([*words, "--quirk", f"{quirk}={state}"], [INPUTS, weights]))
        assert differing(config, pixels) == []
        assert first_divergence(config, (1, 2)) == ""
        oracle = Oracle(config)
        seen.append(oracle.trace(1, 2) if quirk in TRACED else [oracle.one(*pixel).value for pixel in pixels])
    assert seen[0] != seen[1]
