"""The reference's random numbers: its generator, and the rotations that it makes of them (semantics 3.4)."""

import math

from tools.scaling.oracle.arithmetic import fl32, power32, root
from tools.scaling.oracle.vectors import V

_THIRD = fl32(1.0 / 3.0)
_LARGEST = fl32(1 - 1.2e-7)


class Random:
    """The table that every user shares; the state is the caller's seed."""

    def __init__(self) -> None:
        self.table, self.y = [0] * 32, 0

    def draw(self, x: int) -> tuple[float, int]:
        """A uniform deviate, and the state that the next draw goes on from."""
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
        return min(fl32(self.y * (1.0 / 2147483647.0)), _LARGEST), x

    def three(self, x: int) -> tuple[V, int]:
        """Three deviates in (-1, 1), and the state."""
        a, x = self.draw(x)
        b, x = self.draw(x)
        c, x = self.draw(x)
        return (2.0 * a - 1.0, 2.0 * b - 1.0, 2.0 * c - 1.0), x


def rotation(most: float, deviates: V) -> tuple[V, V, V]:
    """A rotation by at most `most`, its matrix by rows."""
    r1, r2, r3 = deviates
    w = root(1.0 - r2 * r2)
    angle = fl32(fl32(most) * power32(fl32(1.0 - r3 * r3), _THIRD))
    v1, v2, v3 = w * math.sin(math.pi * r1), w * math.cos(math.pi * r1), r2
    t, s = math.cos(angle), math.sin(angle)
    q = 1.0 - t
    return (
        (t + q * (v1 * v1), q * v1 * v2 - s * v3, q * v1 * v3 + s * v2),
        (q * v1 * v2 + s * v3, t + q * (v2 * v2), q * v2 * v3 - s * v1),
        (q * v1 * v3 - s * v2, q * v2 * v3 + s * v1, t + q * (v3 * v3)),
    )


def uniform_rotation(deviates: V) -> tuple[V, V, V]:
    """A rotation of the uniform distribution, by Shoemake's quaternion: its matrix by rows (Q19 off)."""
    u1, u2, u3 = ((r + 1.0) / 2.0 for r in deviates)
    low, high = root(1.0 - u1), root(u1)
    x, y = low * math.sin(2.0 * math.pi * u2), low * math.cos(2.0 * math.pi * u2)
    z, w = high * math.sin(2.0 * math.pi * u3), high * math.cos(2.0 * math.pi * u3)
    return (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)),
        (2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)),
        (2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)),
    )
