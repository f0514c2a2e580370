"""Vector arithmetic against numpy, and its gradients."""

import math

import numpy as np
import pytest
import torch
from golden_cases import DEVICES
from torch.autograd import gradcheck

from nanobragg_torch.physics import vectors

DTYPES = {torch.float64: 1e-15, torch.float32: 5e-7}
RNG = np.random.default_rng(5)
U, V, AXIS = RNG.normal(size=(3, 7, 3))


def tensor(values: object, dtype: torch.dtype = torch.float64, device: str = "cpu") -> torch.Tensor:
    return torch.as_tensor(values, dtype=dtype, device=device)


def close(found: torch.Tensor, expected: np.ndarray, tolerance: float) -> None:
    scale = max(float(np.abs(expected).max()), 1e-30)
    assert np.abs(found.cpu().double().numpy() - expected).max() <= 4 * tolerance * scale


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_and_lengths(dtype: torch.dtype, device: str) -> None:
    u, v = tensor(U, dtype, device), tensor(V, dtype, device)
    close(vectors.dot(u, v), (U * V).sum(-1), DTYPES[dtype])
    close(vectors.cross(u, v), np.cross(U, V), DTYPES[dtype])
    close(vectors.norm(u), np.linalg.norm(U, axis=-1), DTYPES[dtype])
    close(vectors.unit(u), U / np.linalg.norm(U, axis=-1, keepdims=True), DTYPES[dtype])
    assert vectors.dot(u, v).dtype is dtype


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rotations_are_matrices(dtype: torch.dtype, device: str) -> None:
    rx, ry, rz = 0.3, -1.1, 2.0
    x = np.array([[1, 0, 0], [0, math.cos(rx), -math.sin(rx)], [0, math.sin(rx), math.cos(rx)]])
    y = np.array([[math.cos(ry), 0, math.sin(ry)], [0, 1, 0], [-math.sin(ry), 0, math.cos(ry)]])
    z = np.array([[math.cos(rz), -math.sin(rz), 0], [math.sin(rz), math.cos(rz), 0], [0, 0, 1]])
    angles = [tensor(angle, dtype, device) for angle in (rx, ry, rz)]
    close(vectors.rotate_xyz(tensor(U, dtype, device), *angles), U @ (z @ y @ x).T, DTYPES[dtype])


def test_rotation_about_an_axis_matches_rodrigues() -> None:
    n = AXIS[0] / np.linalg.norm(AXIS[0])
    skew = np.array([[0, -n[2], n[1]], [n[2], 0, -n[0]], [-n[1], n[0], 0]])
    matrix = np.eye(3) + math.sin(0.7) * skew + (1 - math.cos(0.7)) * skew @ skew
    found = vectors.rotate_axis(tensor(V), tensor(n), tensor(0.7))
    close(found, V @ matrix.T, 1e-15)


def test_a_rotation_by_zero_keeps_the_sign_of_zero() -> None:
    v, zero = tensor([-0.0, 1.0, -0.0]), tensor(0.0)
    kept = vectors.rotate_xyz(v, zero, zero, zero)
    assert torch.signbit(kept).tolist() == [True, False, True]
    assert torch.signbit(vectors.rotate_spindle(v, tensor([0.0, 0.0, 1.0]), zero)).tolist() == [True, False, True]


def test_zero_has_a_unit_vector_and_a_gradient() -> None:
    v = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    found = vectors.unit(v)
    found.sum().backward()
    assert found.tolist() == [0.0, 0.0, 0.0]
    assert v.grad is not None
    assert torch.isfinite(v.grad).all()


def test_the_square_root_is_correctly_rounded() -> None:
    near_one = 1.0 + RNG.integers(-200, 200, size=10_000) * 2.0**-53  # unit vectors: roots lie near a tie
    powers = np.concatenate([4.0**k * (1.0 + np.arange(-4, 5) * 2.0**-53) for k in range(-20, 20)])
    x = np.concatenate((10.0 ** RNG.uniform(-30, 30, size=100_000), near_one, 2 * near_one, powers, [0.0]))
    assert np.array_equal(vectors.square_root(tensor(x)).numpy(), np.sqrt(x))
    x32 = np.concatenate((x, 1.0 + np.arange(-500, 500) * 2.0**-24)).astype(np.float32)
    assert np.array_equal(vectors.square_root(tensor(x32, torch.float32)).numpy(), np.sqrt(x32))


def test_cos_and_sin_are_those_of_the_c_library() -> None:
    angles = RNG.uniform(-7, 7, size=5000)
    cosine, sine = vectors.cos_sin(tensor(angles))
    assert cosine.tolist() == [math.cos(x) for x in angles]
    assert sine.tolist() == [math.sin(x) for x in angles]


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_rotations_have_gradients_also_at_zero(angle: float) -> None:
    v, axis = tensor(V[0]).requires_grad_(), tensor(AXIS[0]).requires_grad_()
    x, y, z = (tensor(angle).requires_grad_() for _ in range(3))
    assert gradcheck(vectors.rotate_axis, (v, axis, x), check_forward_ad=True)
    assert gradcheck(vectors.rotate_xyz, (v, x, y, z), check_forward_ad=True)
    phi = tensor([angle, 0.0, 1.0]).requires_grad_()
    assert gradcheck(vectors.rotate_spindle, (v, axis, phi), check_forward_ad=True)
    assert gradcheck(vectors.unit, (v,))
    assert gradcheck(vectors.norm, (v,))
