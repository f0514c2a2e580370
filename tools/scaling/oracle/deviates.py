"""The reference's random numbers: its generator, and the rotations that it makes of them (semantics 3.4)."""

import math
import struct

from tools.scaling.oracle.vectors import V


def fl32(x: float) -> float:
    """`x` rounded to float32; infinite where that cannot hold it."""
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


class Random:
    """The shared table of 3.4."""

    def __init__(self) -> None:
        self.table, self.y = [0] * 32, 0

    def draw(self, x: int) -> tuple[float, int]:
        if x <= 0 or self.y == 0:
            x = max(1, -x)
            for j in range(39, -1, -1):
                x = x * 16807 % 2147483647
                if j < 32:
                    self.table[j] = x
            self.y = self.table[0]
        x = x * 16807 % 2147483647
        j = self.y // 67108864
        self.y, self.table[j] = self.table[j], x
        return min(fl32(self.y * (1.0 / 2147483647.0)), fl32(1 - 1.2e-7)), x

    def rotation(self, m: float, x: int) -> tuple[list[V], int]:
        r = []
        for _ in range(3):
            u, x = self.draw(x)
            r.append(2.0 * u - 1.0)
        r1, r2, r3 = r
        w = math.sqrt(1.0 - r2 * r2)
        angle = fl32(fl32(m) * fl32(math.pow(fl32(1.0 - r3 * r3), fl32(1.0 / 3.0))))
        v1, v2, v3 = w * math.sin(math.pi * r1), w * math.cos(math.pi * r1), r2
        t, s = math.cos(angle), math.sin(angle)
        q = 1.0 - t
        return [
            (t + q * v1 * v1, q * v1 * v2 - s * v3, q * v1 * v3 + s * v2),
            (q * v1 * v2 + s * v3, t + q * v2 * v2, q * v2 * v3 - s * v1),
            (q * v1 * v3 - s * v2, q * v2 * v3 + s * v1, t + q * v3 * v3),
        ], x
