"""The reference's random generator and its random rotations (semantics 3.4)."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nanobragg_torch.physics.vectors import cos_sin, square_root

if TYPE_CHECKING:
    from nanobragg_torch.config import Crystal

Triple = tuple[float, float, float]

_MODULUS = 2**31 - 1
_TABLE = 32


def _float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


class Generator:
    """16807 x mod (2^31 - 1) with a Bays-Durham shuffle of 32. One table for all seeds of a run.

    seed: the one that the latest draw left, 0 before the first.
    """

    def __init__(self) -> None:
        self.seed = 0
        self._shuffle = [0] * _TABLE
        self._last = 0

    def _start(self, seed: int) -> int:
        """Fill the table if `seed` asks for it, or if nothing was drawn yet."""
        if seed > 0 and self._last != 0:
            return seed
        seed = max(1, -seed)
        for slot in range(39, -1, -1):
            seed = 16807 * seed % _MODULUS
            if slot < _TABLE:
                self._shuffle[slot] = seed
        self._last = self._shuffle[0]
        return seed

    def uniform(self, seed: int) -> tuple[float, int]:
        """(deviate in (0, 1) rounded to float32, next seed). A seed <= 0 starts the generator afresh."""
        seed = self._start(seed)
        seed = 16807 * seed % _MODULUS
        slot = self._last // 67108864
        self._last = self._shuffle[slot]
        self._shuffle[slot] = seed
        self.seed = seed
        return min(_float32(self._last * (1.0 / 2147483647.0)), _float32(1 - 1.2e-7)), seed

    def uniforms(self, count: int, seed: int) -> tuple[np.ndarray, int]:
        """`count` deviates (count,) float32 as `uniform` gives them one by one, next seed."""
        seed = self._start(seed)
        states = (_powers(count) * np.uint64(seed) % np.uint64(_MODULUS)).tolist()
        shuffle, last, drawn = self._shuffle, self._last, []
        for state in states:
            slot = last >> 26
            last, shuffle[slot] = shuffle[slot], state
            drawn.append(last)
        self._last = last
        return np.minimum((np.array(drawn) * (1.0 / 2147483647.0)).astype(np.float32), np.float32(1 - 1.2e-7)), states[
            -1
        ]


@cache
def _powers(count: int) -> np.ndarray:
    """16807^1 .. 16807^count mod 2^31 - 1: no product exceeds 62 bits."""
    powers = np.array([16807], np.uint64)
    while powers.size < count:
        powers = np.concatenate((powers, powers * powers[-1] % np.uint64(_MODULUS)))
    return powers[:count]


def deviates(rotations: int, seed: int, generator: Generator | None = None) -> list[Triple]:
    """Three deviates in (-1, 1) for each rotation."""
    generator, triples = generator or Generator(), []
    for _ in range(rotations):
        triple = []
        for _ in range(3):
            value, seed = generator.uniform(seed)
            triple.append(2.0 * value - 1.0)
        triples.append((triple[0], triple[1], triple[2]))
    return triples


@dataclass(frozen=True)
class Draws:
    """All that a run takes from its one generator before the noise: what is left of it goes on to there.

    seed: what a random misset leaves of its own; 0 without.
    """

    misset: list[Triple]
    domains: list[Triple]
    generator: Generator
    seed: int


def draws(crystal: Crystal) -> Draws:
    """Deviates of the random misset, then of every mosaic domain, be it only one (semantics 3.4)."""
    generator = Generator()
    misset = [] if crystal.misset_seed is None else deviates(1, crystal.misset_seed, generator)
    seed = generator.seed
    return Draws(misset, deviates(crystal.mosaic_domains, crystal.mosaic_seed, generator), generator, seed)


def rotation(spread: Tensor, draws: Tensor) -> Tensor:
    """Random rotations by at most `spread` (radians). draws (n, 3) -> matrices (n, 3, 3).

    The angle is rounded to float32 on the way, as in the reference (.float() does so and passes gradients).
    """
    r1, r2, r3 = draws.unbind(-1)
    cube_root = torch.pow((1.0 - r3 * r3).float().to(draws), _float32(1.0 / 3.0)).float()
    angle = (spread.float() * cube_root).to(draws)
    w = square_root(1.0 - r2 * r2)
    cos_azimuth, sin_azimuth = cos_sin(math.pi * r1)
    v1, v2, v3 = w * sin_azimuth, w * cos_azimuth, r2
    t, s = cos_sin(angle)
    q = 1.0 - t
    rows = (
        (t + q * v1 * v1, q * v1 * v2 - s * v3, q * v1 * v3 + s * v2),
        (q * v1 * v2 + s * v3, t + q * v2 * v2, q * v2 * v3 - s * v1),
        (q * v1 * v3 - s * v2, q * v2 * v3 + s * v1, t + q * v3 * v3),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def uniform_rotation(draws: Tensor) -> Tensor:
    """Uniformly distributed rotations (n, 3, 3) of deviates in (-1, 1) (n, 3): Shoemake's quaternions."""
    u1, u2, u3 = ((draws + 1.0) / 2.0).unbind(-1)
    (c2, s2), (c3, s3) = cos_sin(2.0 * math.pi * u2), cos_sin(2.0 * math.pi * u3)
    low, high = torch.sqrt(1.0 - u1), torch.sqrt(u1)
    x, y, z, w = low * s2, low * c2, high * s3, high * c3
    rows = (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)),
        (2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)),
        (2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
