"""Lattice factors against numpy, near and at their removable singularities."""

import math

import numpy as np
import pytest
import torch
from golden_cases import DEVICES
from torch.autograd import gradcheck, gradgradcheck

from nanobragg_torch.physics import lattice_factor as lf

H = np.array([-6.8795206024501, -0.607255839576692, 0.25, 1e-3, 13.5])


def tensor(values: object, dtype: torch.dtype = torch.float64, device: str = "cpu") -> torch.Tensor:
    return torch.as_tensor(values, dtype=dtype, device=device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-3)])
def test_grating_is_the_sum_of_the_waves_of_n_cells(dtype: torch.dtype, tolerance: float, device: str) -> None:
    """|sum_j exp(2 pi i j h)| over N cells, counted one by one."""
    n = 29
    waves = np.exp(2j * np.pi * np.outer(np.arange(n), H)).sum(axis=0)
    found = lf.grating(tensor(H, dtype, device), tensor(float(n), dtype, device))
    assert np.abs(np.abs(found.cpu().double().numpy()) - np.abs(waves)).max() <= tolerance * n
    assert found.dtype is dtype


def test_the_reference_takes_residue_for_a_peak_at_whole_numbers() -> None:
    """Q34: y is not reduced."""
    for h, n, expected in ((1.0, 29.0, -0.0101), (3.0, 5.0, 14.67), (1.0, 1000.0, -2624.6)):
        assert float(lf.grating(tensor(h), tensor(n))) == pytest.approx(expected, rel=5e-3)
    assert float(lf.grating(tensor(0.0), tensor(29.0))) == 29.0
    assert float(lf.grating(tensor(-0.0), tensor(29.0))) == 29.0


def test_exact_halves_round_down() -> None:
    assert lf.nearest_index(tensor([0.5, 1.5, -0.5, -1.5, 0.49, 0.51])).tolist() == [0, 1, -1, -2, 0, 1]


def test_round_crystal_is_the_transform_of_a_ball() -> None:
    x = np.array([1e-3, 1.0, 4.4934])
    exact = np.array([1 - 1e-6 / 10, 3 * (math.sin(1) - math.cos(1)), 0.0])
    assert lf.sinc3(tensor(x)).numpy() == pytest.approx(exact, abs=1e-5)
    assert lf.sinc3_series(tensor([0.0, 0.01, 0.25])).tolist() == pytest.approx(
        [1.0, *lf.sinc3(tensor([0.1, 0.5])).tolist()], rel=1e-12
    )
    cells = tensor([3.0, 4.0, 5.0])
    peak = lf.round_factor(tensor([0.0, 0.0, 0.0]), cells, tensor(1.0))
    assert float(peak) == pytest.approx(60 * 0.723601254558268, rel=1e-15)


def test_gauss_and_tophat() -> None:
    cells, fudge = tensor([2.0, 1.0, 1.0]), tensor(1.0)
    stars = [tensor(x) for x in ((0.1, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, 0.0, 0.3))]
    radius = lf.spot_radius_squared(tensor([0.1, 0.2, 0.0]), cells, *stars)
    assert float(radius) == pytest.approx((0.01**2 + 0.04**2) * 4, rel=1e-14)
    assert float(lf.gauss_factor(radius, cells, fudge)) == pytest.approx(2 * math.exp(-0.0068 / 0.63), rel=1e-14)
    near, far = tensor(0.3968), tensor(0.397)
    assert float(lf.tophat_factor(near, cells, fudge)) == 2.0
    assert float(lf.tophat_factor(far, cells, fudge)) == 0.0


@pytest.mark.parametrize("h", [0.0, 1e-3, 0.31, -6.88])
def test_gradients_of_the_grating(h: float) -> None:
    inputs = (tensor([h, 0.2]).requires_grad_(), tensor(7.0).requires_grad_())
    assert gradcheck(lf.grating, inputs)


@pytest.mark.parametrize("distance", [0.0, 0.02, 0.2])
def test_gradients_of_the_other_shapes(distance: float) -> None:
    fractions = tensor([[distance, -distance, 0.5 * distance]]).requires_grad_()
    cells = tensor([3.0, 4.0, 5.0]).requires_grad_()
    fudge = tensor(1.1).requires_grad_()
    if distance > 0:
        assert gradcheck(lf.round_factor, (fractions, cells, fudge))
    else:
        lf.round_factor(fractions, cells, fudge).sum().backward()
        assert fractions.grad is not None
        assert fractions.grad.tolist() == [[0.0, 0.0, 0.0]]
    stars = [tensor(x).requires_grad_() for x in ((0.1, 0.0, 0.02), (0.0, 0.2, 0.0), (0.01, 0.0, 0.3))]
    assert gradcheck(lf.spot_radius_squared, (fractions, cells, *stars))
    radius = tensor([0.2]).requires_grad_()
    assert gradcheck(lf.gauss_factor, (radius, cells, fudge))


@pytest.mark.parametrize("h", [0.0, 1e-300, -1e-9, 1e-3, 0.01, 3.0, -2 + 1e-9, 5.4])
def test_second_derivatives_of_the_grating(h: float) -> None:
    """At a peak of N cells: N pi^2 (1 - N^2) / 3 times its sign; without the series 0, or noise of 1e14."""
    cells, at = tensor(7.0), tensor([h]).requires_grad_()
    value = lf.grating(at, cells)
    assert torch.equal(value.detach(), lf.grating(at.detach(), cells))
    if abs(h) < 1:  # elsewhere the values have a residue (Q34), which finite differences take for a slope
        assert gradcheck(lf.grating, (at, cells))
    assert gradgradcheck(lf.grating, (at, cells), rtol=1e-5)
    (slope,) = torch.autograd.grad(value, at, create_graph=True)
    (bend,) = torch.autograd.grad(slope, at)
    if abs(h - round(h)) < 1e-6:
        assert float(bend) == pytest.approx(7 * math.pi**2 * (1 - 49) / 3, rel=1e-9)
        assert abs(float(slope.detach())) < 1e-5


def test_second_derivatives_with_respect_to_the_number_of_cells() -> None:
    inputs = (tensor([0.0, 1e-9, 0.31]).requires_grad_(), tensor(7.0).requires_grad_())
    assert gradgradcheck(lf.grating, inputs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("distance", [0.0, 1e-170, 1e-9, 1e-3, 0.02, 0.2])
def test_second_derivatives_of_the_ball(distance: float) -> None:
    fractions = tensor([[distance, -distance, 0.5 * distance]]).requires_grad_()
    cells, fudge = tensor([3.0, 4.0, 5.0]), tensor(1.1).requires_grad_()
    value = lf.round_factor(fractions, cells, fudge)
    with torch.no_grad():
        assert torch.equal(value, lf.round_factor(fractions, cells, fudge))
    if distance > 0.01:  # below, the values have noise, as the reference's have
        assert gradcheck(lf.round_factor, (fractions, cells, fudge))
    assert gradgradcheck(lf.round_factor, (fractions, cells, fudge), rtol=1e-4, atol=1e-4)
    if distance < 1e-6:
        bend = torch.autograd.functional.hessian(lambda f: lf.round_factor(f, cells, fudge).sum(), fractions)
        expected = 60 * 0.723601254558268 * -(math.pi**2) / 5 * 1.1 * np.diag([9.0, 16.0, 25.0])
        assert bend.squeeze().numpy() == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_miller_indices() -> None:
    axis, q = tensor([1e-9, 2e-9, 0.0]), tensor([[1e9, 0.5e9, 7e9], [0.0, 1e9, 0.0]])
    assert lf.miller_indices(axis, q).tolist() == pytest.approx([2.0, 2.0])
