"""Photon counting noise once more: one Poisson deviate at a time (semantics 7.4)."""

import math

from tools.scaling.oracle.arithmetic import fl32
from tools.scaling.oracle.deviates import Random

_LANCZOS = (
    76.18009172947146, -86.50532032941677, 24.01409824083091,
    -1.231739572450155, 0.001208650973866179, -0.000005395239384953,
)  # fmt: skip


def log_gamma(x: float) -> float:
    """ln Gamma(x), a float32 number."""
    tmp = x + 5.5 - (x + 0.5) * math.log(x + 5.5)
    series = 1.000000000190015
    for j, c in enumerate(_LANCZOS):
        series += c / (x + 1 + j)
    return fl32(-tmp + math.log(2.5066282746310005 * series / x))


class Poisson:
    """Deviates of one run: the shuffle table that all its seeds share, and the seed of the noise."""

    def __init__(self, random: Random, seed: int) -> None:
        self._random, self._seed = random, seed
        self._waiting: float | None = None  # Box and Muller's second deviate

    def _uniform(self) -> float:
        deviate, self._seed = self._random.draw(self._seed)
        return deviate

    def draw(self, mean: float) -> float:
        """The next deviate of `mean`, a finite float32 number."""
        if mean > 1e6:
            return fl32(mean + math.sqrt(mean) * self._gauss())
        return self._direct(mean) if mean < 12.0 else self._rejection(mean)

    def _direct(self, mean: float) -> float:
        # exp(709) is float64's last: float32 is infinite long before, which ends the product at once, too
        limit, product, count = fl32(math.exp(min(-mean, 709.0))), 1.0, -1
        while True:
            count += 1
            product = fl32(product * self._uniform())
            if product <= limit:
                return float(count)

    def _rejection(self, x: float) -> float:
        root, log = fl32(math.sqrt(2.0 * x)), fl32(math.log(x))
        shift = fl32(fl32(x * log) - log_gamma(fl32(x + 1.0)))
        while True:
            level = -1.0
            while level < 0.0:
                y = fl32(math.tan(math.pi * self._uniform()))
                level = fl32(fl32(root * y) + x)
            level = float(math.floor(level))
            power = fl32(fl32(fl32(level * log) - log_gamma(fl32(level + 1.0))) - shift)
            if self._uniform() <= fl32(0.9 * (1.0 + fl32(y * y)) * math.exp(power)):
                return level

    def _gauss(self) -> float:
        if self._waiting is not None:
            deviate, self._waiting = self._waiting, None
            return deviate
        square = 0.0
        while square >= 1.0 or square == 0.0:
            v1 = fl32(2.0 * self._uniform() - 1.0)
            v2 = fl32(2.0 * self._uniform() - 1.0)
            square = fl32(fl32(v1 * v1) + fl32(v2 * v2))
        factor = fl32(math.sqrt(-2.0 * math.log(square) / square))
        self._waiting = fl32(v1 * factor)
        return fl32(v2 * factor)
