"""Interference of the unit cells: the lattice factor of the four crystal shapes (semantics 6.2, 6.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nanobragg_torch.vectors import dot


def miller_indices(axis: Tensor, q: Tensor) -> Tensor:
    """h = a . q (k and l likewise): axis (..., 3) in metres, q (..., 3) in 1/m -> (...)."""
    return dot(axis, q)


def nearest_index(h: Tensor) -> Tensor:
    """ceil(h - 0.5): an exact half rounds down. (...) -> (...), still floating point."""
    return torch.ceil(h - 0.5)


def grating(h: Tensor, cells: Tensor) -> Tensor:
    """sin(N y) / sin(y), y = pi h: one axis of the SQUARE shape; N where y is exactly 0.

    y is not reduced: near an integer h the quotient is what the reference computes, rounding residue
    included (Q34). The gradient at 0 is that of the limit, 0 with respect to h and 1 with respect to N.
    """
    y = math.pi * h
    at_zero = y == 0
    safe = torch.where(at_zero, torch.ones_like(y), y)
    return torch.where(at_zero, cells, torch.sin(safe * cells) / torch.sin(safe))


def reduced_grating(h: Tensor, h0: Tensor, cells: Tensor) -> Tensor:
    """`grating` of h - h0 with the sign that h0 whole periods give, (-1)^((N - 1) h0); +-N at h = h0.

    The sign is that of the whole N next to `cells`, so that it has no gradient and is a sign beside whole N too.
    """
    sign = 1.0 - 2.0 * torch.remainder((torch.round(cells) - 1.0) * h0, 2.0)
    return sign * grating(h - h0, cells)


def square_factor(factor_a: Tensor, factor_b: Tensor, factor_c: Tensor) -> Tensor:
    """Product over the axes, in this order."""
    return factor_a * factor_b * factor_c


def sinc3(x: Tensor) -> Tensor:
    """3 (sin(x)/x - cos(x)) / x^2, the transform of a ball; 1 at 0, where its gradient is 0."""
    at_zero = x == 0
    safe = torch.where(at_zero, torch.ones_like(x), x)
    value = 3.0 * (torch.sin(safe) / safe - torch.cos(safe)) / (safe * safe)
    return torch.where(at_zero, torch.ones_like(x), value)


def cells_from_peak_squared(fractions: Tensor, cells: Tensor) -> Tensor:
    """Sum of ((h - h0) Na)^2 over the axes: fractions (..., 3), cells (3,) -> (...)."""
    dh, dk, dl = fractions.unbind(-1)
    na, nb, nc = cells.unbind(-1)
    return dh * dh * na * na + dk * dk * nb * nb + dl * dl * nc * nc


def round_factor(fractions: Tensor, cells: Tensor, fudge: Tensor) -> Tensor:
    """ROUND: fractions (..., 3) of h - h0, k - k0, l - l0; cells (3,) -> (...)."""
    na, nb, nc = cells.unbind(-1)
    rho2 = cells_from_peak_squared(fractions, cells)
    at_zero = rho2 == 0
    root = torch.sqrt(torch.where(at_zero, torch.ones_like(rho2), rho2) * fudge)
    argument = math.pi * torch.where(at_zero, torch.zeros_like(root), root)
    return na * nb * nc * 0.723601254558268 * sinc3(argument)


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
