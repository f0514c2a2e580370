"""Gradients made block after block: those of the whole graph, whatever the threads, and no graph is kept."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from golden_cases import DEVICES, load
from torch.autograd import gradgradcheck

import nanobragg_torch as nb
from nanobragg_torch.scan import recompute
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.simulate import start
from nanobragg_torch.scan.summation import Pixels, Run, pixel_ranges, pixel_values

BASE = "-cell 50 60 70 80 95 105 -misset 10 20 30 -default_F 10 -lambda 1.1 -N 3 -distance 100 -detpixels 24 -pixel 3"
NAMES = ["crystal.cell.a_angstrom", "crystal.misset_rad", "crystal.cells", "beam.wavelength_m", "detector.distance_m"]
KINDS = {
    "phi": "-phi 0 -osc 1 -phisteps 3 -oversample 1",
    "mosaic": "-mosaic 1 -mosaic_dom 4 -oversample 1 --mode spec",
    "sources": "-dispersion 2 -dispsteps 3 -hdivrange 1 -hdivsteps 2 -oversample 2",
    "running": "-detector_thick 100 -detector_abs 200 -thicksteps 2 -oversample 2 -oversample_omega -oversample_polar",
    "dmin": "-dmin 3 -phisteps 2 -osc 1 -oversample 1",
    "water": "-round_xtal -water 2 -oversample 1",
    "curved": "-gauss_xtal -curved_det -oversample 1",
}


def model_of(flags: str, names: list[str] = NAMES) -> nb.Model:
    return nb.Model(nb.parse(f"{BASE} {flags}".split()), names)


def slopes_of(config: nb.Config) -> torch.Tensor:
    pixels = config.detector.pixels_slow * config.detector.pixels_fast
    return torch.linspace(-1.0, 2.0, pixels, dtype=torch.float64)


def run_of(config: nb.Config) -> Run:
    return start(prepare(nb.loaded(config), device="cpu", dtype=torch.float64))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Blocks of at most 500 terms; the terms of each block that is rendered with a graph."""
    seen: list[int] = []

    def counted(run: Run, pixels: Pixels) -> torch.Tensor:
        seen.append((pixels.stop - pixels.start) * run.exp.n_subpixels * run.exp.n_sources * run.exp.n_orientations)
        return pixel_values(run, pixels)

    monkeypatch.setattr(recompute, "TERMS", 500)
    monkeypatch.setattr(recompute, "pixel_values", counted)
    yield seen


@pytest.mark.parametrize("flags", KINDS.values(), ids=KINDS.keys())
def test_the_gradient_is_that_of_the_whole_graph(flags: str, small_blocks: list[int]) -> None:
    model = model_of(flags)
    config, parameters = model.config(), list(model.parameters())
    slopes, run = slopes_of(config), run_of(config)
    whole = torch.cat([pixel_values(run, pixels) for pixels in pixel_ranges(run, run.block)])
    expected = torch.autograd.grad(whole, parameters, slopes)
    found = []
    for threads in (1, 2, 3):
        image = nb.simulate(model.config(), threads=threads)
        assert torch.equal(image, nb.simulate(nb.parse(f"{BASE} {flags}".split())))
        found.append(torch.autograd.grad(image.flatten(), parameters, slopes))
    assert max(small_blocks) <= 500 < sum(small_blocks) / 3
    for mine, other, third, plain in zip(*found, expected):
        assert torch.equal(mine, other) and torch.equal(mine, third)
        assert (mine - plain).abs().max() <= 1e-12 * plain.abs().max() and bool((plain != 0).any())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["phi", "sources"])
def test_gradients_on_every_device(kind: str, device: str) -> None:
    model = model_of(KINDS[kind])
    slopes = slopes_of(model.config())
    expected = torch.autograd.grad(model().flatten(), list(model.parameters()), slopes)
    there = model_of(KINDS[kind]).to(device)
    for block in (None, 900):
        image = nb.simulate(there.config(), device=device, block=block)
        found = torch.autograd.grad(image.flatten(), list(there.parameters()), slopes.to(device))
        for mine, other in zip(found, expected):
            assert (mine.cpu() - other).abs().max() <= 1e-9 * other.abs().max()


def test_structure_factors_interpolated_until_neighbours_lack(small_blocks: list[int]) -> None:
    """Q25: the order of all evaluations decides, also where only some pixels have a slope."""
    case = load("tricubic_falls_out")
    model = nb.Model(case.config(), ["structure.reflections.F", "crystal.misset_rad"])
    parameters = list(model.parameters())
    run = run_of(model.config())
    assert run.tricubic_end is not None
    slopes = slopes_of(model.config()) * (torch.arange(run.exp.n_pixels) % 3 == 0)
    whole = torch.cat([pixel_values(run, pixels) for pixels in pixel_ranges(run, run.block)])
    expected = torch.autograd.grad(whole, parameters, slopes)
    found = torch.autograd.grad(model().flatten(), parameters, slopes)
    for mine, plain in zip(found, expected):
        assert (mine - plain).abs().max() <= 1e-12 * plain.abs().max() and bool((plain != 0).any())


def test_pixels_without_a_slope_are_not_rendered_again(small_blocks: list[int]) -> None:
    """Also the first pixel, whose first evaluation is unlike the others (Q29), keeps its own orientations."""
    model = model_of(KINDS["phi"])
    misset = model.get_parameter("crystal.misset_rad")
    image = model()
    for place in ((0, 0), (23, 5)):
        small_blocks.clear()
        (gradient,) = torch.autograd.grad(image[place], misset, retain_graph=True)
        assert small_blocks == [3]
        run = run_of(model.config())
        whole = torch.cat([pixel_values(run, pixels) for pixels in pixel_ranges(run, run.block)])
        (expected,) = torch.autograd.grad(whole.view(24, 24)[place], misset)
        assert (gradient - expected).abs().max() <= 1e-12 * expected.abs().max()
    small_blocks.clear()
    (gradient,) = torch.autograd.grad(image, misset, torch.zeros_like(image))
    assert small_blocks == [3] and gradient.tolist() == [0.0, 0.0, 0.0]


def test_the_image_keeps_no_graph_of_its_pixels() -> None:
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        assert model_of(KINDS["phi"])().requires_grad
    assert max(kept) < 24  # pixels of a row


def test_a_masked_window(small_blocks: list[int]) -> None:
    model = model_of(KINDS["phi"])
    config = model.config()
    mask = torch.arange(576).reshape(24, 24).remainder(5).ne(0).numpy()
    masked = replace(config, detector=replace(config.detector, mask=mask, roi=nb.Roi(2, 20, 3, 19)))
    misset = model.get_parameter("crystal.misset_rad")
    (found,) = torch.autograd.grad(nb.simulate(masked, whole=False).sum(), misset)
    chosen = [(slow, fast) for slow in range(3, 20) for fast in range(2, 21) if mask[slow, fast]]
    (expected,) = torch.autograd.grad(nb.simulate_pixels(masked, chosen).sum(), misset)
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_a_gradient_can_be_differentiated_again() -> None:
    chosen = ["crystal.misset_rad", "crystal.cell.b_angstrom", "crystal.cells"]
    model = model_of("-detpixels 3 -pixel 20 -phi 0 -osc 1 -phisteps 2 -oversample 1", chosen)
    names = [name for name, _ in model.named_parameters()]
    scale = model().detach().max()

    def image(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, dict(zip(names, values)), ()) / scale  # type: ignore[no-any-return]

    starts = [value.detach().requires_grad_() for value in model.parameters()]
    assert gradgradcheck(image, starts, rtol=1e-4, atol=1e-4, fast_mode=True)


def test_no_pixels_have_a_gradient_too() -> None:
    model, alone = model_of(KINDS["phi"]), model_of(KINDS["phi"])
    (model([]).sum() + model([(3, 4)]).sum()).backward()
    alone([(3, 4)]).sum().backward()
    for mine, other in zip(model.parameters(), alone.parameters()):
        assert mine.grad is not None and other.grad is not None and torch.equal(mine.grad, other.grad)
    model([]).sum().backward()


def test_an_error_in_a_block_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    image = model_of(KINDS["phi"])()

    def broken(run: Run, pixels: Pixels) -> torch.Tensor:
        raise MemoryError("no room")

    monkeypatch.setattr(recompute, "pixel_values", broken)
    with pytest.raises(MemoryError, match="no room"):
        image.sum().backward()
