"""Gradients of whole images, at ordinary points and at removable singularities, and the tutorial that uses them."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from nanobragg_torch.scan.simulate import simulate

TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorials" / "refine_misset.md"
BASE = "-cell 50 60 70 80 95 105 -default_F 10 -lambda 1.1 -N 3 -distance 100 -oversample 1 -flux 1e33 -beamsize 1"


def tensor(value: object) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64).requires_grad_()


def run_example(number: int, *changes: tuple[str, str]) -> dict[str, object]:
    """The names that an example of the tutorial leaves behind; changes: what is replaced in it first."""
    code = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(encoding="ascii"), re.DOTALL)[number]
    for old, new in changes:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    names: dict[str, object] = {}
    exec(compile(code, str(TUTORIAL), "exec"), names)
    return names


def test_the_tutorial_finds_the_misset(capsys: pytest.CaptureFixture[str]) -> None:
    names = run_example(0)
    assert isinstance(names["misset"], torch.Tensor)
    assert isinstance(names["truth"], torch.Tensor)
    assert float((names["misset"] - names["truth"]).detach().abs().max()) < 1e-9
    misfit = re.search(r"misfit (\S+) -> (\S+)\n", capsys.readouterr().out)
    assert misfit is not None
    assert float(misfit[1]) > 0.5
    assert float(misfit[2]) < 1e-15


def test_the_tutorial_refines_a_still(capsys: pytest.CaptureFixture[str]) -> None:
    """The middle quarter of the image in fewer iterations, which takes seconds."""
    run_example(1, ("-detpixels 1024", "-detpixels 512"), ("(0.15, 0.3, 0.75)", "(0.3, 0.75)"), ("=50", "=20"))
    printed = capsys.readouterr().out
    misfits = [(float(x), float(y)) for x, y in re.findall(r"misfit (\S+) -> (\S+)\n", printed)]
    assert misfits[0][0] > 3 and misfits[-1][1] < 0.2
    off = {name: (float(x), float(y)) for name, x, y in re.findall(r"(\S+) +off by (\S+) -> (\S+)\n", printed)}
    assert len(off) == 8
    for name, (before, after) in off.items():
        assert after < before / 4, name


@pytest.mark.parametrize("mode", ["c-parity", "spec"])
@pytest.mark.parametrize("shape", ["-square_xtal", "-round_xtal", "-gauss_xtal -fudge 1e-3"])
def test_gradients_through_every_shape(shape: str, mode: str) -> None:
    """Two sources, thick sensor, sub-pixels with factors of their own, tilted detector."""
    more = "-dispersion 2 -detector_thick 100 -oversample_omega -polar 0.5 -detector_rotx 3 -water 1"
    config = parse(f"{BASE} -detpixels 2 -pixel 15 {shape} {more} --mode {mode}".split())
    cell = config.crystal.cell
    assert cell is not None

    def image(*inputs: torch.Tensor) -> torch.Tensor:
        b, beta, misset, wave, far, x, rotx = inputs
        made = replace(
            config,
            crystal=replace(config.crystal, cell=replace(cell, b_angstrom=b, beta_rad=beta), misset_rad=misset),
            beam=replace(config.beam, wavelength_m=wave * 1e-10),
            detector=replace(config.detector, distance_m=far / 1000, y_beam_m=x / 1000, rotx_rad=rotx),
        )
        found = simulate(made, device="cpu", dtype=torch.float64)
        return found / scale

    values = (60.0, 1.65, (0.05, 0.0, -0.03), 1.1, 100.0, 12.0, 0.05)
    scale = torch.ones((), dtype=torch.float64)
    scale = image(*(tensor(v) for v in values)).detach().max()
    assert gradcheck(image, [tensor(v) for v in values], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", ["-square_xtal", "-round_xtal"])
def test_gradients_where_the_beam_hits(shape: str) -> None:
    """The middle pixel has q = 0: every index 0, polarization and sinc at their removable singularities."""
    config = parse(f"{BASE} -denzo -Xbeam 22.5 -Ybeam 22.5 -detpixels 3 -pixel 15 -polar 0.7 {shape}".split())

    def image(misset: torch.Tensor, wave: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        made = replace(
            config,
            crystal=replace(config.crystal, misset_rad=misset, cells=n),
            beam=replace(config.beam, wavelength_m=wave * 1e-10),
        )
        found = simulate(made, device="cpu", dtype=torch.float64)
        return found / scale

    inputs = [tensor(v) for v in ((0.02, 0.0, 0.01), 1.1, (3.0, 3.0, 3.0))]
    scale = torch.ones((), dtype=torch.float64)
    scale = image(*inputs)[1, 1].detach()
    made = image(*inputs)
    assert float(made[1, 1].detach()) == 1.0
    grads = torch.autograd.grad(made[1, 1], inputs, retain_graph=True)
    assert grads[0].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert grads[2].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3])  # I goes by (Na Nb Nc)^2
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(made.sum(), inputs))

    def beside(*changed: torch.Tensor) -> torch.Tensor:
        return image(*changed).flatten()[[0, 1, 3, 8]]

    assert gradcheck(beside, inputs, rtol=1e-4, atol=1e-4)


def test_gradient_of_the_mosaic_spread() -> None:
    """Angles are rounded to float32 on the way, so that differences need a wide step."""
    config = parse(f"{BASE} -detpixels 4 -pixel 10 -mosaic 2 -mosaic_dom 5".split())

    def total(spread: torch.Tensor) -> torch.Tensor:
        made = replace(config, crystal=replace(config.crystal, mosaic_spread_rad=spread))
        image = simulate(made, device="cpu", dtype=torch.float64)
        return image[1, 2] / scale

    scale = torch.ones((), dtype=torch.float64)
    spread = tensor(0.035)
    scale = total(spread).detach()
    assert gradcheck(total, [spread], eps=1e-4, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["c-parity", "spec"])
def test_the_gradient_of_the_number_of_cells(mode: str) -> None:
    """Also where the sign of a reduced grating is taken from N (Q34 off)."""
    config = parse(f"{BASE} -detpixels 3 -pixel 9 -misset 10 20 30 --mode {mode}".split())

    def image(cells: torch.Tensor) -> torch.Tensor:
        made = replace(config, crystal=replace(config.crystal, cells=cells))
        return simulate(made, device="cpu", dtype=torch.float64) / scale

    scale = torch.ones((), dtype=torch.float64)
    scale = image(tensor((3.0, 4.0, 2.0))).detach().max()
    assert gradcheck(image, [tensor((3.0, 4.0, 2.0))], rtol=1e-4, atol=1e-4)


def test_a_gradient_does_not_change_a_bit_of_the_image() -> None:
    config = parse(f"{BASE} -detpixels 6 -pixel 9 -phi 0 -osc 1 -phisteps 3 -mosaic 1 -mosaic_dom 3".split())
    plain = simulate(config, device="cpu", dtype=torch.float64)
    wave = tensor(1.1 / 1e10)
    made = replace(config, beam=replace(config.beam, wavelength_m=wave))
    assert torch.equal(simulate(made, device="cpu", dtype=torch.float64).detach(), plain)


@pytest.mark.parametrize("way", ["-nointerpolate", "-interpolate"])
def test_gradients_of_structure_factors(tmp_path: Path, way: str) -> None:
    """d(image)/dF of every listed reflection and of the default, against finite differences."""
    lines = [f"{h} {k} {m} {5 + h + 2 * k * k + m}" for h, k, m in product(range(-3, 4), repeat=3) if (h + k + m) % 3]
    (tmp_path / "list.hkl").write_text("\n".join(lines))
    flags = f"{BASE} -hkl list.hkl {way} --quirk Q25=off -detpixels 4 -pixel 1.5"
    config = loaded(parse(flags.split(), [tmp_path]))
    listed = config.structure.reflections
    assert listed is not None

    def image(factors: torch.Tensor, default: torch.Tensor) -> torch.Tensor:
        structure = replace(config.structure, reflections=replace(listed, F=factors), default_F=default)
        return simulate(replace(config, structure=structure), device="cpu", dtype=torch.float64) / scale

    values = (listed.F, config.structure.default_F)
    scale = torch.ones((), dtype=torch.float64)
    scale = image(*(tensor(v) for v in values)).detach().max()
    inputs = [tensor(v) for v in values]
    assert gradcheck(image, inputs, rtol=1e-4, atol=1e-6, fast_mode=True)
    image(*inputs).sum().backward()
    assert inputs[0].grad is not None and inputs[1].grad is not None
    assert int((inputs[0].grad != 0).sum()) > 5
    assert float(inputs[1].grad) != 0.0
