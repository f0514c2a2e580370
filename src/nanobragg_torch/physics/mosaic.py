"""The reference's random rotations (semantics 3.4)."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nanobragg_torch.physics.generator import Generator
from nanobragg_torch.physics.vectors import cos_sin, square_root, to_tensor

if TYPE_CHECKING:
    from nanobragg_torch.config import Crystal


def deviates(rotations: int, seed: int, generator: Generator | None = None) -> np.ndarray:
    """Three deviates in (-1, 1) for each rotation, (rotations, 3) float64."""
    generator = generator or Generator()
    generator.start(seed)
    return 2.0 * generator.uniforms(3 * rotations).reshape(rotations, 3) - 1.0


@dataclass(frozen=True)
class Draws:
    """All that a run takes from its one generator before the noise: what is left of it goes on to there.

    seed: what a random misset leaves of its own; 0 without.
    """

    misset: np.ndarray
    domains: np.ndarray
    generator: Generator
    seed: int


def draws(crystal: Crystal) -> Draws:
    """Deviates of the random misset, then of every mosaic domain, be it only one (semantics 3.4)."""
    generator = Generator()
    misset = np.empty((0, 3))
    if crystal.misset_seed is not None:
        misset = deviates(1, crystal.misset_seed, generator)
    seed = generator.seed
    return Draws(misset, deviates(crystal.mosaic_domains, crystal.mosaic_seed, generator), generator, seed)


@cache
def _powf() -> Any:
    """The C library's own, which glibc rounds otherwise than pow in one case of 1,400; None where it is not found."""
    try:
        function = ctypes.CDLL(None).powf
    except (AttributeError, OSError, TypeError):
        return None
    function.restype, function.argtypes = ctypes.c_float, (ctypes.c_float, ctypes.c_float)
    return function


def cube_roots(bases: np.ndarray) -> np.ndarray:
    """powf(base, 1/3) of each float32 base (n,), as the reference takes it: float32."""
    third, powf = np.float32(1.0 / 3.0), _powf()
    if powf is None:
        return np.power(bases.astype(np.float64), float(third)).astype(np.float32)
    return np.array([powf(base, third) for base in bases.tolist()], dtype=np.float32)


def rotation(spread: Tensor, draws: np.ndarray) -> Tensor:
    """Random rotations by at most `spread` (radians). draws (n, 3) -> matrices (n, 3, 3).

    The angle is rounded to float32 on the way, as in the reference (.float() does so and passes gradients).
    """
    r1, r2, _ = to_tensor(draws, spread).unbind(-1)
    cube_root = to_tensor(cube_roots((1.0 - draws[:, 2] * draws[:, 2]).astype(np.float32)), spread.float())
    angle = (spread.float() * cube_root).to(spread)
    w = square_root(1.0 - r2 * r2)
    cos_azimuth, sin_azimuth = cos_sin(math.pi * r1)
    v1, v2, v3 = w * sin_azimuth, w * cos_azimuth, r2
    t, s = cos_sin(angle)
    q = 1.0 - t
    rows = (
        (t + q * (v1 * v1), q * v1 * v2 - s * v3, q * v1 * v3 + s * v2),
        (q * v1 * v2 + s * v3, t + q * (v2 * v2), q * v2 * v3 - s * v1),
        (q * v1 * v3 - s * v2, q * v2 * v3 + s * v1, t + q * (v3 * v3)),
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
