# ruff: noqa: E741 -- l is a Miller index
"""One block of pixels: rays to the sub-pixels, scattering vectors of the sources, terms of the sum.

Batch dimensions, in the reference's loop order: sub-pixel (layer, slow, fast), source, orientation (phi,
domain); the pixel is always the last one. An evaluation is one (sub-pixel, source).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nanobragg_torch.physics import corrections, detector, lattice_factor, structure_factor
from nanobragg_torch.physics.beam import Sources, beyond_dmin, scattering_vector
from nanobragg_torch.physics.vectors import to_tensor, unit
from nanobragg_torch.scan.experiment import Application, Experiment

SETTLED = 4  # times a direction is unitised until no bit of it changes any more, at the most


@dataclass(frozen=True)
class Rays:
    """From the sample to the sub-pixels: position, diffracted (subpixels, pixels, 3), distance without 3.

    layer: (subpixels, 1) of the sensor.
    """

    layer: Tensor
    position: Tensor
    distance: Tensor
    diffracted: Tensor

    def first(self) -> Rays:
        """Those to the first sub-pixel."""
        return Rays(self.layer[:1], self.position[:1], self.distance[:1], self.diffracted[:1])


@dataclass(frozen=True)
class Scatter:
    """diffracted, q: (subpixels, sources, pixels, 3), the direction being the one that q was formed with.

    alive: evaluations that dmin keeps, None for all. repolarized: evaluations at which the reference
    computes the polarization factor afresh. Both (subpixels, sources, pixels). sources: those that it is of.
    left: (subpixels, 1, pixels, 3), the direction that a source after these finds.
    """

    diffracted: Tensor
    q: Tensor
    alive: Tensor | None
    repolarized: Tensor
    sources: Sources
    left: Tensor


@dataclass(frozen=True)
class Terms:
    """One term of a pixel's sum per (evaluation, orientation, pixel). factors: along a, b, c (SQUARE)."""

    hkl: tuple[Tensor, Tensor, Tensor]
    nearest: tuple[Tensor, Tensor, Tensor]
    factors: tuple[Tensor, Tensor, Tensor] | None
    F_latt: Tensor


def cast_rays(exp: Experiment, fast: Tensor, slow: Tensor, start: int, stop: int) -> Rays:
    """Rays to the sub-pixels start .. stop-1 (of all layers) of the pixels fast, slow (pixels,)."""
    geometry, per_edge = exp.geometry, exp.oversample
    order = torch.arange(start, stop, device=fast.device).unsqueeze(-1)
    layer = torch.div(order, per_edge * per_edge, rounding_mode="floor")
    sub_slow = torch.div(order, per_edge, rounding_mode="floor") % per_edge
    layer = layer.to(geometry.pixel.dtype)
    position = detector.pixel_position(
        detector.detector_coordinate(fast, order % per_edge, geometry.pixel, per_edge),
        detector.detector_coordinate(slow, sub_slow, geometry.pixel, per_edge),
        layer * exp.layer_step,
        geometry.fdet,
        geometry.sdet,
        geometry.odet,
        geometry.pix0,
    )
    if exp.config.detector.curved:
        position = _curved(exp, position, fast, slow, order)
    distance = detector.pixel_distance(position)
    return Rays(layer, position, distance, detector.diffracted_direction(position, distance))


def _curved(exp: Experiment, flat: Tensor, fast: Tensor, slow: Tensor, order: Tensor) -> Tensor:
    """Positions on the curved detector (subpixels, pixels, 3) of those on the flat one (Q17)."""
    geometry, per_edge = exp.geometry, exp.oversample
    if exp.config.quirks.on("Q17"):
        return detector.curved_position(flat, geometry.initial.beam, geometry.fdet, geometry.sdet, geometry.distance)
    sub_slow = torch.div(order, per_edge, rounding_mode="floor") % per_edge
    return detector.wrapped_position(
        detector.detector_coordinate(fast, order % per_edge, geometry.pixel, per_edge),
        detector.detector_coordinate(slow, sub_slow, geometry.pixel, per_edge),
        geometry,
    )


def solid_angle(exp: Experiment, rays: Rays) -> Tensor:
    """Solid angle of the pixel as seen by each ray (subpixels, pixels)."""
    quirks, flags = exp.config.quirks, exp.config.detector
    if flags.point_pixel and quirks.on("Q16"):
        return corrections.point_solid_angle(rays.distance)
    if flags.point_pixel or (flags.curved and not quirks.on("Q17")):
        return corrections.facing_solid_angle(rays.distance, exp.geometry.pixel)
    return corrections.solid_angle(rays.distance, exp.geometry.close_distance, exp.geometry.pixel)


def total_solid_angle(exp: Experiment, start: int, stop: int) -> float:
    """Sum over the rendered pixels start .. stop-1 and their evaluations of the solid angle in force (sr)."""
    fast, slow = exp.pixel_indices(start, stop)
    if exp.factors.omega is Application.FINAL:
        return exp.n_subpixels * float(final_solid_angle(exp, fast, slow).sum())
    each = (solid_angle(exp, cast_rays(exp, fast, slow, sub, sub + 1)).sum() for sub in range(exp.n_subpixels))
    return math.fsum(float(angle) for angle in each)


def capture_fraction(exp: Experiment, rays: Rays) -> Tensor:
    """Share of the photons that each ray leaves in its layer (subpixels, pixels)."""
    return corrections.capture_fraction(rays.layer, exp.layer_step, exp.mu, rays.diffracted, exp.geometry.odet)


def polarization(exp: Experiment, incident: Tensor, diffracted: Tensor) -> Tensor:
    """Polarization factor of directions (..., 3)."""
    if isinstance(exp.config.beam.kahn, float | int) and exp.config.beam.kahn == 0:
        return corrections.unpolarized(incident, diffracted)
    return corrections.polarization(incident, diffracted, exp.geometry.initial.polar, exp.kahn)


def scatter(
    exp: Experiment, rays: Rays, cached: Tensor, sources: Sources | None = None, left: Tensor | None = None
) -> Scatter:
    """Scattering vectors of `sources` (None: all); `cached` (pixels,): polarization factor is known already.

    To compute that factor the reference unitises the diffracted direction in place, so that the later
    sources of the sub-pixel see it changed in its last bits (semantics 5.3). left: of the sources before these.
    """
    sources = exp.sources if sources is None else sources
    diffracted = left = rays.diffracted.unsqueeze(1) if left is None else left
    incident = sources.incident.unsqueeze(1)
    wavelength = sources.wavelength.unsqueeze(1)
    q = scattering_vector(diffracted, incident, wavelength)
    alive = ~beyond_dmin(q, exp.config.dmin_m) if exp.config.dmin_m > 0 else None
    repolarized = _repolarized(exp, q.shape[:-1], alive, cached)
    if exp.n_sources > 1 and (exp.config.beam.polarized or exp.factors.polar is not Application.FINAL):
        diffracted, left = _reunitised(diffracted, repolarized)
        q = scattering_vector(diffracted, incident, wavelength)
    return Scatter(diffracted.expand(q.shape), q, alive, repolarized, sources, left)


def _repolarized(exp: Experiment, shape: torch.Size, alive: Tensor | None, cached: Tensor) -> Tensor:
    polar = exp.factors.polar
    if not exp.config.beam.polarized and polar is Application.FINAL:
        return torch.zeros(shape, dtype=torch.bool, device=cached.device)
    living = torch.ones(shape, dtype=torch.bool, device=cached.device) if alive is None else alive
    if polar is not Application.FINAL:
        return living
    if alive is None:  # the first evaluation of all
        first = torch.zeros_like(living)
        first[0, 0] = ~cached
        return first
    rank = living.flatten(0, 1).cumsum(0).reshape(shape)
    return living & (rank == 1) & ~cached


def _reunitised(diffracted: Tensor, repolarized: Tensor) -> tuple[Tensor, Tensor]:
    """The direction that each source finds (subpixels, sources, pixels, 3), and a source after them all.

    diffracted (subpixels, 1, pixels, 3), the one that the first finds, is unitised as often as sources before
    asked for it. Bits change the first few times at most, so that the loop is short whatever the sources.
    """
    times = repolarized.cumsum(1).unsqueeze(-1)
    before = times - repolarized.unsqueeze(-1).long()
    direction, left = diffracted.expand(*repolarized.shape, 3), diffracted
    on_cpu = repolarized.device.type == "cpu"  # elsewhere a look at the numbers would wait for them
    for count in range(1, (int(times[:, -1].max()) if on_cpu else min(repolarized.shape[1], SETTLED)) + 1):
        previous, diffracted = diffracted, unit(diffracted)
        if on_cpu and torch.equal(previous, diffracted):
            break
        direction = torch.where(before >= count, diffracted, direction)
        left = torch.where(times[:, -1:] >= count, diffracted, left)
    return direction, left


def lattice_terms(exp: Experiment, q: Tensor, axes: tuple[Tensor, Tensor, Tensor]) -> Terms:
    """Indices and lattice factor: q (evaluations, 1, pixels, 3), axes a, b, c (1 or evaluations,
    orientations, 1, 3) -> (evaluations, orientations, pixels)."""
    h, k, l = (lattice_factor.miller_indices(axis, q) for axis in axes)
    h0, k0, l0 = (lattice_factor.nearest_index(x) for x in (h, k, l))
    crystal = exp.config.crystal
    if crystal.shape == "SQUARE":
        reduced = not exp.config.quirks.on("Q34")
        factors = tuple(
            torch.ones_like(x)
            if not repeats
            else lattice_factor.reduced_grating(x, x0, count)
            if reduced
            else lattice_factor.grating(x, count)
            for x, x0, count, repeats in zip((h, k, l), (h0, k0, l0), exp.cells, exp.repeats)
        )
        f_latt = lattice_factor.square_factor(*factors)
        return Terms((h, k, l), (h0, k0, l0), (factors[0], factors[1], factors[2]), f_latt)
    fractions = torch.stack((h - h0, k - k0, l - l0), dim=-1)
    if crystal.shape == "ROUND":
        f_latt = lattice_factor.round_factor(fractions, exp.cells, exp.fudge)
    else:
        if exp.config.quirks.on("Q24"):
            radius = lattice_factor.spot_radius_squared(
                fractions, exp.cells, exp.axes.a_star, exp.axes.b_star, exp.axes.c_star
            )
        else:
            radius = lattice_factor.cells_from_peak_squared(fractions, exp.cells)
        shape = lattice_factor.gauss_factor if crystal.shape == "GAUSS" else lattice_factor.tophat_factor
        f_latt = shape(radius, exp.cells, exp.fudge)
    return Terms((h, k, l), (h0, k0, l0), None, f_latt)


def structure_terms(exp: Experiment, terms: Terms, interpolated: Tensor | None) -> Tensor:
    """F_cell of every term; `interpolated`: where tricubic interpolation is (still) on."""
    nearest = structure_factor.nearest(exp.grid, *terms.nearest)
    if interpolated is None:
        return nearest
    # without Q25 every term decides for itself; with it, terms that lack neighbours here have F_latt 0
    inside = interpolated & ~structure_factor.outside_window(exp.grid, *terms.hkl)
    return torch.where(inside, structure_factor.tricubic(exp.grid, *terms.hkl), nearest)


def without_lattice(exp: Experiment, f_cell: Tensor, f_latt: Tensor) -> Tensor:
    """F_cell, 0 where F_latt is 0: the reference skips such a term, and infinity times 0 would be no number."""
    return torch.where(f_latt == 0, 0.0, f_cell) if exp.unbounded else f_cell


def intensity_term(f_cell: Tensor, f_latt: Tensor) -> Tensor:
    """F_cell F_cell F_latt F_latt, left to right."""
    return f_cell * f_cell * f_latt * f_latt


def final_capture(exp: Experiment, fast: Tensor, slow: Tensor) -> Tensor:
    """The capture fraction that scales the pixel: that of the last layer alone (Q15)."""
    final = exp.factors.capture is Application.FINAL
    per_layer = exp.oversample * exp.oversample
    if final and not exp.config.detector.sensor.present:
        return to_tensor(1.0, exp.cells).expand(fast.shape)
    last = exp.n_subpixels - per_layer if final else exp.n_subpixels - 1
    return capture_fraction(exp, cast_rays(exp, fast, slow, last, last + 1))[0]


def final_solid_angle(exp: Experiment, fast: Tensor, slow: Tensor) -> Tensor:
    """The solid angle that scales the pixel: of its first sub-pixel, or with -oversample_omega the last."""
    at = 0 if exp.factors.omega is Application.FINAL else exp.n_subpixels - 1
    return solid_angle(exp, cast_rays(exp, fast, slow, at, at + 1))[0]
