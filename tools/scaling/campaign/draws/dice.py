"""Chance that is the same on every machine and Python: of the random module only what it promises never to change."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws that depend on the text `seed` alone.

    Python promises the sequence of random() after a seed, not that of choice, randint or shuffle; and logarithms differ
    between machines in the last bit. So everything is made of random() by plain arithmetic.
    """

    def __init__(self, seed: str) -> None:
        self._next = random.Random(seed).random

    def chance(self, share: float) -> bool:
        """True in `share` of all draws."""
        return self._next() < share

    def whole(self, low: int, high: int) -> int:
        """An integer of low to high, both included."""
        return low + int(self._next() * (high - low + 1))

    def of(self, *choices: T) -> T:
        """One of the choices; what is named twice comes twice as often."""
        return choices[int(self._next() * len(choices))]

    def real(self, low: float, high: float) -> float:
        return low + (high - low) * self._next()

    def number(self, low: float, high: float, digits: int = 6) -> str:
        """A number of low to high, now and then a round one where there is one between."""
        value = self.real(low, high)
        if high - low >= 2 and self.chance(0.2):
            value = float(int(value))
        return f"{value:.{digits}g}"

    def power(self, low: int, high: int) -> str:
        """A number of any size from 1e`low` to 1e`high`."""
        return f"{self.real(1, 10):.4f}e{self.whole(low, high - 1)}"

    def order(self, things: Sequence[T]) -> list[T]:
        """The same things in any order."""
        left, drawn = list(things), []
        while left:
            drawn.append(left.pop(self.whole(0, len(left) - 1)))
        return drawn

    def some(self, things: Sequence[T], share: float) -> list[T]:
        """Those that were drawn, each with the chance `share`, in their order."""
        return [thing for thing in things if self.chance(share)]

    def rotation(self) -> list[list[float]]:
        """A rotation matrix of any orientation: of a quaternion of small integers, so that no sine is needed."""
        w, x, y, z = (self.whole(-9, 9) for _ in range(4))
        size = w * w + x * x + y * y + z * z
        if size == 0:
            return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        rows = (
            (w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
            (2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
            (2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
        )
        return [[value / size for value in row] for row in rows]
