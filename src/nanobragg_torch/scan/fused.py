"""The compiled kernel for a run: where it serves, and what it is told."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nanobragg_torch import compiled
from nanobragg_torch.physics import corrections, detector
from nanobragg_torch.physics.vectors import cross, dot
from nanobragg_torch.scan.experiment import Application, Experiment
from nanobragg_torch.scan.plan import WORTH, seconds
from nanobragg_torch.scan.threads import check_stopped, stop_flag

if TYPE_CHECKING:
    from nanobragg_torch.scan.summation import Pixels, Run

MOST_SLOTS = 64
LARGEST_PHASE = 2.0**20  # radians: so far the reduction by pi in the kernel loses nothing
MOST_ORIENTATIONS = 2**20  # beyond, their axes are not kept
MOST_TERMS = 2**53  # of an image: the kernel counts them in float64
TERMS, MOST_PIXELS = 2**22, 2**15  # of a block: it takes some hundredths of a second

Kernel = Callable[["Pixels", Tensor], float]
Search = Callable[["Pixels"], int | None]


def kernel(run: Run) -> Kernel | None:
    """What renders pixels of `run` into a tensor (pixels,), and returns the sum of the solid angles of all their
    evaluations (sr). None where the torch path has to serve (see `serves`)."""
    if not serves(run):
        return None
    from nanobragg_torch.kernel.render import render

    arguments, version = arguments_of(run), _version()
    alike = bool(arguments[0]["alike"])
    none, flag = np.empty(0, np.int64), stop_flag()
    render(*arguments, none, none, 0, np.empty(0), flag, version)  # compiled here, where Ctrl-C ends it at once
    each = run.exp.n_subpixels if run.exp.factors.omega is Application.FINAL else 1

    def work(pixels: Pixels, values: Tensor) -> float:
        fast, slow = (_array(index) for index in run.exp.pixel_indices(pixels.start, pixels.stop))
        torch.set_flush_denormal(alike)  # of this thread: GAUSS spots are full of numbers below 1e-308, which take long
        try:
            angles = render(*arguments, fast, slow, pixels.start, values.numpy(), stop_flag(), version)
        finally:
            torch.set_flush_denormal(False)
        check_stopped()
        return each * float(angles)

    return work


def search(run: Run) -> Search | None:
    """What finds the first of some pixels' terms that lacks a neighbour, in scan order; None as in `kernel`."""
    if not serves(run):
        return None
    from nanobragg_torch.kernel.search import first_lacking

    record, sources, orientations, *_ = arguments_of(run)
    version = _version()

    def work(pixels: Pixels) -> int | None:
        fast, slow = (_array(index) for index in run.exp.pixel_indices(pixels.start, pixels.stop))
        order = first_lacking(record, sources, orientations, fast, slow, pixels.start, stop_flag(), version)
        return None if order < 0 else int(order)

    return work


def serves(run: Run) -> bool:
    """Whether the kernel is used for `run`: in float64 on the CPU, with finite numbers, without a gradient, where numba
    can compile, and where it is sooner done even if numba has to be imported first."""
    exp = run.exp
    if run.kernel is False:
        return False
    if exp.cells.device.type != "cpu" or exp.cells.dtype != torch.float64 or exp.unbounded or not _bounded(exp):
        return False
    terms = terms_per_pixel(exp)
    if max(exp.n_pixels, 1) * terms > MOST_TERMS:
        return False
    took = seconds(exp.n_pixels * terms, tricubic=run.tricubic)
    return (run.kernel is True or took > WORTH) and compiled.usable() is None


def block_size(exp: Experiment) -> int:
    """Pixels that the kernel renders in one call."""
    return max(min(TERMS // terms_per_pixel(exp), MOST_PIXELS), 8)


def terms_per_pixel(exp: Experiment) -> int:
    return exp.n_orientations * exp.n_sources * exp.n_subpixels


def _bounded(exp: Experiment) -> bool:
    """Whether all phases are small enough for the kernel's sine: |q| is at most (1 + |incident|) / wavelength."""
    if exp.n_orientations > MOST_ORIENTATIONS:
        return False
    longest = torch.stack([v.norm(dim=-1).max() for v in (*exp.orientations.usual, *exp.orientations.first)]).max()
    q = (1 + exp.sources.incident.norm(dim=-1).max()) / exp.sources.wavelength.abs().min()
    return bool(1.01 * math.pi * longest * q * exp.cells.abs().max().clamp(min=1) < LARGEST_PHASE)


@cache
def _version() -> np.ndarray:
    """An empty array whose type names the kernel's sources: numba's cache sees a change in the called file alone, but
    keeps a compilation for every type."""
    folder = Path(__file__).parents[1] / "kernel"
    text = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))
    return np.empty(0, dtype=[("sources_" + hashlib.sha256(text).hexdigest(), np.uint8)])


def arguments_of(run: Run) -> tuple[np.ndarray | np.void, ...]:
    """The experiment of `run` as the kernel takes it: parameters, sources, orientations, slots, grid."""
    from nanobragg_torch.kernel import parameters as codes

    exp = run.exp
    applied = {Application.FINAL: codes.FINAL, Application.RUNNING: codes.RUNNING, Application.TERM: codes.TERM}
    capture, polar, omega = (applied[x] for x in (exp.factors.capture, exp.factors.polar, exp.factors.omega))
    axes = torch.stack(exp.orientations.block(0, exp.n_orientations), dim=1).contiguous().numpy()
    centre, grid = axes[len(axes) // 2], exp.grid
    final = (capture, polar, omega) == (codes.FINAL, codes.FINAL, codes.FINAL)
    square = exp.config.crystal.shape == "SQUARE"
    values = {
        **_detector(exp),
        **_beam(exp),
        "reunitised": exp.n_sources > 1 and (exp.config.beam.polarized or polar != codes.FINAL),
        "dmin": exp.config.dmin_m,
        "reach": np.abs(axes - centre).max(0) + 16 * np.finfo(np.float64).eps * np.abs(axes).max(0),
        "alike": final and exp.term is None and exp.sources.weight is None and _tricubic(run) == codes.NEVER,
        "cells": torch.where(exp.cells > 1, exp.cells, 1.0) if square else exp.cells,
        "shape": _shape(exp),
        "reduced": not exp.config.quirks.on("Q34"),
        "fudge": exp.fudge,
        "a_star": exp.axes.a_star,
        "b_star": exp.axes.b_star,
        "c_star": exp.axes.c_star,
        "lowest": grid.lowest,
        "counts": grid.counts if grid.values is not None else (0, 0, 0),
        "strides": (grid.shape[1] * grid.shape[2], grid.shape[2]),
        "default_F": grid.default,
        "tricubic": _tricubic(run),
        "tricubic_end": run.tricubic_end or 0,
        "terms": terms_per_pixel(exp),
        "background": exp.background,
        "term": 0.0 if exp.term is None else exp.term,
        "dry": exp.dry,
        "capture": capture,
        "polar": polar,
        "omega": omega,
        "captured": exp.config.detector.sensor.present or capture != codes.FINAL,
        "scale": exp.r_e_sqr * exp.fluence,
        "steps": exp.steps,
    }
    slots = _repeated(axes, 0 if codes.RUNNING in (capture, polar, omega) else MOST_SLOTS)
    record = np.zeros((), codes.PARAMETERS)
    for name, value in values.items():
        record[name] = value
    record["slots"] = slots.max() + 1
    return (
        record[()],
        _sources(exp),
        axes,
        slots,
        _array(grid.default.reshape(1) if grid.values is None else grid.values),
    )


def _detector(exp: Experiment) -> dict[str, object]:
    from nanobragg_torch.kernel.parameters import CURVED, FACING, FLAT, OBLIQUE, POINT, WRAPPED

    geometry, flags, arcs = exp.geometry, exp.config.detector, exp.config.quirks.on("Q17")
    centre = detector.final_centre(geometry)
    start, radius = geometry.distance * geometry.initial.beam, geometry.distance
    if not arcs:
        start, radius = geometry.close_distance * geometry.odet, geometry.close_distance
    solid = OBLIQUE
    if flags.point_pixel:
        solid = POINT if exp.config.quirks.on("Q16") else FACING
    elif flags.curved and not arcs:
        solid = FACING
    return {
        "fdet": geometry.fdet,
        "sdet": geometry.sdet,
        "odet": geometry.odet,
        "pix0": geometry.pix0,
        "pixel": geometry.pixel,
        "oversample": exp.oversample,
        "layers": flags.sensor.layers,
        "layer_step": exp.layer_step,
        "mu": exp.mu,
        "surface": FLAT if not flags.curved else CURVED if arcs else WRAPPED,
        "start": start,
        "radius": radius,
        "hand": torch.sign(dot(cross(geometry.fdet, geometry.sdet), geometry.odet)),
        "fast_close": centre.fast_close,
        "slow_close": centre.slow_close,
        "close_distance": geometry.close_distance,
        "solid": solid,
    }


def _beam(exp: Experiment) -> dict[str, object]:
    kahn = exp.config.beam.kahn
    return {
        "kahn": exp.kahn,
        "unpolarized": isinstance(kahn, float | int) and kahn == 0,
        "polarized": exp.config.beam.polarized,
    }


def _sources(exp: Experiment) -> np.ndarray:
    """(sources, 14): columns as `kernel.parameters` names them."""
    sources = exp.sources
    weight = torch.ones_like(sources.wavelength) if sources.weight is None else sources.weight
    unit, across, along = corrections.polarization_axes(sources.incident, exp.geometry.initial.polar)
    rows = (sources.incident, sources.wavelength.unsqueeze(1), weight.unsqueeze(1), unit, across, along)
    return _array(torch.cat(rows, dim=1))


def _array(value: Tensor) -> np.ndarray:
    return value.detach().contiguous().numpy()


def _shape(exp: Experiment) -> int:
    from nanobragg_torch.kernel import parameters as codes

    name = exp.config.crystal.shape
    unrotated = exp.config.quirks.on("Q24")
    shapes = {
        "SQUARE": codes.SQUARE,
        "ROUND": codes.ROUND,
        "GAUSS": codes.GAUSS_Q24 if unrotated else codes.GAUSS,
        "TOPHAT": codes.TOPHAT_Q24 if unrotated else codes.TOPHAT,
    }
    return shapes[name]


def _tricubic(run: Run) -> int:
    from nanobragg_torch.kernel.parameters import INSIDE, NEVER, UNTIL

    grid = run.exp.grid
    if not run.tricubic or run.tricubic_end == 0 or grid.values is None or min(grid.counts) < 4:
        return NEVER
    return INSIDE if run.tricubic_end is None else UNTIL


def _repeated(axes: np.ndarray, most: int) -> np.ndarray:
    """slots (2, orientations) as in `kernel.render`: orientations that are equal (Q29 makes phi step 0 equal to the
    last) are evaluated once. axes: (orientations, 3, 3)."""
    kept, again = found = np.full((2, len(axes)), -1)
    rows = axes.reshape(len(axes), 9).view("V72").ravel()
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    slots: dict[int, int] = {}
    for at in np.flatnonzero(first[which] != np.arange(len(axes))):
        origin = int(first[which[at]])
        if origin in slots or len(slots) < most:
            again[at] = slots.setdefault(origin, len(slots))
    for origin, slot in slots.items():
        kept[origin] = slot
    return found
