"""Photon counting noise: the reference's Poisson deviates, draw by draw (semantics 7.4).

Host code, outside the physics. How many uniforms a pixel takes depends on their values, so the pixels come
one after the other, but for those of which hardly any counts a photon; everything else (the generator, exponentials,
tangents, logarithms) is prepared for many at a time. Functions of one argument come from the C library, as the
reference's do. A megapixel with counts takes one to seven seconds of one core.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from nanobragg_torch.physics.mosaic import Generator

_CHUNK = 2**16
_MOST_LOG_GAMMAS = 2**15
_QUIET = 0.01  # means of which a count above 0 is rare
_WORTH_IT = 64  # of them in a row are looked at together
_WINDOW = 1024  # at the most
_GAUSSIAN_ABOVE = 1e6
_DIRECT_BELOW = 12.0
_LANCZOS = (
    76.18009172947146, -86.50532032941677, 24.01409824083091,
    -1.231739572450155, 0.001208650973866179, -0.000005395239384953,
)  # fmt: skip

F32 = np.float32


def _libm(function: Callable[[float], float], values: np.ndarray) -> np.ndarray:
    return np.fromiter(map(function, values.tolist()), np.float64, values.size)


def log_gamma(x: np.ndarray) -> np.ndarray:
    """ln Gamma(x) of float32 x > 0 by Lanczos' series, in float64, rounded to float32."""
    wide = x.astype(np.float64)
    tmp = wide + 5.5
    tmp = tmp - (wide + 0.5) * _libm(math.log, tmp)
    series = np.full_like(wide, 1.000000000190015)
    for j, coefficient in enumerate(_LANCZOS):
        series = series + coefficient / (wide + (1 + j))
    return (-tmp + _libm(math.log, 2.5066282746310005 * series / wide)).astype(F32)


class _Stream:
    """Uniforms in chunks, and from `with_tangents` on what the rejection method takes of each: the tangent y and
    0.9 (1 + y y). at: the next one."""

    def __init__(self, generator: Generator, seed: int) -> None:
        self._generator, self._seed, self._tangents = generator, seed, False
        self._drawn = np.empty(0, F32)
        self.uniforms: list[np.float32] = []
        self.tangents: list[np.float32] = []
        self.weights: list[float] = []
        self.at = 0

    def more(self) -> None:
        """Draw a chunk; what was drawn before `at` is forgotten."""
        uniforms, self._seed = self._generator.uniforms(_CHUNK, self._seed)
        self._drawn = np.concatenate((self._drawn[self.at :], uniforms))
        self.uniforms = [*self._drawn]
        self.tangents, self.weights = self.tangents[self.at :], self.weights[self.at :]
        self.at = 0
        if self._tangents:
            self._add_tangents(uniforms)

    def with_tangents(self) -> None:
        if not self._tangents:
            self._tangents, self.tangents, self.weights = True, [], []
            self._add_tangents(self._drawn)

    def _add_tangents(self, uniforms: np.ndarray) -> None:
        y = _libm(math.tan, math.pi * uniforms.astype(np.float64)).astype(F32)
        self.tangents += [*y]
        self.weights += (0.9 * (1.0 + (y * y).astype(np.float64))).tolist()

    def ahead(self, most: int) -> np.ndarray:
        """Between one and `most` of the next uniforms, which stay where they are."""
        if self.at == len(self.uniforms):
            self.more()
        return self._drawn[self.at : self.at + most]

    def next(self) -> np.float32:
        if self.at == len(self.uniforms):
            self.more()
        self.at += 1
        return self.uniforms[self.at - 1]


class Poisson:
    """Counts of one run of the generator.

    seed: a state of the generator that starts it afresh where it is not above 0.
    """

    def __init__(self, generator: Generator, seed: int) -> None:
        self._stream = _Stream(generator, seed)
        self._gauss = _Gauss(self._stream)
        self._log_gammas: dict[int, tuple[np.float32, np.float32]] = {}

    def counts(self, means: np.ndarray) -> np.ndarray:
        """The next counts (n,) float64, of `means` (n,) float32 in this order; NaN of a mean that is no number."""
        means = np.ascontiguousarray(means, F32)
        quiet = np.abs(means) < _QUIET
        bounds = [0, *(np.flatnonzero(quiet[1:] != quiet[:-1]) + 1).tolist(), means.size]
        counts, done = np.zeros(means.size), 0
        for begin, end in pairwise(bounds):
            if end - begin >= _WORTH_IT and quiet[begin]:
                counts[done:begin] = self._one_by_one(means[done:begin])
                self._mostly_none(means[begin:end], counts[begin:end])
                done = end
        counts[done:] = self._one_by_one(means[done:])
        return counts

    def _mostly_none(self, means: np.ndarray, counts: np.ndarray) -> None:
        """`counts` is 0, and stays so where the first uniform does for a mean: most of them, many at a time."""
        limits, at = _limits(means), 0
        while at < means.size:
            drawn = self._stream.ahead(min(means.size - at, _WINDOW))
            above = drawn > limits[at : at + drawn.size]
            none = int(above.argmax()) if above.any() else drawn.size
            at, self._stream.at = at + none, self._stream.at + none
            if none < drawn.size:
                counts[at] = _direct(self._stream, limits[at])
                at += 1

    def _one_by_one(self, means: np.ndarray) -> list[float]:
        with np.errstate(invalid="ignore"):
            direct = np.flatnonzero(means < _DIRECT_BELOW)
            rejecting = np.flatnonzero((means >= _DIRECT_BELOW) & (means <= _GAUSSIAN_ABOVE))
        if rejecting.size:
            self._stream.with_tangents()
        if len(self._log_gammas) > _MOST_LOG_GAMMAS:
            self._log_gammas.clear()
        limits, constants = iter(_limits(means[direct])), _constants(means[rejecting])
        counts: list[float] = []
        for mean in means.tolist():
            if mean < _DIRECT_BELOW:
                counts.append(_direct(self._stream, next(limits)))
            elif mean <= _GAUSSIAN_ABOVE:
                counts.append(_rejection(self._stream, next(constants), self._log_gammas))
            elif mean > _GAUSSIAN_ABOVE:
                counts.append(float(F32(mean + math.sqrt(mean) * float(self._gauss.next()))))
            else:  # the rejection method takes two uniforms, and whatever comes of them
                self._stream.next()
                self._stream.next()
                counts.append(math.nan)
        return counts


def _limits(means: np.ndarray) -> np.ndarray:
    """exp(-mean), float32: 1 next to 0, infinite far below."""
    limits = np.ones(means.shape, F32)
    some = np.abs(means) > 2.0**-26
    with np.errstate(over="ignore"):
        limits[some] = _libm(math.exp, np.minimum(-means[some].astype(np.float64), 100.0))
    return limits


def _direct(stream: _Stream, limit: np.float32) -> int:
    """Uniforms are multiplied until the product falls to exp(-mean)."""
    count, product = 0, stream.next()
    while product > limit:
        count, product = count + 1, product * stream.next()
    return count


_Constants = tuple[np.float32, np.float32, np.float32, np.float32]


def _constants(means: np.ndarray) -> Iterator[_Constants]:
    """(mean, sqrt(2 mean), log mean, mean log mean - lgamma(mean + 1)) of each."""
    wide = means.astype(np.float64)
    root, log = np.sqrt(2.0 * wide).astype(F32), _libm(math.log, wide).astype(F32)
    return zip(means, root, log, means * log - log_gamma(means + F32(1.0)))


def _rejection(stream: _Stream, constants: _Constants, log_gammas: dict[int, tuple[np.float32, np.float32]]) -> int:
    """A Lorentzian deviate, accepted by the ratio of the densities."""
    mean, root, log, shift = constants
    while True:
        while True:
            if stream.at + 2 > len(stream.uniforms):
                stream.more()
            at = stream.at
            stream.at = at + 1
            level = root * stream.tangents[at] + mean
            if level >= 0.0:
                break
        count = int(level)  # floor
        if count not in log_gammas:
            whole = F32(count)
            log_gammas[count] = whole, log_gamma(np.array([whole + F32(1.0)]))[0]
        whole, log_factorial = log_gammas[count]
        exponent = whole * log - log_factorial - shift
        ratio = stream.weights[at] * math.exp(exponent)
        if stream.next() <= F32(ratio):
            return count


class _Gauss:
    """Normal deviates in pairs (Box and Muller, polar form); the second one waits for the next call."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._waiting: np.float32 | None = None

    def next(self) -> np.float32:
        if self._waiting is not None:
            deviate, self._waiting = self._waiting, None
            return deviate
        stream, square = self._stream, F32(0.0)
        v1 = v2 = square
        while square >= 1.0 or square == 0.0:
            v1, v2 = F32(2.0 * float(stream.next()) - 1.0), F32(2.0 * float(stream.next()) - 1.0)
            square = v1 * v1 + v2 * v2
        factor = F32(math.sqrt(-2.0 * math.log(float(square)) / float(square)))
        self._waiting = v1 * factor
        return v2 * factor
