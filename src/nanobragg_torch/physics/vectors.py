"""Vectors of the lab frame, shape (..., 3), components x, y, z along the last axis.

Every sum is written out left to right as separate elementwise operations: the reference does so, and a
fused multiply-add or a reassociated sum (matmul, einsum, addcmul) would change the last bit, which the
lattice factor amplifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def vector(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Components (...) -> (..., 3), each component contiguous in memory."""
    return torch.stack(torch.broadcast_tensors(x, y, z)).movedim(0, -1)


def components(v: Tensor, dims: int) -> Tensor:
    """(..., 3) -> (3, ...) with `dims` dimensions behind the first: broadcasts against one number a point."""
    first = v.movedim(-1, 0)
    return first.reshape(3, *[1] * (dims + 1 - first.dim()), *first.shape[1:])


def to_tensor(value: Any, like: Tensor) -> Tensor:
    """A number, a tensor, or a sequence of either, on the device and in the dtype of `like`."""
    if isinstance(value, Sequence):
        return torch.stack([to_tensor(item, like) for item in value])
    return torch.as_tensor(value, device=like.device, dtype=like.dtype)


def with_derivatives_of(value: Tensor, smooth: Tensor) -> Tensor:
    """Every bit of `value` with every derivative of `smooth`, the same function in a form that cancels nothing."""
    return value.detach() - (smooth.detach() - smooth)  # x - 0 keeps every bit of x


def dot(u: Tensor, v: Tensor) -> Tensor:
    """u1 v1 + u2 v2 + u3 v3."""
    x, y, z = (u * v).unbind(-1)
    return x + y + z


def cross(u: Tensor, v: Tensor) -> Tensor:
    """u x v, each component as u2 v3 - u3 v2."""
    ux, uy, uz = u.unbind(-1)
    vx, vy, vz = v.unbind(-1)
    return vector(uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)


def square_root(x: Tensor) -> Tensor:
    """sqrt(x), correctly rounded, x >= 0.

    On the CPU torch.sqrt misses the last bit for one number in 150, and lengths feed the phase of every
    reflection. numpy's is the processor's own; root + (exact - root) is exact and keeps the gradient.
    """
    root = torch.sqrt(x)
    if x.device.type != "cpu":
        return root
    exact = torch.from_numpy(np.asarray(np.sqrt(x.detach().numpy())))
    return root + (exact - root.detach()) if root.requires_grad else exact


def norm(v: Tensor) -> Tensor:
    """sqrt(x x + y y + z z); undefined at zero."""
    return square_root(dot(v, v))


def unit(v: Tensor) -> Tensor:
    """v / |v|; a zero vector stays zero (semantics 4.2), with zero gradient."""
    square = dot(v, v)
    is_zero = square == 0
    length = square_root(torch.where(is_zero, torch.ones_like(square), square))
    return v / length.unsqueeze(-1)


def rescale(v: Tensor, length: Tensor) -> Tensor:
    """v stretched to `length`, as (length / |v|) * component (semantics 3.1 C5)."""
    return (length / norm(v)).unsqueeze(-1) * v


def apply_matrix(matrix: Tensor, v: Tensor) -> Tensor:
    """Rows of `matrix` (..., 3, 3) times v (..., 3)."""
    return vector(dot(matrix[..., 0, :], v), dot(matrix[..., 1, :], v), dot(matrix[..., 2, :], v))


def multiply_matrices(left: Tensor, right: Tensor) -> Tensor:
    """left right, both (3, 3): each element a sum of three products, left to right."""
    return torch.stack([dot(left, column) for column in right.unbind(-1)], dim=-1)


def cos_sin(angle: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of the few angles that fix the geometry, (...) each.

    torch.polar asks the C library, as the reference does; torch.cos and torch.sin have a vector library of
    their own, which differs in the last bit for one angle in 500, and the lattice factor amplifies that.
    """
    point = torch.polar(torch.ones_like(angle), angle)
    return point.real, point.imag


def rotate_x(v: Tensor, angle: Tensor) -> Tensor:
    """About lab x: y' = y cos - z sin, z' = y sin + z cos."""
    x, y, z = v.unbind(-1)
    c, s = cos_sin(angle)
    return _unless_zero(angle, v, vector(x, y * c - z * s, y * s + z * c))


def rotate_y(v: Tensor, angle: Tensor) -> Tensor:
    """About lab y: x' = x cos + z sin, z' = -x sin + z cos."""
    x, y, z = v.unbind(-1)
    c, s = cos_sin(angle)
    return _unless_zero(angle, v, vector(x * c + z * s, y, -x * s + z * c))


def rotate_z(v: Tensor, angle: Tensor) -> Tensor:
    """About lab z: x' = x cos - y sin, y' = x sin + y cos."""
    x, y, z = v.unbind(-1)
    c, s = cos_sin(angle)
    return _unless_zero(angle, v, vector(x * c - y * s, x * s + y * c, z))


def rotate_xyz(v: Tensor, rx: Tensor, ry: Tensor, rz: Tensor) -> Tensor:
    """ROT_XYZ of semantics 3.1 C3: about lab x, then y, then z; an angle of exactly 0 is skipped."""
    return rotate_z(rotate_y(rotate_x(v, rx), ry), rz)


def rotate_axis(v: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Rodrigues' rotation of v about `axis`, which is used as it is, not normalised (semantics 3.3).

    v and axis (..., 3), angle (...): broadcast together.
    """
    n1, n2, n3 = axis.unbind(-1)
    v1, v2, v3 = v.unbind(-1)
    c, s = cos_sin(angle)
    d = (n1 * v1 + n2 * v2 + n3 * v3) * (1.0 - c)
    return vector(
        n1 * d + v1 * c + (-n3 * v2 + n2 * v3) * s,
        n2 * d + v2 * c + (n3 * v1 - n1 * v3) * s,
        n3 * d + v3 * c + (-n2 * v1 + n1 * v2) * s,
    )


def rotate_spindle(v: Tensor, spindle: Tensor, phi: Tensor) -> Tensor:
    """v turned by phi about the spindle; a phi of exactly 0 leaves it as it is (semantics 3.5).

    v and spindle (3,), phi (steps,) -> (steps, 3).
    """
    return _unless_zero(phi, v, rotate_axis(v, spindle, phi))


def _unless_zero(angle: Tensor, v: Tensor, rotated: Tensor) -> Tensor:
    """v where the angle is 0, else `rotated`; the gradient is that of `rotated` everywhere.

    A rotation by 0 may turn -0 into 0, so the reference's skipped rotation is visible in a trace. To pick v
    with torch.where would cut the gradient with respect to the angle.
    """
    return with_derivatives_of(torch.where((angle == 0).unsqueeze(-1), v, rotated), rotated)
