"""Vectors of three floats, with the products and rotations of semantics 3 written out."""

import math

V = tuple[float, float, float]


def dot(u: V, v: V) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


def cross(u: V, v: V) -> V:
    return (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])


def length(v: V) -> float:
    return math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])


def unit(v: V) -> V:
    n = length(v)
    return (v[0] / n, v[1] / n, v[2] / n) if n != 0.0 else (0.0, 0.0, 0.0)


def scale(k: float, v: V) -> V:
    return (k * v[0], k * v[1], k * v[2])


def add(*vectors: V) -> V:
    x, y, z = vectors[0]
    for v in vectors[1:]:
        x, y, z = x + v[0], y + v[1], z + v[2]
    return (x, y, z)


def rot_xyz(v: V, rx: float, ry: float, rz: float) -> V:
    x, y, z = v
    if rx != 0.0:
        c, s = math.cos(rx), math.sin(rx)
        y, z = y * c - z * s, y * s + z * c
    if ry != 0.0:
        c, s = math.cos(ry), math.sin(ry)
        x, z = x * c + z * s, -x * s + z * c
    if rz != 0.0:
        c, s = math.cos(rz), math.sin(rz)
        x, y = x * c - y * s, x * s + y * c
    return (x, y, z)


def rot(v: V, n: V, t: float) -> V:
    s, c = math.sin(t), math.cos(t)
    d = (n[0] * v[0] + n[1] * v[1] + n[2] * v[2]) * (1.0 - c)
    return (
        n[0] * d + v[0] * c + (-n[2] * v[1] + n[1] * v[2]) * s,
        n[1] * d + v[1] * c + (n[2] * v[0] - n[0] * v[2]) * s,
        n[2] * d + v[2] * c + (-n[1] * v[0] + n[0] * v[1]) * s,
    )
