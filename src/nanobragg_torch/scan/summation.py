"""The terms of semantics 6 summed over blocks of pixels.

Terms are added one after the other in the reference's order, so that the size of the blocks changes no bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from nanobragg_torch.physics import corrections
from nanobragg_torch.physics.vectors import to_tensor, unit
from nanobragg_torch.scan import evaluate, on_device
from nanobragg_torch.scan.evaluate import Scatter
from nanobragg_torch.scan.experiment import Application, Experiment
from nanobragg_torch.scan.threads import check_stopped


@dataclass(frozen=True)
class Run:
    """A simulation: the experiment, and what in it depends on the order in which the reference takes its loops.

    block: the most terms x pixels held at a time. first: of the evaluation that comes first in the run, its pixel in
    scan order and its number among the evaluations of that pixel (sub-pixels, each with its sources), where Q29 makes
    it unlike the others; else None. tricubic: whether F is interpolated at the start of the run. tricubic_end: how many
    terms, in scan order, come before the interpolation is switched off (Q25); None where it is not.
    kernel: True for the compiled kernel wherever it can serve, False for the torch path; None for the kernel where it
    is sooner done, which the number of terms decides.
    """

    exp: Experiment
    block: int
    first: tuple[int, int] | None
    tricubic: bool
    tricubic_end: int | None = None
    kernel: bool | None = None


@dataclass
class PixelSums:
    """Sums and kept factors of the pixels of a block, one element a pixel; every tensor is (pixels,).

    intensity: the sum of the terms so far. polar: the polarization factor, which the reference computes once a pixel
    and keeps; cached: where it has been computed; known: whether that is so in every pixel. omega: the solid angle (sr)
    of the first sub-pixel. latest: the scattering geometry of the evaluations that were added last.
    """

    intensity: Tensor
    polar: Tensor
    cached: Tensor
    known: bool = False
    omega: Tensor | None = None
    latest: Scatter | None = None


@dataclass(frozen=True)
class Pixels:
    """Pixels start .. stop-1 in scan order. first: the evaluation of theirs that is the first of the run, if any is."""

    start: int
    stop: int
    first: int | None = None


def pixel_ranges(run: Run, size: int) -> Iterator[Pixels]:
    """All rendered pixels in scan order, `size` at a time; the one with the run's first evaluation comes alone."""
    bounds = [0, run.exp.n_pixels]
    alone = None
    if run.first is not None:
        alone = run.first[0]
        bounds = [0, alone, alone + 1, run.exp.n_pixels]
    for low, high in pairwise(bounds):
        for begin in range(low, high, size):
            first = run.first[1] if run.first is not None and begin == alone else None
            yield Pixels(begin, min(begin + size, high), first)


def pixel_values(run: Run, pixels: Pixels) -> Tensor:
    """I_pixel_final of some pixels (pixels,)."""
    fast, slow = run.exp.pixel_indices(pixels.start, pixels.stop)
    return scaled(run.exp, pixel_sums(run, pixels), fast, slow)


def scaled(exp: Experiment, sums: PixelSums, fast: Tensor, slow: Tensor) -> Tensor:
    """The sums times everything that scales a pixel (semantics 6.7)."""
    applied, final, factors = exp.factors, Application.FINAL, []
    if applied.capture is final and exp.config.detector.sensor.present:  # else 1
        factors.append(evaluate.final_capture(exp, fast, slow))
    if applied.polar is final:
        factors.append(sums.polar)
    if applied.omega is final and sums.omega is not None:
        factors.append(sums.omega)
    return corrections.scale_pixel(sums.intensity, exp.r_e_sqr, exp.fluence, exp.steps, tuple(factors))


def empty_sums(exp: Experiment, pixels: int) -> PixelSums:
    """The state in which a pixel starts: background, no polarization factor yet (or 1 for good)."""
    return PixelSums(
        intensity=exp.background.expand(pixels).clone(),
        polar=to_tensor(0.0 if exp.config.beam.polarized else 1.0, exp.cells).expand(pixels),
        cached=torch.zeros(pixels, dtype=torch.bool, device=exp.cells.device),
    )


def pixel_sums(run: Run, pixels: Pixels) -> PixelSums:
    """Sum the terms of some pixels over sub-pixels, sources and orientations."""
    exp = run.exp
    fast, slow = exp.pixel_indices(pixels.start, pixels.stop)
    sums = empty_sums(exp, pixels.stop - pixels.start)
    add = on_device.adder(exp, run.tricubic) if pixels.first is None and len(fast) > 1 else None
    for first, rays, scattered in scattered_blocks(run, sums, fast, slow):
        if first == 0:
            sums.omega = evaluate.solid_angle(exp, rays.first())[0]
        weights = _weights(exp, rays, scattered)
        if add is None:
            _add_terms(run, pixels, sums, first, scattered, weights)
        else:
            add(scattered, weights.terms, weights.running, sums.intensity)
    return sums


def scattered_blocks(
    run: Run, sums: PixelSums, fast: Tensor, slow: Tensor
) -> Iterator[tuple[int, evaluate.Rays, Scatter]]:
    """(first evaluation, rays, scattering vectors) of blocks: sub-pixels with all sources, or one with some."""
    exp, together = run.exp, max(run.block // fast.shape[0], 1)
    size = max(together // exp.n_sources, 1)
    for begin in range(0, exp.n_subpixels, size):
        rays = evaluate.cast_rays(exp, fast, slow, begin, min(begin + size, exp.n_subpixels))
        left = None
        for low in range(0, exp.n_sources, together):
            check_stopped()
            sources = exp.sources.some(low, min(low + together, exp.n_sources))
            scattered = evaluate.scatter(exp, rays, sums.cached, sources, left)
            left = scattered.left
            update_polarization(exp, sums, scattered)
            yield begin * exp.n_sources + low, rays, scattered


def update_polarization(exp: Experiment, sums: PixelSums, scattered: Scatter) -> None:
    """Carry the cached factor over a block."""
    sums.latest = scattered
    once = exp.factors.polar is Application.FINAL
    if sums.known or (once and not exp.config.beam.polarized):
        return
    incident = scattered.sources.incident
    if once and scattered.alive is None:  # the first evaluation of all
        sums.polar = evaluate.polarization(exp, incident[0], scattered.diffracted[0, 0])
        sums.cached, sums.known = torch.ones_like(sums.cached), True
        return
    fresh = scattered.repolarized.flatten(0, 1)
    diffracted = scattered.diffracted.flatten(0, 1)
    # the latest evaluation that computed the factor; there is at most one without -oversample_polar
    order = torch.arange(fresh.shape[0], device=fresh.device).unsqueeze(-1)
    at = torch.where(fresh, order, -1).amax(0)
    column = torch.arange(fresh.shape[1], device=fresh.device)
    chosen = at.clamp(min=0)
    factor = evaluate.polarization(exp, incident[chosen % incident.shape[0]], diffracted[chosen, column])
    sums.polar = torch.where(at >= 0, factor, sums.polar)
    sums.cached = sums.cached | (at >= 0)


def cos_two_theta(exp: Experiment, sums: PixelSums) -> Tensor:
    """cos(2 theta) of the latest evaluation (pixels,), of the vectors as the polarization factor leaves them."""
    if sums.latest is None:
        return torch.zeros_like(sums.intensity)
    diffracted = sums.latest.diffracted[-1, -1]
    incident = sums.latest.sources.incident[-1].expand_as(diffracted)
    fresh = sums.latest.repolarized[-1, -1].unsqueeze(-1)
    return corrections.cos_two_theta(
        torch.where(fresh, unit(incident), incident), torch.where(fresh, unit(diffracted), diffracted)
    )


@dataclass(frozen=True)
class Weights:
    """Factors per evaluation (evaluations, pixels): of its terms, and of the running sum after each (Q27)."""

    terms: list[Tensor]
    running: list[Tensor]


def _weights(exp: Experiment, rays: evaluate.Rays, scattered: Scatter) -> Weights:
    applied, shape = exp.factors, scattered.q.shape[:-1]
    weights = Weights([], [])

    def add(application: Application, factor: Tensor) -> None:
        to = weights.running if application is Application.RUNNING else weights.terms
        to.append(factor.expand(shape).flatten(0, 1))

    if scattered.sources.weight is not None:
        add(Application.TERM, scattered.sources.weight.unsqueeze(-1))
    if applied.capture is not Application.FINAL:
        add(applied.capture, evaluate.capture_fraction(exp, rays).unsqueeze(1))
    if applied.polar is not Application.FINAL:
        incident = scattered.sources.incident.unsqueeze(1).expand(scattered.q.shape)
        add(applied.polar, evaluate.polarization(exp, incident, scattered.diffracted))
    if applied.omega is not Application.FINAL:
        add(applied.omega, evaluate.solid_angle(exp, rays).unsqueeze(1))
    return weights


def _add_terms(run: Run, pixels: Pixels, sums: PixelSums, first: int, scattered: Scatter, weights: Weights) -> None:
    """Add the terms of the evaluations `first`, first+1, ... to the sums, one after the other."""
    exp = run.exp
    q = scattered.q.flatten(0, 1)
    alive = None if scattered.alive is None else scattered.alive.flatten(0, 1)
    on_cpu = exp.cells.device.type == "cpu"  # elsewhere a look at the numbers would wait for them
    living = alive.any(1).tolist() if alive is not None and on_cpu else None
    for low, high, begin, end in term_blocks(run, q.shape[0], q.shape[1]):
        if living is not None and not any(living[low:high]):
            continue
        terms = evaluate.lattice_terms(
            exp, q[low:high].unsqueeze(1), orientation_block(run, pixels, first, low, high, begin, end)
        )
        inside = interpolated(run, pixels, first + low, begin, terms.F_latt)
        f_cell = evaluate.without_lattice(exp, evaluate.structure_terms(exp, terms, inside), terms.F_latt)
        contribution = evaluate.intensity_term(f_cell, terms.F_latt)
        if exp.term is not None:
            contribution = contribution + exp.term
        for weight in weights.terms:
            contribution = contribution * weight[low:high].unsqueeze(1)
        if alive is not None:
            # not a product: q, and so the term, is infinite or NaN at a wavelength of 0
            contribution = torch.where(alive[low:high].unsqueeze(1), contribution, 0.0)
        if weights.running:
            kept = counted(exp, terms.F_latt, None if alive is None else alive[low:high])
            blocks = [weight[low:high] for weight in weights.running]
            sums.intensity = add_weighted(sums.intensity, contribution, kept, blocks)
        elif contribution.requires_grad:  # derivatives are the same in any order
            sums.intensity = sums.intensity + contribution.sum((0, 1))
        else:
            for term in contribution.flatten(0, 1).unbind(0):
                sums.intensity.add_(term)


def counted(exp: Experiment, f_latt: Tensor, alive: Tensor | None) -> Tensor:
    """Terms that the reference does not skip: not removed by dmin, and F_latt not 0 unless in water."""
    kept = f_latt != 0 if exp.dry else torch.ones_like(f_latt, dtype=torch.bool)
    return kept if alive is None else kept & alive.unsqueeze(1)


def add_weighted(intensity: Tensor, contribution: Tensor, counted: Tensor, weights: list[Tensor]) -> Tensor:
    """I = (I + term) w for every counted term: the whole running sum is multiplied (Q27)."""
    for evaluation in range(contribution.shape[0]):
        for term, counts in zip(contribution[evaluation].unbind(0), counted[evaluation].unbind(0)):
            total = intensity + term
            for weight in weights:
                total = total * weight[evaluation]
            intensity = torch.where(counts, total, intensity)
    return intensity


def term_blocks(run: Run, evaluations: int, pixels: int) -> Iterator[tuple[int, int, int, int]]:
    """Ranges (evaluation low, high, orientation begin, end) in the order of the sum."""
    orientations = run.exp.n_orientations
    together = max(run.block // (orientations * pixels), 1)
    size = max(min(run.block // pixels, orientations), 1)
    for low in range(0, evaluations, together):
        for begin in range(0, orientations, size):
            check_stopped()
            yield low, min(low + together, evaluations), begin, min(begin + size, orientations)


def orientation_block(
    run: Run, pixels: Pixels, first: int, low: int, high: int, begin: int, end: int
) -> tuple[Tensor, Tensor, Tensor]:
    """a, b, c (1 or evaluations, orientations, 1, 3) of evaluations first + low .. first + high - 1."""
    turned = run.exp.orientations
    usual = tuple(x.unsqueeze(0) for x in turned.block(begin, end))
    if pixels.first is not None and first + low <= pixels.first < first + high:
        at = torch.arange(first + low, first + high, device=usual[0].device).reshape(-1, 1, 1)
        initial = turned.block(begin, end, first=True)
        usual = tuple(torch.where(at == pixels.first, x.unsqueeze(0), y) for x, y in zip(initial, usual))
    a, b, c = (x.unsqueeze(2) for x in usual)
    return a, b, c


def interpolated(run: Run, pixels: Pixels, evaluation: int, begin: int, like: Tensor) -> Tensor | None:
    """Where tricubic interpolation is in force: terms (evaluations, orientations, pixels) like `like`."""
    if not run.tricubic:
        return None
    if run.tricubic_end is None:
        return torch.ones_like(like, dtype=torch.bool)
    return scan_order(run, pixels, evaluation, begin, like) < run.tricubic_end


def scan_order(run: Run, pixels: Pixels, evaluation: int, begin: int, like: Tensor) -> Tensor:
    """Position of every term of a block in the scan of the whole image."""
    per_evaluation = run.exp.n_orientations
    per_pixel = per_evaluation * run.exp.n_sources * run.exp.n_subpixels
    e, o, p = (torch.arange(n, device=like.device) for n in like.shape)
    within = (evaluation + e).reshape(-1, 1, 1) * per_evaluation + (begin + o).reshape(-1, 1)
    return within + (pixels.start + p) * per_pixel
