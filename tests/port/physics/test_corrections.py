"""Solid angle, polarization and capture against independent forms."""

import math

import pytest
import torch
from golden_cases import DEVICES
from torch.autograd import gradcheck, gradgradcheck

from nanobragg_torch.physics import beam, corrections


def tensor(values: object, dtype: torch.dtype = torch.float64, device: str = "cpu") -> torch.Tensor:
    return torch.as_tensor(values, dtype=dtype, device=device)


def kahn(incident: torch.Tensor, diffracted: torch.Tensor, axis: torch.Tensor, factor: float) -> float:
    """Semantics 5.3 as written there, with its arc tangent."""
    i, d, p = (v / v.norm() for v in (incident, diffracted, axis))
    c2 = float(i @ d) ** 2
    b = torch.linalg.cross(p, i)
    b = b / b.norm()
    e = torch.linalg.cross(i, b)
    psi = -math.atan2(float(d @ b), float(d @ e))
    return 0.5 * (1 + c2 - factor * math.cos(2 * psi) * (1 - c2))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-5)])
@pytest.mark.parametrize("factor", [0.0, 0.9, -1.0])
def test_polarization(factor: float, dtype: torch.dtype, tolerance: float, device: str) -> None:
    incident, axis = tensor([1.0, 0.02, -0.01]), tensor([0.1, 0.2, 1.0])
    for direction in ([0.9, 0.3, -0.2], [0.5, -0.5, 0.7], [-0.2, 0.1, 0.9]):
        diffracted = tensor(direction)
        moved = [v.to(dtype=dtype, device=device) for v in (incident, diffracted, axis, tensor(factor))]
        found = float(corrections.polarization(*moved))
        assert found == pytest.approx(kahn(incident, diffracted, axis, factor), rel=tolerance)
    if factor == 0.0:
        assert float(corrections.unpolarized(*moved[:2])) == found


def test_polarization_straight_ahead_is_one() -> None:
    v, axis = tensor([1.0, 0.0, 0.0]).requires_grad_(), tensor([0.0, 0.0, 1.0])
    found = corrections.polarization(v, v, axis, tensor(0.9))
    found.backward()
    assert float(found.detach()) == 1.0
    assert v.grad is not None
    assert torch.isfinite(v.grad).all()


def test_gradients() -> None:
    directions = [tensor(x).requires_grad_() for x in ([1.0, 0.02, 0.0], [0.7, 0.5, -0.2], [0.1, 0.2, 1.0])]
    assert gradcheck(corrections.polarization, (*directions, tensor(0.9).requires_grad_()))
    scalars = [tensor(x).requires_grad_() for x in (0.2, 0.15, 1e-2)]
    assert gradcheck(corrections.solid_angle, scalars)
    assert gradcheck(corrections.obliquity_factor, scalars[:2])
    layer = [tensor(x).requires_grad_() for x in (2.0, 0.1, 3.0)]
    assert gradcheck(corrections.capture_fraction, (*layer, directions[1], directions[0]))


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-3, 0.4])
def test_second_derivatives_of_the_polarization_along_the_beam(angle: float) -> None:
    """0.5 (1 + c2 - K (along^2 - across^2)): at angle 0, -1 - K along the axis and -1 + K across it."""
    incident, axis = tensor([1.0, 0.0, 0.0]), tensor([0.0, 0.0, 1.0])

    def factor(turn: torch.Tensor) -> torch.Tensor:
        ray = torch.stack([torch.ones((), dtype=torch.float64), *turn])
        return corrections.polarization(incident, ray, axis, tensor(0.9))

    turn = tensor([angle, -angle]).requires_grad_()
    assert gradcheck(factor, turn)
    assert gradgradcheck(factor, turn)
    if angle < 1e-6:
        bend = torch.autograd.functional.hessian(factor, turn)
        assert sorted(bend.diagonal().tolist()) == pytest.approx([-1.9, -0.1], abs=1e-6)


def test_solid_angle_of_a_sphere_is_four_pi() -> None:
    """A large plane, summed over square pixels, covers half the sphere."""
    pixel, close = tensor(0.01), tensor(0.1)
    edge = (torch.arange(-2000, 2000, dtype=torch.float64) + 0.5) * pixel
    x, y = torch.meshgrid(edge, edge, indexing="ij")
    distance = torch.sqrt(x * x + y * y + close * close)
    total = corrections.solid_angle(distance, close, pixel).sum()
    half = 20.0
    exact = 4 * math.asin(half * half / (half * half + 0.1**2))
    assert float(total) == pytest.approx(exact, rel=1e-3)


def test_layers_add_up_to_the_whole_sensor() -> None:
    step, mu = tensor(1e-4), tensor(3000.0)
    ray, normal = tensor([0.8, 0.6, 0.0]), tensor([1.0, 0.0, 0.0])
    total = sum(float(corrections.capture_fraction(tensor(float(k)), step, mu, ray, normal)) for k in range(4))
    assert total == pytest.approx(1 - math.exp(-4e-4 * 3000 / 0.8), rel=1e-14)


def test_water_background() -> None:
    found = beam.water_background(tensor(1e24), tensor(5e-6))
    expected = 2.57**2 * 7.94079248018965e-30 * 1e24 * (5e-6) ** 3 * 1e6 * 6.02214179e23 / 18
    assert float(found) == pytest.approx(expected, rel=1e-14)


def test_dmin_cuts_by_resolution() -> None:
    q = tensor([[1e9, 0.0, 0.0], [0.0, 5e9, 0.0], [0.0, 0.0, 0.0]])  # 10 A, 2 A, forward
    assert beam.beyond_dmin(q, 6e-10).tolist() == [False, True, False]
