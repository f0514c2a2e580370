"""The compiled kernel against the torch path, which is its definition, and against the reference's images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_cases import CASES, load
from torch import Tensor

from nanobragg_torch import compiled
from nanobragg_torch.config import Config, Roi
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.scan import fused, simulate
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.summation import Run
from tools.scaling.campaign.generator import draw
from tools.scaling.campaign.judge import judge
from tools.scaling.campaign.record import Status
from tools.scaling.campaign.scene import How, scene_of

Patch = pytest.MonkeyPatch


def started(config: Config, *, kernel: bool = True) -> Run:
    return simulate.start(prepare(loaded(config), device="cpu", dtype=torch.float64), kernel=kernel)


def both(config: Config) -> tuple[Tensor, Tensor]:
    """The window by the kernel and by the torch path; where interpolation ends is the same for both."""
    ours, torch_path = started(config), started(config, kernel=False)
    assert (fused.serves(ours), fused.serves(torch_path)) == (True, False)
    assert ours.tricubic_end == torch_path.tricubic_end
    return simulate.render_window(ours, 1), simulate.render_window(torch_path, 1)


def assert_twins(ours: Tensor, torch_path: Tensor) -> None:
    """Within 1e-12, or where the lattice factor of a ROUND crystal is next to its zero within 1e-14 of the largest."""
    assert torch.equal(ours.isnan(), torch_path.isnan())
    if ours.numel() == 0:
        return
    known = torch_path.nan_to_num()
    apart = (ours.nan_to_num() - known).abs()
    assert bool((apart <= (1e-12 * known.abs()).clamp(min=1e-14 * float(known.abs().max()))).all())


@pytest.mark.parametrize("name", CASES)
def test_every_golden_image_by_the_kernel(name: str) -> None:
    case = load(name)
    ours, torch_path = both(case.config())
    assert_twins(ours, torch_path)
    detector, roi, recorded = case.config().detector, case.config().detector.rendered, case.image()
    if recorded.size == detector.pixels_slow * detector.pixels_fast:
        recorded = recorded.reshape(detector.pixels_slow, detector.pixels_fast)
        recorded = recorded[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1].ravel()
    assert int((ours.numpy().astype(np.float32).ravel() != recorded).sum()) == 0


@pytest.mark.parametrize("seed", range(0, 100, 2))
def test_drawn_command_lines_of_every_feature(seed: int) -> None:
    (verdict,) = judge(draw(seed), checks=("compiled",)).verdicts
    assert verdict.status is Status.ok, verdict.says


MANY = {
    "canonical": "",
    "polarised": "-polar 0.93",
    "domains": "-mosaic 0.4 -mosaic_domains 5",
    "sources": "-dispersion 0.5 -dispsteps 3 -polar 0.9",
    "sub-pixels": "-oversample 2 -oversample_omega",
    "a default everywhere": "-default_F 3",
    "wide sweep": "-osc 20",
    "tricubic": "-interpolate",
    "round": "-round_xtal",
    "dmin": "-dmin 2",
}


@pytest.mark.parametrize("extra", MANY.values(), ids=MANY.keys())
def test_threads_and_blocks_change_no_bit(extra: str, monkeypatch: Patch) -> None:
    config = load("supervisor_synthetic").config(*extra.split())
    run = started(config)
    plain = simulate.render_window(run, 1)
    assert plain.count_nonzero() > 0
    for threads, terms in ((2, 2**22), (3, 50_000), (2, 1)):
        monkeypatch.setattr(fused, "TERMS", terms)
        again = simulate.render_window(started(config), threads)
        assert torch.equal(again.view(torch.int64), plain.view(torch.int64)), (threads, terms)


def test_the_number_of_terms_alone_decides_which_of_the_two_serves() -> None:
    exp = prepare(loaded(load("supervisor_synthetic").config()), device="cpu", dtype=torch.float64)
    assert exp.n_pixels * fused.terms_per_pixel(exp) == 100_000
    assert not fused.serves(simulate.start(exp))
    many = replace(exp.config.detector, roi=Roi(1000, 1499, 1000, 1399))
    whole = prepare(replace(exp.config, detector=many), device="cpu", dtype=torch.float64)
    assert fused.serves(simulate.start(whole))


def test_the_kernel_is_compiled_once_whatever_the_block_and_the_experiment() -> None:
    from nanobragg_torch.kernel.render import render

    for flags in ("-roi 0 4 0 4", "-roi 0 4 2 2", "-roi 3 3 0 4 -curved_det -interpolate -gauss_xtal -dispersion 1"):
        simulate.render_window(started(load("supervisor_synthetic").config(*flags.split())), 1)
    assert len(render.__wrapped__.signatures) == 1


def test_equal_orientations_are_evaluated_once() -> None:
    """Ten phi steps, the first equal to the last (Q29)."""
    *_, slots, _ = fused.arguments_of(started(load("supervisor_synthetic").config()))
    assert np.array(slots).tolist() == [[0, *[-1] * 9], [*[-1] * 9, 0]]


@pytest.mark.parametrize("seed", [4685, 5611])
def test_an_orientation_that_is_equal_to_another_counts_as_that_one_does(seed: int) -> None:
    """Where terms are not alike a lattice factor of 0 is not counted: its own, not that of the orientation before."""
    with scene_of(draw(seed), How()) as scene:
        assert scene.config.crystal.shape == "TOPHAT"
        assert_twins(scene.compiled, scene.definition)
        assert scene.definition.count_nonzero() > 0


def test_straight_ahead_is_the_peak_of_the_grating() -> None:
    """q = 0 exactly at the middle pixel: sin(N y) / sin(y) is N there."""
    flags = "-cell 50 60 70 90 90 90 -default_F 10 -lambda 1 -N 5 -nointerpolate -oversample 1 -phi 0 -osc 0"
    config = parse([*flags.split(), "-detpixels", "9", "-distance", "125"])
    pixel = 2.0**-11  # all lengths are powers of two: nothing is rounded
    flat = replace(config.detector, pixel_m=pixel, distance_m=0.125, x_beam_m=4 * pixel, y_beam_m=4 * pixel)
    config = replace(config, detector=flat)
    ours, torch_path = both(config)
    assert_twins(ours, torch_path)
    run = started(config)
    scale = float(run.exp.r_e_sqr * run.exp.fluence * pixel**2 / 0.125**2)
    assert float(ours[4, 4]) == pytest.approx(10.0**2 * 125.0**2 * scale, rel=1e-14)


def test_where_numba_cannot_compile_the_torch_path_serves(monkeypatch: Patch) -> None:
    config = load("gauss_crystal").config()
    ours, torch_path = both(config)
    monkeypatch.setattr(compiled, "usable", lambda: "numba is switched off by NUMBA_DISABLE_JIT")
    again = simulate.render_window(started(config), 1)
    assert torch.equal(again.view(torch.int64), torch_path.view(torch.int64))
    assert not torch.equal(ours.view(torch.int64), torch_path.view(torch.int64))


@pytest.mark.parametrize(
    "flags", ["-lambda 1e-9", "-N 2000000", "-oversample 30000000 -detector_thick 1 -thicksteps 9000"]
)
def test_what_is_too_large_for_the_numbers_of_the_kernel_is_left_to_the_torch_path(flags: str) -> None:
    assert not fused.serves(started(load("adxv_convention").config(*flags.split())))
