"""The lattice factor of the four shapes, and how far rounding can move it (semantics 6.3, 10.1)."""

import math

from nanobragg_torch.config import Config
from tools.scaling.oracle.arithmetic import exponential, nearest, root, sine
from tools.scaling.oracle.crystal import Sample
from tools.scaling.oracle.vectors import V, add, dot, length, scale

Whole = tuple[int, int, int]
SINGLE = 1e-10  # a larger unit of rounding is that of float32
_BALL = 0.723601254558268


class Spot:
    """F_latt of a crystal: `at` gives it with its reach, the most that rounding with the unit `eps` can change it.

    doubtful: where rounding decides whether the reference takes a factor for exactly 0.
    """

    def __init__(self, config: Config, sample: Sample, eps: float) -> None:
        self.cells, self.stars, self.eps = sample.cells, sample.stars, eps
        na, nb, nc = self.cells
        self.volume = na * nb * nc
        self.fudge = float(config.crystal.fudge)
        self.shape = config.crystal.shape
        self.by_index = self.shape == "ROUND" or not config.quirks.on("Q24")
        self.reduced = not config.quirks.on("Q34")
        self.doubtful = False
        self.star_lengths = [length(star) for star in self.stars]
        self.repeated = tuple(i for i, n in enumerate(self.cells) if n > 1.0)

    def at(self, hkl: V, h0: Whole, moves: V) -> tuple[float, float]:
        """(F_latt, reach) at hkl with the nearest index h0; moves: how far rounding can move each of hkl."""
        if self.shape == "SQUARE":
            return self._square(hkl, h0, moves)
        radius, reach = self._radius(hkl, h0, moves)
        if self.shape == "ROUND":
            return self._round(radius, reach)
        if self.shape == "GAUSS":
            return self._gauss(radius, reach)
        radius, reach = radius * self.fudge, abs(reach * self.fudge)
        inside = radius < 0.3969
        # no number is not below 0.3969
        edge = abs(radius - 0.3969) <= reach
        self.doubtful = edge
        return self.volume if inside else 0.0, self.volume if edge else 0.0

    def factor(self, axis: int, x: float) -> float:
        """F_latt_a, b or c of the index x (SQUARE)."""
        return self._grating(x, nearest(x), 0.0, self.cells[axis])[0] if self.cells[axis] > 1.0 else 1.0

    def _square(self, hkl: V, h0: Whole, moves: V) -> tuple[float, float]:
        value = most = 1.0
        for i in self.repeated:
            f, reach = self._grating(hkl[i], h0[i], moves[i], self.cells[i])
            value *= f
            most *= abs(f) + reach
        return value, most - abs(value)

    def _grating(self, x: float, x0: int, move: float, n: float) -> tuple[float, float]:
        """sin(N y) / sin(y), y = pi x. Its argument moves, which changes it smoothly; and near a whole x0, unless that
        is 0, y and N y are rounded apart from each other, which leaves a residue in place of N (Q34)."""
        sign = 1.0
        if self.reduced:
            sign = -1.0 if (round(n) - 1) * x0 % 2 else 1.0
            x = x - x0
            x0 = 0
        y = math.pi * x
        turned = math.pi * move
        if y == 0.0:
            return sign * n, min(n * n * turned, 2.0 * n) if x0 == 0 else math.inf
        try:
            top, bottom = math.sin(y * n), math.sin(y)
        except ValueError:  # of an infinity
            return math.nan, math.inf
        f = top / bottom
        least, size = abs(bottom) - turned, abs(f)
        smooth = min(2.0 * n, n * n * turned)
        if least > 0.0:
            smooth = min(smooth, (n + size) * turned / least)
        apart = self.eps * abs(y)
        if x0 == 0:
            return sign * f, smooth + 4.0 * self.eps * n
        if least <= 4.0 * apart:
            return sign * f, math.inf
        return sign * f, smooth + 2.0 * apart * (n + size) / abs(bottom)

    def _radius(self, hkl: V, h0: Whole, moves: V) -> tuple[float, float]:
        """rho2 of ROUND, or rad2 of the others, and its reach."""
        dh, dk, dl = hkl[0] - h0[0], hkl[1] - h0[1], hkl[2] - h0[2]
        na, nb, nc = self.cells
        if self.by_index:
            radius = dh * dh * na * na + dk * dk * nb * nb + dl * dl * nc * nc
            reach = 0.0
            for d, move, n in zip((dh, dk, dl), moves, self.cells):
                reach += (2.0 * abs(d) + move) * move * n * n
            return radius, reach + 8.0 * self.eps * radius
        v = add(scale(dh, self.stars[0]), scale(dk, self.stars[1]), scale(dl, self.stars[2]))
        radius = dot(v, v) * na * na * nb * nb * nc * nc
        move = sum(m * star for m, star in zip(moves, self.star_lengths))
        move += 4.0 * self.eps * sum(abs(d) * star for d, star in zip((dh, dk, dl), self.star_lengths))
        reach = (2.0 * length(v) + move) * move * self.volume * self.volume
        return radius, reach + 8.0 * self.eps * radius

    def _round(self, radius: float, reach: float) -> tuple[float, float]:
        """The transform of a ball, 3 (sin t / t - cos t) / t^2, of which little is left of a small t."""
        square, moved = radius * self.fudge, abs(reach * self.fudge)
        t = math.pi * root(square)
        peak = self.volume * _BALL
        if t == 0.0:
            return peak * 1.0, math.inf if moved else 0.0
        ball = 3.0 * (sine(t) / t - math.cos(t)) / (t * t) if math.isfinite(t) else math.nan
        least = math.pi * math.pi * (square - moved)
        if not least > 0.0:
            return peak * ball, math.inf
        turned = math.pi * moved / (2.0 * math.sqrt(least / (math.pi * math.pi)))
        return peak * ball, peak * (0.45 * turned + 8.0 * self.eps * (1.0 + t) / least)

    def _gauss(self, radius: float, reach: float) -> tuple[float, float]:
        exponent = radius / 0.63 * self.fudge
        value = self.volume * exponential(-exponent)
        moved = abs(reach / 0.63 * self.fudge) + 4.0 * self.eps * abs(exponent)
        # from there on the unit's exponential is not normal, or 0; from 746 on it is 0 in float64
        self.doubtful = (87.0 if self.eps > SINGLE else 700.0) < exponent < 750.0 + moved
        grown = value * math.expm1(moved) if moved < 700.0 else math.inf
        return value, min(grown, self.volume) if self.fudge >= 0.0 else grown
