"""The oracle against the reference's images and traces, and against the torch path on random mixtures of flags."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from nanobragg_torch.config import Config, Reflections
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.simulate import render_window, start
from tools.scaling.campaign.divergence import first_divergence
from tools.scaling.campaign.generator import draw
from tools.scaling.campaign.scene import How, scene_of
from tools.scaling.cases.case import SHIPPED, Case, find_case
from tools.scaling.oracle.image import Oracle, Value

INPUTS = SHIPPED[1] / "inputs"

REL = 1e-12
MIXTURES = 60


def differing(config: Config, pixels: Sequence[tuple[int, int]]) -> list[tuple[int, int, float, Value]]:
    """(slow, fast, the torch path, the oracle) of pixels whose difference rounding cannot explain."""
    exp, oracle, roi = prepare(config, device="cpu", dtype=torch.float64), Oracle(config), config.detector.rendered
    with torch.no_grad():
        image = render_window(start(exp, kernel=False), 1)
    off = []
    for slow, fast in pixels:
        ours, known = float(image[slow - roi.slow_min, fast - roi.fast_min]), oracle.one(slow, fast)
        same = ours == known.value or (math.isnan(ours) and math.isnan(known.value))
        if not same and not abs(ours - known.value) <= max(REL * abs(known.value), known.bound):
            off.append((slow, fast, ours, known))
    return off


@pytest.mark.parametrize("seed", range(MIXTURES))
def test_a_random_mixture_of_flags(seed: int) -> None:
    """Pixels within 1e-12, or, where terms cancel, within what their rounding can leave."""
    with scene_of(draw(seed), How()) as scene:
        roi, dice = scene.roi, random.Random(seed)
        slows, fasts = range(roi.slow_min, roi.slow_max + 1), range(roi.fast_min, roi.fast_max + 1)
        if slows and fasts and scene.oracle.terms < 1000:
            between = dice.choice(slows), dice.choice(fasts)
            assert differing(scene.config, [(slows[0], fasts[0]), between, (slows[-1], fasts[-1])]) == []


@pytest.mark.parametrize("seed", range(100, 108))
def test_float32_is_as_far_away_as_rounding_can_take_it(seed: int) -> None:
    with scene_of(draw(seed), How()) as scene:
        slow, fast = scene.roi.slow_max, scene.roi.fast_max
        known = scene.oracle.one(slow, fast, eps=2.0**-23)
        ours = float(scene.render(scene.prepared(scene.config, dtype="float32"))[-1, -1])
        assert abs(ours - known.value) <= known.bound + 20 * 2.0**-23 * abs(known.value)


def test_an_index_near_a_half_is_bounded_by_both_of_its_sides() -> None:
    """A coarse unit cannot tell F = 5 of 0 0 1 from F = 1 beside it; float64 can."""
    flags = "-cell 20 20 20 -lambda 1 -default_F 1 -N 1 -nointerpolate -distance 100 -detpixels 8 -pixel 2.5"
    config = parse([*flags.split(), "-oversample", "1", "-Xbeam", "0", "-Ybeam", "0"])
    listed = Reflections(np.array([[0, 0, 1]]), np.array([5.0]), (0, 0, 1), (1, 1, 1))
    oracle = Oracle(replace(config, structure=replace(config.structure, reflections=listed)))
    coarse = [oracle.one(0, fast, eps=1e-2) for fast in range(5)]
    edge, dark, lit, last, beside = (each.value for each in coarse)
    assert (dark / edge, last / beside) == pytest.approx((1.0, 25.0), rel=0.02) and lit / dark > 24
    assert all(each.bound > lit - dark for each in coarse[1:]) and coarse[0].bound < edge
    assert all(each.bound < 1e-12 * each.value for each in (oracle.one(0, fast) for fast in range(5)))


GOLDEN = sorted(path.parent for path in SHIPPED[1].glob("*/case.json"))
OTHERS = sorted(path.parent for path in (SHIPPED[1].parent / "golden_variants").glob("*/*/case.json"))


@cache
def known_case(folder: Path) -> tuple[Case, Oracle]:
    case = find_case(str(folder))
    return case, Oracle(loaded(case.config()))


@pytest.mark.parametrize("folder", [*GOLDEN, *OTHERS], ids=lambda folder: folder.name)
def test_a_case_that_the_reference_has_measured(folder: Path) -> None:
    """Some float32 pixels to the bit."""
    case, oracle = known_case(folder)
    roi = oracle.config.detector.rendered
    slow, fast, wide = roi.slow_min, roi.fast_min, roi.fast_max - roi.fast_min + 1
    if case.window is not None:
        slow, _, fast, last = case.window
        wide = last - fast + 1
    image = np.fromfile(folder / "float.bin", "<f4")
    dice = random.Random(folder.name)
    for at in [0, dice.randrange(len(image)), dice.randrange(len(image))]:
        assert np.float32(oracle.one(slow + at // wide, fast + at % wide).value) == image[at]


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_a_trace_is_the_reference_s_word_for_word(folder: Path) -> None:
    case, oracle = known_case(folder)
    slow, fast = case.pixels[-1]
    log = case.reference((slow, fast))
    assert log is not None
    text = log.read_text(encoding="utf-8").replace("\u2190", "<-")
    known = [line for line in text.splitlines() if line.startswith("TRACE_C")]
    found = [line for line in oracle.trace(slow, fast) if line.startswith("TRACE_C")]
    if oracle.config.structure.interpolate:  # the first line behind the end of interpolation is torn (semantics 8)
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
        assert quirk not in TRACED or first_divergence(config, (1, 2)) == ""
        oracle = Oracle(config)
        seen.append(oracle.trace(1, 2) if quirk in TRACED else [oracle.one(*pixel).value for pixel in pixels])
    assert seen[0] != seen[1]
