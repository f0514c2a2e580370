"""Blocks, precision, gradients and silence of the simulation."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_cases import DEVICES, INPUTS, load
from torch.autograd import gradcheck

from nanobragg_torch.config import Config, Roi
from nanobragg_torch.errors import InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.products.trace import trace_pixel
from nanobragg_torch.scan import evaluate
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.simulate import simulate, start
from nanobragg_torch.scan.threads import check_stopped, in_parallel

SRC = str(Path(__file__).parents[3] / "src")


def cropped(name: str, *extra: str) -> Config:
    config = load(name).config(*extra)
    roi = config.detector.rendered
    corners = {"supervisor_one_reflection": (1035, 680), "point_pixel_nopolar_dmin": (22, 22)}
    fast, slow = corners.get(name, (roi.fast_min, roi.slow_min))
    window = Roi(fast, fast + 5, slow, slow + 3)
    return replace(config, detector=replace(config.detector, roi=window))


BLOCKED = [
    "supervisor_one_reflection",
    "phi_zero_carryover_mosaic",
    "oversample_flags",
    "polarization",
    "divergence_dispersion",
    "source_file",
    "point_pixel_nopolar_dmin",
    "tricubic_falls_out",
    "thick_detector",
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", BLOCKED)
def test_the_block_size_changes_no_bit(name: str, device: str) -> None:
    config = cropped(name)
    whole = simulate(config, device=device, dtype=torch.float64)
    assert whole.count_nonzero() > 0
    for block in (1, 7, 64, 1000):
        again = simulate(config, device=device, dtype=torch.float64, block=block)
        assert torch.equal(again.view(torch.int64), whole.view(torch.int64)), block


def test_block_sizes_with_dmin_sources_and_carry_over() -> None:
    """The run's first evaluation is neither in the first pixel nor at the first source."""
    flags = (
        "-cell 50 60 70 80 90 100 -default_F 9 -lambda 1 -N 6 -nointerpolate -oversample 2 -phi 0 -osc 1 -phisteps 3 "
        "-dispersion 30 -dispsteps 3 -dmin 4.4 -distance 60 -detpixels 12 -pixel 2.4 -polar 0.7"
    )
    config = parse(flags.split(), [INPUTS])
    whole = simulate(config, device="cpu", dtype=torch.float64)
    dark = whole.flatten() == 0
    assert bool(dark[0])
    assert 0 < int(dark.sum()) < dark.numel() / 2
    for block in (20, 300):
        again = simulate(config, device="cpu", dtype=torch.float64, block=block)
        assert torch.equal(again.view(torch.int64), whole.view(torch.int64))
    first = start(prepare(loaded(config), device="cpu", dtype=torch.float64)).first
    assert first is not None
    pixel, evaluation = first
    assert bool(dark[:pixel].all())
    assert not bool(dark[pixel])
    assert evaluation % 3 > 0


@pytest.mark.parametrize("device", DEVICES)
def test_float32_stays_float32_and_near(device: str) -> None:
    config = load("cubic_mosflm").config()
    single = simulate(config, device=device, dtype=torch.float32)
    double = simulate(config, device=device, dtype=torch.float64)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert float((single.double() - double).abs().max() / double.max()) < 1e-4  # measured: 2.8e-5


def test_pixels_outside_the_region_stay_zero() -> None:
    image = simulate(cropped("gauss_crystal"), device="cpu", dtype=torch.float64)
    assert image.shape == (64, 64)
    assert image[:4, :6].count_nonzero() == image.count_nonzero() > 0
    empty = cropped("gauss_crystal")
    empty = replace(empty, detector=replace(empty.detector, roi=Roi(5, 4, 0, 3)))
    assert simulate(empty, device="cpu", dtype=torch.float64).count_nonzero() == 0


def test_trace_and_image_agree_at_every_pixel_of_a_row() -> None:
    config = cropped("phi_zero_carryover_mosaic")
    image = simulate(config, device="cpu", dtype=torch.float64)
    for fast in range(6):
        lines = trace_pixel(config, 0, fast, device="cpu", dtype=torch.float64)
        value = next(line.values[0] for line in lines if line.name == "I_pixel_final")
        assert value == float(image[0, fast])


@pytest.mark.parametrize(("slow", "fast"), [(649, 1000), (650, 1080), (-1, 1000), (9999, 1000)])
def test_a_pixel_that_is_not_rendered_has_no_trace(slow: int, fast: int) -> None:
    config = load("supervisor_one_reflection").config()
    with pytest.raises(InputError) as caught:
        trace_pixel(config, slow, fast, device="cpu", dtype=torch.float64)
    assert str(caught.value) == (
        f"pixel slow {slow}, fast {fast}: expected one that is rendered, slow 650..729, fast 1000..1079"
    )


@pytest.mark.parametrize("phi_mode", ["c-parity", "spec"])
def test_gradients_of_an_image(phi_mode: str) -> None:
    """Cell, misset, wavelength, distance, beam centre, N and flux, all in one gradcheck."""
    flags = (
        "-cell 50 60 70 80 95 105 -misset 3 0 -2 -default_F 10 -lambda 1.1 -N 3 -distance 100 -detpixels 3 -pixel 9 "
        "-oversample 1 -phi 0 -osc 1 -phisteps 2 -polar 0.9 -exposure 1 -flux 1e30 -beamsize 1 --phi-mode"
    )
    config = parse([*flags.split(), phi_mode])
    cell = config.crystal.cell
    assert cell is not None

    def image(*inputs: torch.Tensor) -> torch.Tensor:
        a, misset, wave, far, x, n = inputs
        made = replace(
            config,
            crystal=replace(config.crystal, cell=replace(cell, a_angstrom=a), misset_rad=misset, cells=n),
            beam=replace(config.beam, wavelength_m=wave * 1e-10),
            detector=replace(config.detector, distance_m=far / 1000, x_beam_m=x / 1000),
        )
        return simulate(made, device="cpu", dtype=torch.float64) * 1e3

    values = (50.0, (0.05, 0.0, -0.03), 1.1, 100.0, 12.0, (3.0, 3.0, 3.0))
    inputs = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]
    assert image(*inputs).min() > 1e-3
    assert gradcheck(image, inputs, rtol=1e-4, atol=1e-4)


def test_the_simulator_knows_nothing_of_traces() -> None:
    code = (
        "import sys, torch; from nanobragg_torch.flags.parse import parse; "
        "from nanobragg_torch.scan.simulate import simulate; "
        "config = parse('-cell 50 -default_F 1 -detpixels 4 -distance 100'.split()); "
        "simulate(config, device='cpu', dtype=torch.float64); "
        "print('nanobragg_torch.products.trace' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": SRC}, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def synthetic(*extra: str) -> Config:
    """The canonical geometry with 65,000 reflections; mosaic domains, sources or sub-pixels as asked."""
    config = load("supervisor_synthetic").config(*extra)
    return replace(config, detector=replace(config.detector, roi=Roi(1180, 1251, 1160, 1195)))


def test_threads_of_torch_come_back_and_errors_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    try:
        simulate(synthetic(), device="cpu", dtype=torch.float64, threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)

    def fail(*_: object) -> None:
        raise MemoryError("no room for a block")

    monkeypatch.setattr("nanobragg_torch.scan.simulate.pixel_values", fail)
    monkeypatch.setattr("nanobragg_torch.scan.fused.WORTH", math.inf)
    with pytest.raises(MemoryError, match="^no room for a block$"):
        simulate(synthetic(), device="cpu", dtype=torch.float64, threads=3)


def test_gradients_do_not_depend_on_blocks() -> None:
    config = synthetic()

    def gradient(block: int | None) -> torch.Tensor:
        fluence = torch.tensor(1e24, dtype=torch.float64, requires_grad=True)
        made = replace(config, beam=replace(config.beam, fluence_per_m2=fluence))
        total = simulate(made, device="cpu", dtype=torch.float64, block=block, threads=2).sum()
        assert total.requires_grad
        total.backward()
        assert fluence.grad is not None
        assert float(fluence.grad) == pytest.approx(float(total.detach()) / 1e24, rel=1e-12)
        return fluence.grad

    assert float(gradient(None)) == pytest.approx(float(gradient(999)), rel=1e-12)


def test_interpolation_over_no_pixel_at_all() -> None:
    """A region of interest beside the detector renders nothing, and nothing ends the interpolation."""
    flags = "-cell 50 60 70 -hkl p1.hkl -N 1 -detpixels 4 -interpolate -roi 7 9 0 3 -phi 0 -osc 1 -phisteps 2"
    image = simulate(parse(flags.split(), [INPUTS]), device="cpu", dtype=torch.float64)
    assert torch.equal(image, torch.zeros(4, 4, dtype=torch.float64))


@contextmanager
def changed(set_to: Callable[[Any], object], value: object, back: object) -> Iterator[None]:
    set_to(value)
    try:
        yield
    finally:
        set_to(back)


MODES: dict[str, Callable[[], Any]] = {
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": lambda: changed(torch.use_deterministic_algorithms, True, False),
    "default dtype": lambda: changed(torch.set_default_dtype, torch.float16, torch.float32),
    "default device": lambda: changed(torch.set_default_device, "meta", None),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_modes_of_torch_change_no_bit(mode: str) -> None:
    flags = "-cell 50 60 70 80 95 105 -hkl p1.hkl -N 5 -lambda 1.1 -distance 100 -detpixels 48 -pixel 3 -oversample 1"
    for more in ("-phi 1 -osc 0 -phisteps 1", "-dispersion 2 -oversample_polar -detector_thick 99 -round_xtal -dmin 2"):
        config = parse(f"{flags} {more}".split(), [INPUTS])
        for dtype in (torch.float64, torch.float32):
            usual = simulate(config, device="cpu", dtype=dtype, threads=1)
            with MODES[mode]():
                made = simulate(config, device="cpu", dtype=dtype, threads=2, block=4096)
            assert torch.equal(made, usual)


def test_many_sources_take_no_more_operations_each_and_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a pixel for each source in a block took a time that grew with the square of the sources."""
    flags = "-cell 50 60 70 80 95 105 -default_F 10 -N 5 -lambda 1.1 -distance 100 -detpixels 8 -pixel 9 -oversample 2"
    calls = []
    scatter = evaluate.scatter
    monkeypatch.setattr(evaluate, "scatter", lambda *given: calls.append(0) or scatter(*given))
    for more in ("", "-dmin 1.5", "-oversample_polar", "--quirk Q13=off"):
        config = parse(f"{flags} -dispersion 5 -dispsteps 3000 {more}".split())
        whole = simulate(config, device="cpu", dtype=torch.float64, block=2**22)
        calls.clear()
        assert torch.equal(simulate(config, device="cpu", dtype=torch.float64, block=2**13), whole)
        assert len(calls) <= 2 * 4 * 64 * 3000 / 2**13 + 8


def test_a_worker_leaves_a_long_item_when_another_fails() -> None:
    """A single block of pixels can take hours; an interrupt must not wait for it."""

    def worker() -> Callable[[int], None]:
        def work(item: int) -> None:
            if item:
                raise KeyboardInterrupt
            while True:
                check_stopped()

        return work

    with pytest.raises(KeyboardInterrupt):
        in_parallel(range(2), worker, 2)
    check_stopped()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", ["-square_xtal -N 5", "-tophat_spots -N 5", "-gauss_xtal -N 20"])
def test_an_infinite_structure_factor_counts_nothing_where_there_is_no_lattice_factor(shape: str, threads: int) -> None:
    """Semantics 6.3: a term with F_latt = 0 is skipped; infinity times 0 would be NaN."""
    flags = f"-cell 50 60 70 80 95 105 -lambda 1.1 -distance 100 -detpixels 48 -pixel 2 -oversample 1 {shape}"
    huge = simulate(parse(f"{flags} -default_F 1e200".split()), device="cpu", dtype=torch.float64, threads=threads)
    small = simulate(parse(f"{flags} -default_F 1".split()), device="cpu", dtype=torch.float64, threads=threads)
    assert not huge.isnan().any()
    assert bool((huge.isinf() | (small == 0)).all())
    assert torch.equal(huge.isinf(), huge != 0)
    assert (small > 0).any()
    assert (small == 0).any() or "square" in shape
    wet = parse(f"{flags} -default_F 1e200 -water 1".split())
    image = simulate(wet, device="cpu", dtype=torch.float64, threads=threads)
    assert torch.equal(image.isnan(), huge == 0)  # with water the reference multiplies


def test_a_factor_of_0_makes_no_number_of_an_infinite_term() -> None:
    """As in bl831-subpixel-fix, measured: -oversample_thick without a thickness, factors on each term (Q27, Q28)."""
    flags = (
        "-cell 50 60 70 80 95 105 -lambda 1.1 -distance 100 -detpixels 4 -pixel 2 -default_F 1e160 -oversample_thick"
    )
    config = parse([*flags.split(), "--mode", "bl831-subpixel-fix"])
    assert simulate(config, device="cpu", dtype=torch.float64).isnan().all()


@pytest.mark.parametrize("kernel", [False, True])
def test_a_pixel_is_never_minus_0(kernel: bool) -> None:
    """The reference adds a pixel to 0: its file has no sign bit where a negative solid angle meets no term at all."""
    flags = "-cell 50 60 70 80 95 105 -lambda 1.1 -close_distance -100 -detpixels 8 -pixel 2 -default_F 1 -dmin 50"
    image = simulate(parse(flags.split()), device="cpu", dtype=torch.float64, kernel=kernel)
    assert not image.any() and not torch.signbit(image).any()
