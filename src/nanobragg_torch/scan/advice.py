"""What a user should know of what was read and computed: one line for each thing that he may not expect.

A quirk of the reference that is switched off gives no line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from nanobragg_torch.scan.experiment import Experiment
from nanobragg_torch.units import RTD

LARGEST_PHASE_ERROR = 5e-3  # radians; measured: from twice of it on the sum of an image is off by 5 to 40 %


def of_experiment(exp: Experiment) -> tuple[str, ...]:
    """Lines about what came of the flags: detector, crystal, sampling, sources, precision."""
    parts = (_detector_in_use, _crystal_in_use, _steps_in_use, _precision_in_use)
    return tuple(line for part in parts for line in part(exp))


def _detector_in_use(exp: Experiment) -> Iterator[str]:
    geometry, quirks = exp.geometry, exp.config.quirks
    axes = geometry.initial
    odet, fdet, sdet, beam, polar = (_numbers(v) for v in (axes.odet, axes.fdet, axes.sdet, axes.beam, axes.polar))
    if max(abs(_dot(odet, fdet)), abs(_dot(odet, sdet))) > 1e-3 and quirks.on("Q03"):
        yield f"the detector's normal {_shown(odet)} is kept, though it is none of fdet and sdet (Q03)"
    if abs(_dot(fdet, sdet)) > 1e-3:
        yield f"fdet and sdet are not at right angles: their cosine is {_dot(fdet, sdet):.3g}, pixels count as square"
    close, along = 1000 * _number(geometry.close_distance), 1000 * _number(geometry.distance)
    if not close > 1e-9 * abs(1000 * _number(geometry.distance_in)):
        yield f"the crystal does not see the detector's face, close distance {close:g} mm: intensities are 0 or below"
    elif along < 0:
        yield f"the detector is behind the crystal: its distance along the beam is {along:g} mm"
    if abs(_dot(beam, polar)) > 1 - 1e-9 and _number(exp.kahn) != 0.0:
        yield "-polar: no effect, the polarization axis runs along the beam"


def _crystal_in_use(exp: Experiment) -> Iterator[str]:
    cell, quirks = exp.config.crystal.cell, exp.config.quirks
    if cell is None or exp.config.crystal.matrix is not None or not quirks.on("Q58"):
        return
    asked = [RTD * float(x) for x in (cell.alpha_rad, cell.beta_rad, cell.gamma_rad)]
    angles = exp.axes.cell[3:]
    if max(abs(x - y) for x, y in zip(asked, angles)) > 0.01:
        yield f"-cell: its angles come out as {' '.join(f'{x:.6g}' for x in angles)} degrees (Q58)"


def _steps_in_use(exp: Experiment) -> Iterator[str]:
    if exp.oversample < exp.recommended:
        yield f"-oversample {exp.oversample}: spots are finer than its sub-pixels, {exp.recommended} would resolve them"
    terms = exp.n_sources * exp.n_orientations * exp.oversample * exp.oversample
    if terms != exp.n_steps:
        yield f"{terms} terms a pixel are more than a 32-bit number holds: they count as {exp.n_steps} (Q44)"


def _precision_in_use(exp: Experiment) -> Iterator[str]:
    error = phase_error(exp)
    if exp.cells.dtype != torch.float64 and error >= LARGEST_PHASE_ERROR:
        yield (
            f"--dtype float32: phases of the lattice factor are off by about {error:.2g} radians "
            f"(above {LARGEST_PHASE_ERROR:g} spots and their sum are wrong by up to tens of percent); float64 serves"
        )


def phase_error(exp: Experiment) -> float:
    """What one rounding of a direction makes of the phase pi N a . q of the lattice factor (radians)."""
    lengths = torch.stack([vector.detach().norm() for vector in (exp.axes.a, exp.axes.b, exp.axes.c)])
    widest = (lengths * exp.cells.detach()).max() / exp.sources.wavelength.detach().abs().min()
    return math.pi * float(widest) * torch.finfo(exp.cells.dtype).eps / 2


def _number(value: Tensor) -> float:
    return float(value.detach())


def _numbers(v: Tensor) -> list[float]:
    return [float(x) for x in v.detach().tolist()]


def _dot(u: list[float], v: list[float]) -> float:
    return sum(x * y for x, y in zip(u, v))


def _shown(v: list[float]) -> str:
    return " ".join(f"{x:g}" for x in v)
