"""Interference of the unit cells: the lattice factor of the four crystal shapes (semantics 6.2, 6.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nanobragg_torch.physics.vectors import dot, with_derivatives_of

# Below these phases the derivatives are those of the series; what it leaves out is less than rounding does.
_GRATING_SERIES, _SINC3_SERIES = 0.05, 0.5


def miller_indices(axis: Tensor, q: Tensor) -> Tensor:
    """h = a . q (k and l likewise): axis (..., 3) in metres, q (..., 3) in 1/m -> (...)."""
    return dot(axis, q)


def nearest_index(h: Tensor) -> Tensor:
    """ceil(h - 0.5): an exact half rounds down. (...) -> (...), still floating point."""
    return torch.ceil(h - 0.5)


def grating(h: Tensor, cells: Tensor) -> Tensor:
    """sin(N y) / sin(y), y = pi h: one axis of the SQUARE shape; N where y is exactly 0.

    y is not reduced: near an integer h the quotient is what the reference computes, rounding residue
    included (Q34). Its derivatives lose all digits near a peak: there they are those of the series.
    """
    y = math.pi * h
    at_zero = y == 0
    value = torch.where(at_zero, cells, _quotient(torch.where(at_zero, 1.0, y), cells))
    if not (torch.is_grad_enabled() and value.requires_grad):
        return value
    h0 = torch.where(_repeats(cells), nearest_index(h), 0.0)
    near = (math.pi * (h - h0) * cells).abs() < _GRATING_SERIES
    from_peak = torch.where(near, h - h0, 0.0)
    smooth = torch.where(near, peak_sign(h0, cells) * grating_series(math.pi * from_peak, cells), 0.0)
    return torch.where(near, with_derivatives_of(value, smooth), _quotient(torch.where(near, 1.0, y), cells))


def _quotient(y: Tensor, cells: Tensor) -> Tensor:
    return torch.sin(y * cells) / torch.sin(y)


def _repeats(cells: Tensor) -> Tensor:
    """Whether every peak is as the one at 0: for whole N, which stay whole."""
    return (cells == torch.round(cells)) & (not cells.requires_grad)


def grating_series(y: Tensor, cells: Tensor) -> Tensor:
    """sin(N y) / sin(y) to y^6, of the series of sin(N y) and of y / sin(y)."""
    y2, n2 = y * y, cells * cells
    second = (1.0 - n2) / 6.0
    fourth = (7.0 - 10.0 * n2 + 3.0 * n2 * n2) / 360.0
    sixth = (31.0 - 49.0 * n2 + 21.0 * n2 * n2 - 3.0 * n2 * n2 * n2) / 15120.0
    return cells * (1.0 + y2 * (second + y2 * (fourth + y2 * sixth)))


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
