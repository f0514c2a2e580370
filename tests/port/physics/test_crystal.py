"""Cells, matrices and orientations against independent formulas."""

import math
import platform
from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_cases import DEVICES, INPUTS
from torch.autograd import gradcheck

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.physics import crystal, mosaic
from nanobragg_torch.physics.vectors import unit

LENGTHS, DEGREES = (50.0, 60.0, 70.0), (80.0, 95.0, 105.0)


def tensor(values: object, dtype: torch.dtype = torch.float64, device: str = "cpu") -> torch.Tensor:
    return torch.as_tensor(values, dtype=dtype, device=device)


def metric(lengths: tuple[float, ...], degrees: tuple[float, ...]) -> np.ndarray:
    """The metric tensor: squares of lengths, and products with the cosines between them."""
    a, b, c = lengths
    al, be, ga = (math.cos(math.radians(x)) for x in degrees)
    return np.array([[a * a, a * b * ga, a * c * be], [a * b * ga, b * b, b * c * al], [a * c * be, b * c * al, c * c]])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("degrees", [(90.0, 90.0, 90.0), (90.0, 105.0, 90.0), (90.0, 90.0, 120.0), (77.0, 90.0, 90.0)])
def test_the_cell_has_its_metric_tensor(
    degrees: tuple[float, ...], dtype: torch.dtype, tolerance: float, device: str
) -> None:
    config = parse(["-cell", *map(str, LENGTHS + degrees), "-default_F", "1"])
    axes = crystal.build_axes(config, tensor((), dtype, device))
    direct = np.stack([x.cpu().double().numpy() * 1e10 for x in (axes.a, axes.b, axes.c)])
    expected = metric(LENGTHS, degrees)
    assert np.abs(direct @ direct.T - expected).max() <= tolerance * expected.max()
    reciprocal = np.stack([x.cpu().double().numpy() for x in (axes.a_star, axes.b_star, axes.c_star)])
    assert np.abs(direct @ reciprocal.T - np.eye(3)).max() <= tolerance
    assert float(axes.volume) == pytest.approx(math.sqrt(np.linalg.det(expected)), rel=tolerance)
    assert axes.a_star[1] == axes.a_star[2] == 0  # a* along x


def test_a_triclinic_cell_keeps_its_lengths_but_not_its_angles() -> None:
    """The reference divides by sin(gamma*) where sin(gamma) belongs; golden triclinic_misset has it so."""
    config = parse(["-cell", *map(str, LENGTHS + DEGREES), "-default_F", "1"])
    axes = crystal.build_axes(config, tensor(()))
    a, b, c = (x.numpy() * 1e10 for x in (axes.a, axes.b, axes.c))
    assert [np.linalg.norm(x) for x in (a, b, c)] == pytest.approx(LENGTHS, rel=1e-13)
    degrees = [math.degrees(math.acos(u @ v / 50 / 60 / 70 * w)) for u, v, w in ((b, c, 50), (c, a, 60), (a, b, 70))]
    assert degrees == pytest.approx([79.9723, 95.0141, 105.0034], abs=1e-4)


def test_the_matrix_is_reciprocal_axes_times_the_wavelength() -> None:
    config = parse(["-mat", "A.mat", "-lambda", "0.9768", "-default_F", "1"], [INPUTS])
    axes = crystal.build_axes(config, tensor(()))
    stars = np.loadtxt(INPUTS / "A.mat").T / 0.9768
    direct = np.linalg.inv(stars).T
    for found, expected in zip((axes.a, axes.b, axes.c), direct, strict=True):
        assert np.abs(found.numpy() * 1e10 - expected).max() < 1e-12 * np.linalg.norm(expected)


def test_the_matrix_is_scaled_in_one_rounding() -> None:
    """1e-10 / wavelength, correctly rounded: an ulp here is 1e-12 of an intensity."""
    for angstrom in np.linspace(0.8, 2.2, 200).tolist():
        wavelength = angstrom / 1.0e10
        found = crystal.reciprocal_from_matrix(torch.eye(3, dtype=torch.float64), tensor(wavelength))
        assert float(found[0][0]) == 1e-10 / wavelength


def test_missing_cell_values_are_those_of_a_and_ninety_degrees() -> None:
    cell = parse(["-cell", "70", "-default_F", "1"]).crystal.cell
    assert cell is not None
    assert (cell.a_angstrom, cell.b_angstrom, cell.c_angstrom) == (70.0, 70.0, 70.0)
    assert (cell.alpha_rad, cell.beta_rad, cell.gamma_rad) == (math.pi / 2,) * 3


def test_phi_steps_are_left_edges_and_domains_vary_fastest() -> None:
    flags = "-cell 50 60 70 -default_F 1 -phi 2 -osc 1 -phisteps 4 -mosaic 0.5 -mosaic_dom 3"
    config = parse(flags.split())
    axes = crystal.build_axes(config, tensor(()))
    spindle = tensor((0.0, 0.0, 1.0))
    turned = crystal.build_orientations(config, axes, spindle).block(0, 12)[0]
    assert turned.shape == (12, 3)
    angles = torch.atan2(turned[::3, 1], turned[::3, 0]).rad2deg()
    assert angles.tolist() == pytest.approx([2.0, 2.25, 2.5, 2.75])
    # domain 0 is the identity; the others are turned by at most the spread
    cosines = (turned[0] * turned[1:3]).sum(-1) / axes.a.norm() ** 2
    assert all(0 < math.degrees(math.acos(x)) <= 0.5 for x in cosines.tolist())


@pytest.mark.parametrize("steps", [1, 3])
def test_gradients_reach_cell_misset_and_phi(steps: int) -> None:
    config = parse(["-cell", *map(str, LENGTHS + DEGREES), "-default_F", "1", "--phi-mode", "spec"])
    config = replace(config, scan=replace(config.scan, phi_steps=steps, phi_step_rad=0.01))
    spindle = tensor((0.6, 0.0, 0.8))

    def axes(a: torch.Tensor, alpha: torch.Tensor, misset: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
        assert config.crystal.cell is not None
        cell = replace(config.crystal.cell, a_angstrom=a, alpha_rad=alpha)
        made = replace(
            config,
            crystal=replace(config.crystal, cell=cell, misset_rad=misset),
            scan=replace(config.scan, phi_start_rad=phi),
        )
        turned = crystal.build_orientations(made, crystal.build_axes(made, a), spindle)
        return torch.stack(turned.block(0, turned.count)) * 1e10

    inputs = [tensor(x).requires_grad_() for x in (50.0, 1.4, (0.1, 0.0, -0.2), 0.0)]
    assert gradcheck(axes, inputs)


def test_random_misset_needs_a_seed_and_is_a_rotation() -> None:
    flags = ["-default_F", "1", "-misset", "random", "-misset_seed", "5"]
    config = parse(["-cell", *map(str, LENGTHS + DEGREES), *flags])
    assert config.crystal.misset_seed == -5
    matrix = mosaic.rotation(tensor(90.0), mosaic.deviates(1, -5))[0]
    assert (matrix @ matrix.T - torch.eye(3, dtype=torch.float64)).abs().max() < 1e-15
    degrees = crystal.misset_angles(matrix).rad2deg().tolist()
    assert degrees == pytest.approx([142.144470, 55.074207, 35.266329], abs=1e-6)  # Q19


def test_the_diagonal_of_a_rotation_squares_first() -> None:
    """t + q (v v): what the reference hands to atan2 for -misset_seed 43, to the last bit; (q v) v has others."""
    drawn = mosaic.deviates(1, -43)
    (xx, _, _), (yx, _, _), (_, zy, zz) = unit(unit(mosaic.rotation(torch.tensor(90.0).double(), drawn)[0])).tolist()
    assert (zy, zz) == (-0.10945290622571159, 0.055160148032524343)
    assert (yx, xx) == (-0.024194859370330894, -0.12015485588304101)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the number is glibc's")
def test_cube_roots_are_those_of_the_c_library() -> None:
    """The second is rounded otherwise than pow: a domain in 1,400 was turned by 1e-7 of its angle less."""
    roots = mosaic.cube_roots(np.array([0.125, 1025 / 2**20], dtype=np.float32))
    assert roots.dtype == np.float32
    assert [float(root).hex() for root in roots] == [(0.5).hex(), "0x1.9681c40000000p-4"]
    assert np.float32((1025 / 2**20) ** float(np.float32(1 / 3))).item().hex() == "0x1.9681c20000000p-4"


def test_gradient_of_the_mosaic_spread() -> None:
    draws = mosaic.deviates(3, -7)
    spread = tensor(0.01).requires_grad_()
    (found,) = torch.autograd.grad(mosaic.rotation(spread, draws)[2, 0, 1], spread)
    with torch.no_grad():
        high, low = (mosaic.rotation(tensor(0.01 + d), draws)[2, 0, 1] for d in (1e-3, -1e-3))
    assert float(found) == pytest.approx(float(high - low) / 2e-3, rel=1e-3)
