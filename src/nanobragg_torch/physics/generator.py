"""The reference's random generator, and the photons that are counted with it (semantics 3.4 and 7.4).

Host code. Each number depends on the one before, so they are drawn one after the other: by plain functions, compiled
where many are drawn. Both ways give the same bits: all numbers are float64, rounded to float32 wherever the reference's
are, and exp, log and tan are the C library's.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, MutableSequence, Sequence
from threading import Lock

import numpy as np

from nanobragg_torch.compiled import compiled, pays

_MULTIPLIER, _MODULUS = 16807, 2**31 - 1
_SHUFFLED = 32
_LAST, _STATE = 32, 33  # behind the table that is shuffled
_LARGEST = float(np.float32(1 - 1.2e-7))
_cell, _using_the_cell = array("f", [0.0]), Lock()  # a Python may change threads between two uses
_DRAW_SECONDS = 5e-7  # of one number, where nothing is compiled

_DIRECT_BELOW, _GAUSSIAN_ABOVE = 12.0, 1e6
_NONE_BELOW = 0.9999999  # less the mean, it is below exp(-mean) in float32, whose rounding takes 6e-8 at most
_LANCZOS = (
    76.18009172947146, -86.50532032941677, 24.01409824083091,
    -1.231739572450155, 0.001208650973866179, -0.000005395239384953,
)  # fmt: skip
_MOST_DIGITS, _LEAST_DIGITS = 65535.0, -(2.0**31)

Integers = MutableSequence[int]
Numbers = MutableSequence[float]


class Generator:
    """16807 x mod (2^31 - 1) with a Bays-Durham shuffle of 32. One table for all seeds of a run.

    table: the 32 shuffled states, the last one that came out, and the state that the next draw goes on from. int64.
    """

    def __init__(self) -> None:
        self.table = np.zeros(_SHUFFLED + 2, np.int64)

    @property
    def seed(self) -> int:
        """The one that the latest draw left, 0 before the first."""
        return int(self.table[_STATE])

    def start(self, seed: int) -> None:
        """Go on from `seed`; one that is not above 0, and the very first one, fill the table afresh."""
        if seed <= 0 or self.table[_LAST] == 0:
            states = [max(1, -seed)]
            for _ in range(40):
                states.append(_MULTIPLIER * states[-1] % _MODULUS)
            self.table[:_SHUFFLED] = states[: -1 - _SHUFFLED : -1]
            seed = self.table[_LAST] = states[-1]
        self.table[_STATE] = seed

    def uniforms(self, count: int) -> np.ndarray:
        """The next `count` deviates (count,) in (0, 1): float64 of float32 numbers."""
        numbers = np.empty(count)
        run(fill, count * _DRAW_SECONDS, numbers, self.table)
        return numbers


def run(function: Callable[..., None], seconds: float, *arguments: np.ndarray | float) -> None:
    """Call one of the functions below on arrays, compiled if that pays for all that takes `seconds` otherwise."""
    fast = compiled(function, *_CALLED) if pays(seconds) else None
    if fast is not None:
        fast(*arguments)
        return
    lists = [value.tolist() if isinstance(value, np.ndarray) else value for value in arguments]
    with _using_the_cell:
        function(*lists)  # Python is slow at the elements of arrays
    for argument, values in zip(arguments, lists):
        if isinstance(argument, np.ndarray) and argument.flags.writeable:
            argument[:] = values


def _float32(value: float) -> float:
    """Rounded to float32, in a third of the time that numpy takes for it."""
    _cell[0] = value
    return _cell[0]


def _float32_of_numba(value: float) -> float:
    return 1.0 * float(np.float32(value))  # 1.0 widens it


def _uniform(table: Integers, last: int, state: int) -> tuple[float, int, int]:
    """(deviate in (0, 1), the last number out of the table, state)."""
    state = _MULTIPLIER * state % _MODULUS
    slot = last >> 26
    last = table[slot]
    table[slot] = state
    return min(_float32(last * (1.0 / 2147483647.0)), _LARGEST), last, state


def fill(numbers: Numbers, table: Integers) -> None:
    """Put uniform deviates into all of `numbers`."""
    last, state = table[_LAST], table[_STATE]
    for i in range(len(numbers)):
        numbers[i], last, state = _uniform(table, last, state)
    table[_LAST], table[_STATE] = last, state


def log_gamma(x: float) -> float:
    """ln Gamma(x) of a float32 x > 0 by Lanczos' series, rounded to float32."""
    tmp = x + 5.5
    tmp = tmp - (x + 0.5) * math.log(tmp)
    series = 1.000000000190015
    for j in range(6):
        series = series + _LANCZOS[j] / (x + (1.0 + j))
    return _float32(-tmp + math.log(2.5066282746310005 * series / x))


def _direct(mean: float, table: Integers, last: int, state: int) -> tuple[float, int, int]:
    """Uniforms are multiplied until the product falls to exp(-mean), which is at least 1 - mean."""
    count = 0.0
    product, last, state = _uniform(table, last, state)
    if product <= _NONE_BELOW - mean:
        return count, last, state
    limit = _float32(math.exp(-mean))
    while product > limit:
        count += 1.0
        factor, last, state = _uniform(table, last, state)
        product = _float32(product * factor)
    return count, last, state


def _constants(mean: float) -> tuple[float, float, float]:
    """sqrt(2 mean), log mean, mean log mean - ln Gamma(mean + 1)."""
    log = _float32(math.log(mean))
    shift = _float32(_float32(mean * log) - log_gamma(_float32(mean + 1.0)))
    return _float32(math.sqrt(2.0 * mean)), log, shift


def _rejection(
    mean: float, constants: tuple[float, float, float], log_factorials: Numbers, table: Integers, last: int, state: int
) -> tuple[float, int, int]:
    """A Lorentzian deviate, accepted by the ratio of the densities. log_factorials: 0 where not known yet."""
    root, log, shift = constants
    while True:
        level = -1.0
        tangent = 0.0
        while level < 0.0:
            uniform, last, state = _uniform(table, last, state)
            tangent = _float32(math.tan(math.pi * uniform))
            level = _float32(_float32(root * tangent) + mean)
        if level < len(log_factorials):
            index = int(level)
            count = float(index)
            log_factorial = log_factorials[index]
            if log_factorial == 0.0:
                log_factorial = log_gamma(_float32(count + 1.0))
                log_factorials[index] = log_factorial
        else:
            count = float(np.floor(level))
            log_factorial = log_gamma(_float32(count + 1.0))
        exponent = _float32(_float32(_float32(count * log) - log_factorial) - shift)
        ratio = _float32(0.9 * (1.0 + _float32(tangent * tangent)) * math.exp(exponent))
        uniform, last, state = _uniform(table, last, state)
        if uniform <= ratio:
            return count, last, state


def _gauss(table: Integers, last: int, state: int) -> tuple[float, float, int, int]:
    """Two normal deviates (Box and Muller, polar form): the one for now, and the one for the next time."""
    v1 = v2 = square = 0.0
    while square >= 1.0 or square == 0.0:
        uniform, last, state = _uniform(table, last, state)
        v1 = _float32(2.0 * uniform - 1.0)
        uniform, last, state = _uniform(table, last, state)
        v2 = _float32(2.0 * uniform - 1.0)
        square = _float32(_float32(v1 * v1) + _float32(v2 * v2))
    factor = _float32(math.sqrt(-2.0 * math.log(square) / square))
    return _float32(v2 * factor), _float32(v1 * factor), last, state


def count_photons(
    means: Sequence[float], adc: float, digits: Integers, table: Integers, carried: Numbers, log_factorials: Numbers
) -> None:
    """Put a Poisson deviate of each of `means` plus `adc`, truncated to 16 bits, into `digits`.

    table: of the generator. carried: a normal deviate that waits or no number, the sum of photons, the number of
    overloads. log_factorials: ln n! of n = 0, 1, ... as far as they are known, else 0.
    """
    last, state = table[_LAST], table[_STATE]
    waiting, photons, overloads = carried[0], carried[1], carried[2]
    latest, constants = -1.0, (0.0, 0.0, 0.0)
    for i in range(len(means)):
        mean = 1.0 * means[i]
        if mean < _DIRECT_BELOW:
            count, last, state = _direct(mean, table, last, state)
        elif mean <= _GAUSSIAN_ABOVE:
            if mean != latest:
                latest, constants = mean, _constants(mean)
            count, last, state = _rejection(mean, constants, log_factorials, table, last, state)
        elif mean > _GAUSSIAN_ABOVE:
            deviate, waiting = waiting, math.nan
            if math.isnan(deviate):
                deviate, waiting, last, state = _gauss(table, last, state)
            count = _float32(mean + math.sqrt(mean) * deviate)
        else:  # no number: the rejection method takes two uniforms, and whatever comes of them
            _, last, state = _uniform(table, last, state)
            _, last, state = _uniform(table, last, state)
            count = math.nan
        photons += 0.0 if math.isnan(count) else count
        level = count + adc
        if math.isnan(level):  # or of infinity with a deviate below 0
            level = 0.0
        elif level > _MOST_DIGITS:
            level, overloads = _MOST_DIGITS, overloads + 1.0
        digits[i] = int(max(level, _LEAST_DIGITS)) & 0xFFFF
    table[_LAST], table[_STATE] = last, state
    carried[0], carried[1], carried[2] = waiting, photons, overloads


_CALLED = ((_float32, _float32_of_numba), _uniform, log_gamma, _direct, _constants, _rejection, _gauss)
