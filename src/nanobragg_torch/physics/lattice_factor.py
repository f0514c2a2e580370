"""Interference of the unit cells: the lattice factor of the four crystal shapes (semantics 6.2, 6.3)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from nanobragg_torch.physics.vectors import dot, with_derivatives_of

# Below these phases the derivatives are those of the series; what it leaves out is less than rounding does.
_GRATING_SERIES, _SINC3_SERIES = 0.05, 0.5


def miller_indices(axis: Tensor, q: Tensor) -> Tensor:
    """h = a . q (k and l likewise): axis (..., 3) in metres, q (..., 3) in 1/m -> (...)."""
    return _MillerIndices.apply(axis, q)


class _MillerIndices(torch.autograd.Function):
    """The dot product, whose derivatives, in which no last bit matters, are matrix products where they can be."""

    @staticmethod
    def forward(ctx: Any, axis: Tensor, q: Tensor) -> Tensor:
        ctx.save_for_backward(axis, q)
        return dot(axis, q)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        axis, q = ctx.saved_tensors
        tabular = min(axis.dim(), q.dim()) > 2 and axis.shape[-2] == q.shape[-3] == 1
        of_axis = of_q = None
        if ctx.needs_input_grad[0]:
            made = (slope @ q.squeeze(-3)).unsqueeze(-2) if tabular else slope.unsqueeze(-1) * q
            of_axis = made.sum_to_size(axis.shape)
        if ctx.needs_input_grad[1]:
            made = (slope.mT @ axis.squeeze(-2)).unsqueeze(-3) if tabular else slope.unsqueeze(-1) * axis
            of_q = made.sum_to_size(q.shape)
        return of_axis, of_q


def nearest_index(h: Tensor) -> Tensor:
    """ceil(h - 0.5): an exact half rounds down. (...) -> (...), still floating point."""
    return torch.ceil(h - 0.5)


def grating(h: Tensor, cells: Tensor) -> Tensor:
    """sin(N y) / sin(y), y = pi h: one axis of the SQUARE shape; N where y is exactly 0.

    y is not reduced: near an integer h the quotient is what the reference computes, rounding residue
    included (Q34). Near a peak the derivatives, which would lose all digits there, are those of the series.
    """
    h, _ = torch.broadcast_tensors(h, cells)
    return _Grating.apply(h, cells)


class _Grating(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, cells: Tensor) -> Tensor:
        y = math.pi * h
        at_zero = y == 0
        y = torch.where(at_zero, 1.0, y)
        value = torch.where(at_zero, cells, torch.sin(y * cells) / torch.sin(y))
        ctx.save_for_backward(h, cells, value)
        return value

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        h, cells, value = ctx.saved_tensors
        y = math.pi * h
        sine, waves = torch.sin(y), (y * cells).cos_()
        at = ((sine * cells).abs_() < _GRATING_SERIES).nonzero(as_tuple=True)
        # every peak is as the one at 0 for whole N, which stay whole
        repeats = (cells == torch.round(cells)) & (not ctx.needs_input_grad[1])
        h0 = torch.where(repeats.expand(h.shape)[at], nearest_index(h[at]), 0.0)
        near = (math.pi * (h[at] - h0) * cells.expand(h.shape)[at]).abs() < _GRATING_SERIES
        at, h0 = tuple(index[near] for index in at), h0[near]
        x, n = math.pi * (h[at] - h0), cells.expand(h.shape)[at]
        sine[at] = 1.0
        of_h = of_cells = None
        if ctx.needs_input_grad[0]:
            found = torch.addcmul(math.pi * cells * waves, value, torch.cos(y), value=-math.pi).div_(sine)
            found[at] = math.pi * peak_sign(h0, n) * _series_by_y(x, n)
            of_h = found.mul_(slope)
        if ctx.needs_input_grad[1]:
            found = y * waves / sine
            found[at] = _series_by_cells(x, n)
            of_cells = (slope * found).sum_to_size(cells.shape)
        return of_h, of_cells


def _series_by_y(y: Tensor, cells: Tensor) -> Tensor:
    """d/dy of sin(N y) / sin(y) to y^5, of the series of sin(N y) and of y / sin(y)."""
    y2, n2 = y * y, cells * cells
    first = (1.0 - n2) / 3.0
    third = (7.0 - 10.0 * n2 + 3.0 * n2 * n2) / 90.0
    fifth = (31.0 - 49.0 * n2 + 21.0 * n2 * n2 - 3.0 * n2 * n2 * n2) / 2520.0
    return cells * y * (first + y2 * (third + y2 * fifth))


def _series_by_cells(y: Tensor, cells: Tensor) -> Tensor:
    """d/dN of the same to y^6."""
    y2, n2 = y * y, cells * cells
    second = (1.0 - 3.0 * n2) / 6.0
    fourth = (7.0 - 30.0 * n2 + 15.0 * n2 * n2) / 360.0
    sixth = (31.0 - 147.0 * n2 + 105.0 * n2 * n2 - 21.0 * n2 * n2 * n2) / 15120.0
    return 1.0 + y2 * (second + y2 * (fourth + y2 * sixth))


def peak_sign(h0: Tensor, cells: Tensor) -> Tensor:
    """(-1)^((N - 1) h0) of the whole N next to `cells`, so that it has no gradient."""
    return 1.0 - 2.0 * torch.remainder((torch.round(cells) - 1.0) * h0, 2.0)


def reduced_grating(h: Tensor, h0: Tensor, cells: Tensor) -> Tensor:
    """`grating` of h - h0 with the sign that h0 whole periods give (`peak_sign`); +-N at h = h0."""
    return peak_sign(h0, cells) * grating(h - h0, cells)


def square_factor(factor_a: Tensor, factor_b: Tensor, factor_c: Tensor) -> Tensor:
    """Product over the axes, in this order."""
    return factor_a * factor_b * factor_c


def sinc3(x: Tensor) -> Tensor:
    """3 (sin(x)/x - cos(x)) / x^2, the transform of a ball; x not 0, where it is 1."""
    return 3.0 * (torch.sin(x) / x - torch.cos(x)) / (x * x)


def sinc3_series(x2: Tensor) -> Tensor:
    """`sinc3` to x^10, of x^2: the sum of 3 (-1)^n (2n + 2) / (2n + 3)! x^2n."""
    total = torch.full_like(x2, -1 / 172972800)
    for coefficient in (1 / 1330560, -1 / 15120, 1 / 280, -1 / 10, 1.0):
        total = coefficient + x2 * total
    return total


def cells_from_peak_squared(fractions: Tensor, cells: Tensor) -> Tensor:
    """Sum of ((h - h0) Na)^2 over the axes: fractions (..., 3), cells (3,) -> (...)."""
    dh, dk, dl = fractions.unbind(-1)
    na, nb, nc = cells.unbind(-1)
    return dh * dh * na * na + dk * dk * nb * nb + dl * dl * nc * nc


def round_factor(fractions: Tensor, cells: Tensor, fudge: Tensor) -> Tensor:
    """ROUND: fractions (..., 3) of h - h0, k - k0, l - l0; cells (3,) -> (...)."""
    na, nb, nc = cells.unbind(-1)
    rho2 = cells_from_peak_squared(fractions, cells)
    at_zero = rho2 * fudge == 0
    argument = math.pi * torch.sqrt(torch.where(at_zero, 1.0, rho2 * fudge))
    ball = torch.where(at_zero, 1.0, sinc3(argument))
    if torch.is_grad_enabled() and ball.requires_grad:
        # a root has no derivative at 0, and the others lose all digits near it
        near = at_zero | (argument < _SINC3_SERIES)
        smooth = sinc3_series(math.pi * math.pi * torch.where(near, rho2 * fudge, 0.0))
        far = sinc3(math.pi * torch.sqrt(torch.where(near, 1.0, rho2 * fudge)))
        ball = torch.where(near, with_derivatives_of(ball, smooth), far)
    return na * nb * nc * 0.723601254558268 * ball


def spot_radius_squared(fractions: Tensor, cells: Tensor, a_star: Tensor, b_star: Tensor, c_star: Tensor) -> Tensor:
    """|D|^2 Na^2 Nb^2 Nc^2 of D = (h-h0) a* + (k-k0) b* + (l-l0) c*, reciprocal axes unrotated (Q09, Q24)."""
    dh, dk, dl = (x.unsqueeze(-1) for x in fractions.unbind(-1))
    na, nb, nc = cells.unbind(-1)
    d = dh * a_star + dk * b_star + dl * c_star
    return dot(d, d) * na * na * nb * nb * nc * nc


def gauss_factor(radius_squared: Tensor, cells: Tensor, fudge: Tensor) -> Tensor:
    """GAUSS: Na Nb Nc exp(-(rad2 / 0.63 fudge))."""
    na, nb, nc = cells.unbind(-1)
    return na * nb * nc * torch.exp(-(radius_squared / 0.63 * fudge))


def tophat_factor(radius_squared: Tensor, cells: Tensor, fudge: Tensor) -> Tensor:
    """TOPHAT: Na Nb Nc within the radius, else 0."""
    na, nb, nc = cells.unbind(-1)
    inside = radius_squared * fudge < 0.3969
    return torch.where(inside, na * nb * nc, torch.zeros_like(radius_squared))
