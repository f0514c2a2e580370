# ruff: noqa: E741 -- l is a Miller index
"""Structure factors: the nearest reflection of the list, or tricubic interpolation (semantics 6.4, 6.5)."""

import math
from typing import Any

from nanobragg_torch.config import Config

_REACH = 8.0  # bounds how fast F of tricubic interpolation changes with an index, in units of the largest of its nodes


class Listed:
    """F by Miller index. within: the lowest and the highest index of each axis, None where nothing is listed.

    surely: a part of the window of interpolation (6.5), which is closed, that leaves its edges out.
    """

    def __init__(self, config: Config) -> None:
        structure = config.structure
        self.default, listed = float(structure.default_F), structure.reflections
        self.rows: dict[tuple[int, int, int], float] = {}
        self.box: Any = None
        self.within: tuple[tuple[int, int], ...] | None = None
        if listed is None:
            return
        self.within = tuple((low, low + n - 1) for low, n in zip(listed.lowest, listed.counts))
        self.surely = tuple((low + 2.01, high - 2.01) for low, high in self.within)
        if listed.hkl is None:
            self.box, self.sizes = listed.F, tuple(n + 1 for n in listed.counts)
            self.box = self.box.reshape(self.sizes)
        else:  # of an index that comes twice the last one counts
            self.rows = {(h, k, l): f for (h, k, l), f in zip(listed.hkl.tolist(), listed.F.tolist())}

    def nearest(self, h: int, k: int, l: int) -> float:
        """F of the index (h, k, l)."""
        if self.box is None:
            return self.rows.get((h, k, l), self.default)
        assert self.within is not None
        if all(low <= x <= high for x, (low, high) in zip((h, k, l), self.within)):
            return self._padded(h, k, l)
        return self.default

    def covers(self, h: int, k: int, l: int) -> bool:
        """Whether the index lies in the box of the list."""
        return self.within is not None and all(low <= x <= high for x, (low, high) in zip((h, k, l), self.within))

    def _padded(self, h: int, k: int, l: int) -> float:
        assert self.within is not None
        (h_low, _), (k_low, _), (l_low, _) = self.within
        return float(self.box[h - h_low, k - k_low, l - l_low])

    def outside(self, hkl: tuple[float, float, float], moves: tuple[float, float, float]) -> tuple[bool, bool]:
        """Whether interpolation lacks neighbours at hkl, and whether it might as well not, or lack them.

        moves: how far rounding can move each index.
        """
        lacks, doubtful = False, False
        for x, move, (low, high) in zip(hkl, moves, self.within or ()):
            beyond, under = (x - low + 3) - (high - low + 1), low - (x - 2)
            lacks = lacks or (x - low + 3) > high - low + 1 or x - 2 < low
            doubtful = doubtful or abs(beyond) <= move or abs(under) <= move
        return lacks, doubtful

    def cubic(
        self, hkl: tuple[float, float, float], moves: tuple[float, float, float], eps: float
    ) -> tuple[float, float]:
        """Tricubic interpolation at hkl inside the window, along l, then k, then h; and how far rounding moves it."""
        h, k, l = hkl
        if not math.isfinite(h + k + l):
            return math.nan, math.inf
        first_h, first_k, first_l = math.floor(h) - 1, math.floor(k) - 1, math.floor(l) - 1
        in_h, in_k, in_l = _basis(h, first_h), _basis(k, first_k), _basis(l, first_l)
        get = self.nearest if self.box is None else self._padded
        largest, along_h = 0.0, []
        for i in range(first_h, first_h + 4):
            along_k = []
            for j in range(first_k, first_k + 4):
                nodes = [get(i, j, m) for m in range(first_l, first_l + 4)]
                largest = max(largest, *map(abs, nodes))
                along_k.append(_lagrange(in_l, nodes))
            along_h.append(_lagrange(in_k, along_k))
        moved = _REACH * largest * (moves[0] + moves[1] + moves[2] + 8.0 * eps)
        return _lagrange(in_h, along_h), moved


Basis = tuple[tuple[float, float], ...]


def _basis(x: float, first: int) -> Basis:
    """Of each node first .. first + 3: the product of x less the other nodes, and of the node less the others."""
    x0, x1, x2, x3 = float(first), float(first + 1), float(first + 2), float(first + 3)
    return (
        ((x - x1) * (x - x2) * (x - x3), (x0 - x1) * (x0 - x2) * (x0 - x3)),
        ((x - x0) * (x - x2) * (x - x3), (x1 - x0) * (x1 - x2) * (x1 - x3)),
        ((x - x0) * (x - x1) * (x - x3), (x2 - x0) * (x2 - x1) * (x2 - x3)),
        ((x - x0) * (x - x1) * (x - x2), (x3 - x0) * (x3 - x1) * (x3 - x2)),
    )


def _lagrange(basis: Basis, y: list[float]) -> float:
    """The cubic through y at the four nodes: each term a product, divided by a product."""
    (p, p0), (q, q0), (r, r0), (s, s0) = basis
    return p * y[0] / p0 + q * y[1] / q0 + r * y[2] / r0 + s * y[3] / s0
