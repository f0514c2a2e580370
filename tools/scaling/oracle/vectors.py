"""Vectors of three floats, with the products and rotations of semantics 3 written out."""

from collections.abc import Iterable
from typing import Any

from tools.scaling.oracle.arithmetic import cosine, quotient, root, sine

V = tuple[float, float, float]


def vector(values: Iterable[Any]) -> V:
    """Three numbers of any kind as floats."""
    x, y, z = (float(value) for value in values)
    return (x, y, z)


def dot(u: V, v: V) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


def cross(u: V, v: V) -> V:
    return (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])


def length(v: V) -> float:
    return root(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])


def unit(v: V) -> V:
    """v / |v|; a zero vector stays zero (4.2)."""
    n = length(v)
    return (v[0] / n, v[1] / n, v[2] / n) if n != 0.0 else (0.0, 0.0, 0.0)


def scale(k: float, v: V) -> V:
    return (k * v[0], k * v[1], k * v[2])


def over(v: V, k: float) -> V:
    return (quotient(v[0], k), quotient(v[1], k), quotient(v[2], k))


def add(*vectors: V) -> V:
    x, y, z = vectors[0]
    for v in vectors[1:]:
        x, y, z = x + v[0], y + v[1], z + v[2]
    return (x, y, z)


def rows(u: tuple[V, V, V], v: V) -> V:
    """The matrix of rows u times v."""
    return (dot(u[0], v), dot(u[1], v), dot(u[2], v))


def rot_xyz(v: V, angles: V) -> V:
    """About x, then y, then z; an angle of exactly 0 is skipped (3.1 C3)."""
    x, y, z = v
    rx, ry, rz = angles
    if rx != 0.0:
        c, s = cosine(rx), sine(rx)
        y, z = y * c - z * s, y * s + z * c
    if ry != 0.0:
        c, s = cosine(ry), sine(ry)
        x, z = x * c + z * s, -x * s + z * c
    if rz != 0.0:
        c, s = cosine(rz), sine(rz)
        x, y = x * c - y * s, x * s + y * c
    return (x, y, z)


def rot(v: V, n: V, t: float) -> V:
    """About n, which is used as it is, by t (3.3)."""
    s, c = sine(t), cosine(t)
    d = (n[0] * v[0] + n[1] * v[1] + n[2] * v[2]) * (1.0 - c)
    return (
        n[0] * d + v[0] * c + (-n[2] * v[1] + n[1] * v[2]) * s,
        n[1] * d + v[1] * c + (n[2] * v[0] - n[0] * v[2]) * s,
        n[2] * d + v[2] * c + (-n[1] * v[0] + n[0] * v[1]) * s,
    )
