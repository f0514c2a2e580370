"""What the reference prints about an image (semantics 6.10)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from nanobragg_torch import detector, evaluate, simulate
from nanobragg_torch.experiment import Application, Experiment
from nanobragg_torch.simulate import Run


@dataclass(frozen=True)
class Statistics:
    """Of the float32 image: its maximum and where it is (Fdet, Sdet of the last sub-pixel, metres), mean,
    root mean square and root mean square deviation; the solid angle in steradian (Q39)."""

    max_I: float
    max_fast_m: float
    max_slow_m: float
    mean: float
    rms: float
    rmsd: float
    solid_angle_sr: float

    @property
    def percent_of_sphere(self) -> float:
        return 100 * self.solid_angle_sr / 4 / math.pi


def statistics(run: Run, image: np.ndarray) -> Statistics:
    """Of `image` (slow, fast), as `simulate` made it. Sums run in scan order, in float64.

    Masked pixels count in rmsd alone. A maximum not above 0 is 0 at 0, 0.
    """
    exp = run.exp
    roi = exp.config.detector.rendered
    window = image.astype(np.float32)[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1]
    fast, slow = exp.pixel_indices(0, exp.n_pixels)
    values = image.astype(np.float32)[slow.cpu().numpy(), fast.cpu().numpy()].astype(np.float64)
    largest, at = (0.0, None) if values.size == 0 else (float(np.nanmax(values, initial=0.0)), None)
    if largest > 0:
        at = int(np.flatnonzero(values == largest)[0])
    mean = _total(values) / max(values.size, 1)
    per = max(values.size, 2) - 1
    deviation = window.ravel().astype(np.float64) - mean
    return Statistics(
        max_I=largest,
        max_fast_m=0.0 if at is None else _coordinate(exp, fast[at]),
        max_slow_m=0.0 if at is None else _coordinate(exp, slow[at]),
        mean=mean,
        rms=math.sqrt(_total(values * values) / per),
        rmsd=math.sqrt(_total(deviation * deviation) / per),
        solid_angle_sr=_solid_angle(run),
    )


def _total(values: np.ndarray) -> float:
    """The sum, one after the other."""
    return float(np.cumsum(values)[-1]) if values.size else 0.0


def _coordinate(exp: Experiment, index: torch.Tensor) -> float:
    last = torch.tensor(exp.oversample - 1, device=index.device)
    return float(detector.detector_coordinate(index, last, exp.geometry.pixel, exp.oversample))


def _solid_angle(run: Run) -> float:
    """Sum over pixels, sub-pixels and layers of the solid angle in force, per step."""
    exp = run.exp
    total = 0.0
    for pixels in simulate.pixel_blocks(run):
        fast, slow = exp.pixel_indices(pixels.start, pixels.stop)
        if exp.factors.omega is Application.FINAL:
            total += exp.n_subpixels * float(evaluate.final_solid_angle(exp, fast, slow).sum())
            continue
        for sub in range(exp.n_subpixels):
            total += float(evaluate.solid_angle(exp, evaluate.cast_rays(exp, fast, slow, sub, sub + 1)).sum())
    per = exp.n_steps if exp.config.quirks.on("Q39") else exp.n_subpixels
    return total / per if per else math.nan
