"""Factors that scale a pixel: solid angle, polarization, capture in the sensor (semantics 4.6, 4.7, 5.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from nanobragg_torch.physics.vectors import cross, dot, norm, unit, with_derivatives_of


def obliquity_factor(close_distance: Tensor, distance: Tensor) -> Tensor:
    """close_distance / R: cosine between the ray and the detector's normal."""
    return close_distance / distance


def solid_angle(distance: Tensor, close_distance: Tensor, pixel: Tensor) -> Tensor:
    """pixel pixel / R / R close_distance / R, left to right; negative behind the detector."""
    return pixel * pixel / distance / distance * close_distance / distance


def point_solid_angle(distance: Tensor) -> Tensor:
    """1 / R / R: the reference leaves the pixel's area out (Q16)."""
    return 1.0 / distance / distance


def facing_solid_angle(distance: Tensor, pixel: Tensor) -> Tensor:
    """pixel^2 / R^2: a pixel that faces the sample."""
    return pixel * pixel / distance / distance


def capture_fraction(layer: Tensor, step: Tensor, mu: Tensor, diffracted: Tensor, odet: Tensor) -> Tensor:
    """Share of the photons that the layer at depth layer * step absorbs."""
    cosine = dot(diffracted, odet)
    return torch.exp(-layer * step * mu / cosine) - torch.exp(-(layer + 1) * step * mu / cosine)


def cos_two_theta(incident: Tensor, diffracted: Tensor) -> Tensor:
    """incident . diffracted."""
    return dot(incident, diffracted)


def polarization_axes(incident: Tensor, axis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The unit vectors of the incident direction, B = axis x incident and E = incident x B, (..., 3) each."""
    incident = unit(incident)
    across = unit(cross(unit(axis), incident))
    return incident, across, unit(cross(incident, across))


def polarization(incident: Tensor, diffracted: Tensor, axis: Tensor, kahn: Tensor) -> Tensor:
    """0.5 (1 + c2 - K cos(2 psi) s2) of unit vectors (..., 3) -> (...), Kahn factor K.

    psi = -atan2(d.B, d.E), so cos(2 psi) = (dE^2 - dB^2) / (dE^2 + dB^2), and 1 where both are 0. Unlike
    torch.atan2, this form has bits that do not depend on the slice's length. s2 = dE^2 + dB^2: the derivatives
    are those of 0.5 (1 + c2 - K (dE^2 - dB^2)), which has them along the beam as well.
    """
    incident, across, along = polarization_axes(incident, axis)
    diffracted = _direction(diffracted)
    cosine = dot(incident, diffracted)
    c2 = cosine * cosine
    d_across, d_along = dot(diffracted, across), dot(diffracted, along)
    square = d_along * d_along + d_across * d_across
    forward = square == 0
    safe = torch.where(forward, torch.ones_like(square), square)
    cos_2psi = torch.where(forward, torch.ones_like(square), (d_along * d_along - d_across * d_across) / safe)
    value = 0.5 * (1.0 + c2 - kahn * cos_2psi * (1 - c2))
    if not (torch.is_grad_enabled() and value.requires_grad):
        return value
    return with_derivatives_of(value, 0.5 * (1.0 + c2 - kahn * (d_along * d_along - d_across * d_across)))


def unpolarized(incident: Tensor, diffracted: Tensor) -> Tensor:
    """`polarization` for K = 0: 0.5 (1 + c2)."""
    cosine = dot(unit(incident), _direction(diffracted))
    return 0.5 * (1.0 + cosine * cosine)


def _direction(v: Tensor) -> Tensor:
    """v / |v|, v not 0: a ray to a pixel is not."""
    return v / norm(v).unsqueeze(-1)


def scale_pixel(
    intensity: Tensor, r_e_sqr: Tensor, fluence: Tensor, steps: Tensor, factors: tuple[Tensor, ...]
) -> Tensor:
    """r_e^2 fluence I / steps, times capture fraction, polarization and solid angle in this order.

    `factors` are those that have not been applied to every term already (semantics 6.7).
    """
    value = r_e_sqr * fluence * intensity / steps
    for factor in factors:
        value = value * factor
    return value
