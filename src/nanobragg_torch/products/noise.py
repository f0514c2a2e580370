"""Photon counting noise: the reference's Poisson deviates, draw by draw (semantics 7.4)."""

from __future__ import annotations

import math

import numpy as np

from nanobragg_torch.physics.generator import Generator, count_photons, run

_KNOWN = 2**15  # n of which ln n! is kept
_PIXEL_SECONDS = 4e-6  # of a pixel where nothing is compiled: 1.5e-6 to 1e-5, by its mean


class Noise:
    """A noise image, pixel by pixel in scan order.

    generator: draws go on from its present state. adc: what is added to the counts. pixels: how many are to come,
    which decides whether compiling pays.
    """

    def __init__(self, generator: Generator, adc: float, pixels: int) -> None:
        self.generator, self._adc, self.seconds = generator, float(adc), pixels * _PIXEL_SECONDS
        self._carried, self._known = np.array([math.nan, 0.0, 0.0]), np.zeros(_KNOWN)

    @property
    def photons(self) -> float:
        """The sum of the counts so far."""
        return float(self._carried[1])

    @property
    def overloads(self) -> int:
        """The number of pixels so far that 16 bits cannot hold."""
        return int(self._carried[2])

    def digits(self, means: np.ndarray) -> np.ndarray:
        """Poisson deviates of the next `means` (n,) float32, plus adc, truncated to 16 bits: uint16 (n,)."""
        digits = np.empty(means.size, np.uint16)
        table, carried, known = self.generator.table, self._carried, self._known
        means = np.ascontiguousarray(means, np.float32)
        run(count_photons, self.seconds, means, self._adc, digits, table, carried, known)
        return digits
