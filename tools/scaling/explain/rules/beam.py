"""Rules of the beam and of what scales the pixel: sources, corrections, the sum (semantics 5, 6)."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from nanobragg_torch.physics import beam, corrections, vectors
from nanobragg_torch.scan import evaluate, summation
from nanobragg_torch.scan.experiment import Application, Experiment
from tools.scaling.engine.tolerances import UNIT_ROUNDOFF
from tools.scaling.explain.graph import Graph
from tools.scaling.explain.pixel import PreparedPixel, same, window


def add_sources(g: Graph, exp: Experiment) -> None:
    """Directions and wavelengths of the sources, scattering vectors (semantics 5.1, 6.1)."""
    settings = exp.config

    def sources(beam_vector: Tensor, polar_axis: Tensor, wavelength: Tensor) -> beam.Sources:
        axes: Any = SimpleNamespace(beam=beam_vector, polar=polar_axis)
        made = replace(settings, beam=replace(settings.beam, wavelength_m=wavelength))
        return beam.build_sources(made, axes, wavelength)

    inputs = "beam -polar_vector -lambda"
    g.add("incident_list", inputs, lambda *x: sources(*x).incident, each=True)
    g.add("incident_all", "incident_list", same, dims="k", whole=True)
    g.add("incident_vec", "incident_all", lambda x: x[:, :1].expand(-1, g.sizes["s"], -1), dims="s", traced=True,
          whole=True)  # fmt: skip
    g.add("wavelength_list", inputs, lambda *x: sources(*x).wavelength, each=True)
    g.add("wavelength_all", "wavelength_list", same, dims="k", whole=True)
    g.add("lambda_meters", "wavelength_all", lambda x: x[:, :1].expand(-1, g.sizes["s"]), dims="s", traced=True,
          whole=True)  # fmt: skip
    g.add("lambda_angstroms", "lambda_meters", lambda x: x * 1e10, dims="s", traced=True)

    def first_source(every: Tensor, shown: Tensor) -> Tensor:
        others = every[:, None, 1:]
        return torch.cat((shown.unsqueeze(2), others.expand(-1, shown.shape[1], *others.shape[2:])), 2)

    g.add("incident", "incident_all incident_vec", first_source, dims="sk", whole=True)
    third = exp.n_sources > 2
    g.add("wavelength_first" if third else "wavelength", "wavelength_all lambda_meters", first_source, dims="sk",
          whole=True)  # fmt: skip
    if third:
        g.add("SOURCE2.lambda_angstroms", "wavelength_first", lambda x: x[:, :, 2] * 1e10, dims="s", traced=True,
              whole=True)  # fmt: skip
        g.add("wavelength", "wavelength_first SOURCE2.lambda_angstroms", _third_source, dims="sk", whole=True)
    g.add("q_all", "diffracted_vec incident wavelength", beam.scattering_vector, dims="sk")
    window(g, "q_all", "scattering_vec_A_inv", "q", (0,))
    dmin = settings.dmin_m

    def alive(q: Tensor) -> Tensor:
        return (~beam.beyond_dmin(q, dmin)).to(q) if dmin > 0 else torch.ones_like(q[..., 0])

    g.add("alive", "q", alive, dims="sk", exact=True)


def _third_source(every: Tensor, shown: Tensor) -> Tensor:
    merged = every.clone()
    merged[:, :, 2] = shown / 1e10
    return merged


def add_corrections(g: Graph, pixel: PreparedPixel) -> None:
    """Solid angle, capture, polarization, scattering angle (semantics 4.6, 4.7, 5.3), with their caches."""
    exp = pixel.run.exp
    settings, sampling = exp.config, exp.config.sampling
    close = "close_distance_meters R_distance_meters"
    g.add("obliquity_factor", close, corrections.obliquity_factor, dims="s", traced=True)
    if settings.detector.point_pixel:
        g.add("omega_all", "R_distance_meters", corrections.point_solid_angle, dims="s")
    else:
        g.add("omega_all", "R_distance_meters close_distance_meters pixel", corrections.solid_angle, dims="s")
    cached = same if sampling.omega else lambda x: x[:, :1].expand_as(x)
    g.add("omega_pixel_sr", "omega_all", cached, dims="s", traced=True, whole=True)
    g.add("omega_pixel", "omega_pixel_sr", lambda x: x[:, -1], traced=True, whole=True)
    g.add(
        "capture_all", "layer layer_step mu diffracted_vec odet_after_twotheta", corrections.capture_fraction, dims="s"
    )
    if settings.detector.sensor.layers == 1 and not sampling.thick:
        g.root("one", torch.ones_like(exp.fluence), "-detector_thick")
        g.add("capture_fraction", "one", same, traced=True)
    else:
        last = exp.n_subpixels - (1 if sampling.thick else exp.oversample * exp.oversample)
        g.add("capture_fraction", "capture_all", lambda x: x[:, last], traced=True, whole=True)
    _polarization(g, pixel)


def _polarized_evaluations(pixel: PreparedPixel) -> Tensor:
    """(evaluations,): those at which the reference computes the factor afresh (semantics 5.3)."""
    exp = pixel.run.exp
    fast, slow = (torch.tensor([i], device=exp.cells.device) for i in (pixel.fast, pixel.slow))
    rays = evaluate.cast_rays(exp, fast, slow, 0, exp.n_subpixels)
    return evaluate.scatter(exp, rays, torch.zeros_like(fast, dtype=torch.bool)).repolarized.flatten()


def _polarization(g: Graph, pixel: PreparedPixel) -> None:
    """Add the factor of the evaluation that the reference caches last (semantics 5.3)."""
    exp = pixel.run.exp
    g.root("-polar", exp.kahn, "-polar")
    unpolarized = float(exp.kahn) == 0.0

    def factor(incident: Tensor, diffracted: Tensor, axis: Tensor, kahn: Tensor) -> Tensor:
        if unpolarized and not kahn.requires_grad and bool((kahn == 0).all()):
            return corrections.unpolarized(incident, diffracted)
        return corrections.polarization(incident, diffracted, axis, kahn)

    g.add("polar_all", "incident diffracted_vec -polar_vector -polar", factor, dims="sk")
    fresh = _polarized_evaluations(pixel)
    if not bool(fresh.any()):
        start = 0.0 if exp.config.beam.polarized else 1.0
        g.root("polar_at_start", vectors.to_tensor(start, exp.cells), "-nopolar")
        g.add("polar", "polar_at_start", same, traced=True)
        return
    chosen = int(fresh.nonzero().max())
    g.add("polar", "polar_all", lambda x: x.flatten(1)[:, chosen], traced=True, whole=True)


def add_scattering_angle(g: Graph, pixel: PreparedPixel) -> None:
    """cos(2 theta) of the very last evaluation: both directions unitised once more if that makes the factor."""
    again = bool(_polarized_evaluations(pixel)[-1])

    def cosine(incident: Tensor, diffracted: Tensor) -> Tensor:
        last = incident[:, -1, -1], diffracted[:, -1]
        return corrections.cos_two_theta(*(vectors.unit(v) if again else v for v in last))

    g.add("cos_2theta", "incident diffracted_vec", cosine, traced=True)


def add_third_source(g: Graph, exp: Experiment) -> None:
    """Add the lines of the source with index 2, phi step 0, domain 0: the angle first, only its direction makes it."""
    if exp.n_sources < 3:
        return
    group = "SOURCE2."
    g.add(f"{group}cos2theta", "incident diffracted_vec", lambda i, d: corrections.cos_two_theta(i[:, 2], d), dims="s",
          traced=True)  # fmt: skip
    for name, source in (("F_latt", "lattice"), ("F_cell", "structure")):
        g.add(group + name, source, lambda x: x[:, :, 2, 0, 0], dims="s", traced=True, whole=True)
        g.add(f"{group}{name}_squared", group + name, torch.square, dims="s", traced=True)
    inputs = f"{group}F_cell {group}F_latt"
    g.add(f"{group}I_contribution", inputs, evaluate.intensity_term, dims="s", traced=True)
    if exp.config.sampling.polar:
        g.add(f"{group}polar", "polar_all", lambda x: x[:, :, 2], dims="s", traced=True, whole=True)
    else:
        g.add(f"{group}polar", "polar", same, dims="s", traced=True)


def add_intensity(g: Graph, exp: Experiment) -> None:
    """Add the sum over all terms and its scaling (semantics 6.6-6.9)."""
    g.root("-water", vectors.to_tensor(exp.config.water_m, exp.cells), "-water")
    g.add("background", "fluence_photons_per_m2 -water", beam.water_background)
    applied = exp.factors
    uses = (("capture_all", applied.capture), ("polar_all", applied.polar), ("omega_all", applied.omega))
    of_terms, running = ([x for x, use in uses if use is kind] for kind in (Application.TERM, Application.RUNNING))

    def total(f_cell: Tensor, f_latt: Tensor, alive: Tensor, background: Tensor, *factors: Tensor) -> Tensor:
        terms = evaluate.intensity_term(f_cell, f_latt).flatten(3).flatten(1, 2)
        living = alive.flatten(1)
        terms = (terms * living.unsqueeze(-1)).permute(1, 2, 0)
        columns = [_per_evaluation(x, alive) for x in factors]
        for column in columns[: len(of_terms)]:
            terms = terms * column.unsqueeze(1)
        if not running:
            return background + terms.sum((0, 1))
        lattice = f_latt.flatten(3).flatten(1, 2).permute(1, 2, 0)
        counted = summation.counted(exp, lattice, living.T > 0)
        return summation.add_weighted(background, terms, counted, columns[len(of_terms) :])

    inputs = " ".join(("structure lattice alive background", *of_terms, *running))
    g.add("I_before_scaling", inputs, total, traced=True, sums=True)
    g.add("I_before_scaling_pre_polar", "I_before_scaling", same, traced=True)
    g.add("I_before_scaling_post_polar", "I_before_scaling polar", torch.mul, traced=True)
    finals = zip(("capture_fraction", "polar", "omega_pixel"), uses)
    scaling = [name for name, (_, use) in finals if use is Application.FINAL]

    def scaled(intensity: Tensor, radius: Tensor, fluence: Tensor, steps: Tensor, *factors: Tensor) -> Tensor:
        return corrections.scale_pixel(intensity, radius, fluence, steps, factors)

    inputs = " ".join(("I_before_scaling r_e_sqr fluence_photons_per_m2 steps", *scaling))
    g.add("I_pixel_final", inputs, scaled, traced=True)
    g.add(
        "floatimage_accumulated",
        "I_pixel_final",
        lambda x: x.float().to(x),
        traced=True,
        roundoff=UNIT_ROUNDOFF["float32"],
    )


def _per_evaluation(factor: Tensor, alive: Tensor) -> Tensor:
    """Return a factor of sub-pixels, or of sub-pixels and sources, as (evaluations, elements)."""
    if factor.dim() == alive.dim() - 1:
        factor = factor.unsqueeze(-1)
    return factor.expand_as(alive).flatten(1).T
