"""What the reference prints about an image (semantics 6.10)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nanobragg_torch.physics import detector
from nanobragg_torch.scan import evaluate
from nanobragg_torch.scan.experiment import Experiment
from nanobragg_torch.scan.rows import TOGETHER, in_window, row_blocks
from nanobragg_torch.scan.summation import Run


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


@np.errstate(invalid="ignore", over="ignore")  # of infinite intensities there are no sums
def statistics(run: Run, image: np.ndarray, angles: Sequence[float] | None = None) -> Statistics:
    """Of `image` (slow, fast), of the whole detector or of the region of interest, as `simulate` made it.

    Sums are in float64, within rounding those that the reference adds up pixel by pixel; a square that counts for rms
    is rounded to float32 first, and is infinite where that cannot hold it. Masked pixels count in rmsd alone, in its
    sum and its n. A maximum not above 0 is 0 at 0, 0. angles: as the rendering gives them (`simulate.render_pixels`),
    whose order plays no part; computed where they are not given.
    """
    exp = run.exp
    largest, at, n, total, squares, deviations, shown = 0.0, None, 0, 0.0, 0.0, 0.0, 0
    for values in _rendered(exp, image):
        highest = float(np.fmax.reduce(values))
        if highest > largest:
            largest, at = highest, n + int(np.argmax(values == highest))
        n += values.size
        total += float(values.sum())
        squares += float((values * values).astype(np.float32).sum(dtype=np.float64))
    mean = total / max(n, 1)
    for values in _window(exp, image):
        shown += values.size
        deviation = values - mean
        deviations += float((deviation * deviation).sum())
    fast, slow = (None, None) if at is None else exp.pixel_indices(at, at + 1)
    return Statistics(
        max_I=largest,
        max_fast_m=_coordinate(exp, fast),
        max_slow_m=_coordinate(exp, slow),
        mean=mean,
        rms=math.sqrt(squares / (max(n, 2) - 1)),
        rmsd=math.sqrt(deviations / (max(shown, 2) - 1)),
        solid_angle_sr=_solid_angle(exp, angles),
    )


def _window(exp: Experiment, image: np.ndarray) -> Iterator[np.ndarray]:
    """Values of the region of interest in scan order, rounded to float32, as blocks (n,) float64."""
    window = in_window(image, exp.config.detector.rendered)
    if window.size:
        for rows in row_blocks(*window.shape):
            yield window[rows].astype(np.float32).ravel().astype(np.float64)


def _rendered(exp: Experiment, image: np.ndarray) -> Iterator[np.ndarray]:
    """Those that no mask leaves out."""
    if exp.rendered is None:
        yield from _window(exp, image)
        return
    window = in_window(image, exp.config.detector.rendered).reshape(-1)
    for start, stop in _pixel_blocks(exp):
        yield window[exp.rendered[start:stop].cpu().numpy()].astype(np.float32).astype(np.float64)


def _pixel_blocks(exp: Experiment) -> Iterator[tuple[int, int]]:
    return ((start, min(start + TOGETHER, exp.n_pixels)) for start in range(0, exp.n_pixels, TOGETHER))


def _coordinate(exp: Experiment, index: torch.Tensor | None) -> float:
    """Metres of a pixel (1,) along its axis; 0 of none."""
    if index is None:
        return 0.0
    last = torch.tensor(exp.oversample - 1, device=index.device)
    return float(detector.detector_coordinate(index[0], last, exp.geometry.pixel, exp.oversample))


def _solid_angle(exp: Experiment, angles: Sequence[float] | None) -> float:
    """Sum over pixels, sub-pixels and layers of the solid angle in force, per step."""
    if angles is None:
        angles = [evaluate.total_solid_angle(exp, start, stop) for start, stop in _pixel_blocks(exp)]
    per = exp.n_steps if exp.config.quirks.on("Q39") else exp.n_subpixels
    return math.fsum(angles) / per if per else math.nan
