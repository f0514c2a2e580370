"""The rays of a chunk of pixels, compiled: positions, directions, scattering vectors and their factors."""

from __future__ import annotations

import math

from nanobragg_torch.kernel.functions import compiled, exponential, inlined, merged, vectorized
from nanobragg_torch.kernel.parameters import (
    ACROSS,
    ALIVE,
    ALONG,
    ANGLES,
    CACHED,
    CAPTURE,
    CURVED,
    DX,
    DY,
    DZ,
    FAST,
    FINAL,
    FLAT,
    INCIDENT,
    OBLIQUE,
    OMEGA,
    POINT,
    POLAR,
    SLOW,
    SX,
    SY,
    SZ,
    UNIT,
    WAVELENGTH,
)


@inlined
def _turned(v1, v2, v3, axis, angle):
    """`rotate_axis`."""
    n1, n2, n3 = axis
    c, s = math.cos(angle), math.sin(angle)
    d = (n1 * v1 + n2 * v2 + n3 * v3) * (1.0 - c)
    return (
        n1 * d + v1 * c + (-n3 * v2 + n2 * v3) * s,
        n2 * d + v2 * c + (n3 * v1 - n1 * v3) * s,
        n3 * d + v3 * c + (-n2 * v1 + n1 * v2) * s,
    )


@compiled
def _place(run, w, n, layer, sub_slow, sub_fast):
    """Positions of a sub-pixel into DX, DY, DZ."""
    vectorized()
    step = run.pixel / run.oversample
    per_edge = run.oversample
    half, depth = step / 2.0, layer * run.layer_step
    f1, f2, f3 = run.fdet
    s1, s2, s3 = run.sdet
    o1, o2, o3 = run.odet
    p1, p2, p3 = run.pix0
    for p in range(n):
        f = step * (w[FAST + p] * per_edge + sub_fast) + half
        s = step * (w[SLOW + p] * per_edge + sub_slow) + half
        w[DX + p] = f * f1 + s * s1 + depth * o1 + p1
        w[DY + p] = f * f2 + s * s2 + depth * o2 + p2
        w[DZ + p] = f * f3 + s * s3 + depth * o3 + p3


@compiled
def _bend(run, w, n, sub_slow, sub_fast):
    """Positions on a curved detector instead of the flat ones (Q17)."""
    vectorized()
    step = run.pixel / run.oversample
    fdet, sdet = (run.fdet[0], run.fdet[1], run.fdet[2]), (run.sdet[0], run.sdet[1], run.sdet[2])
    for p in range(n):
        if run.surface == CURVED:
            about_s, about_f = w[DY + p] / run.radius, w[DZ + p] / run.radius
        else:
            f = step * (w[FAST + p] * run.oversample + sub_fast) + step / 2.0
            s = step * (w[SLOW + p] * run.oversample + sub_slow) + step / 2.0
            about_s = run.hand * (f - run.fast_close) / run.radius
            about_f = -run.hand * (s - run.slow_close) / run.radius
        x, y, z = _turned(run.start[0], run.start[1], run.start[2], sdet, about_s)
        w[DX + p], w[DY + p], w[DZ + p] = _turned(x, y, z, fdet, about_f)


@compiled
def _direct(run, w, n, area, oblique):
    """From positions to directions; where the pixel's area is not 0, also its solid angle."""
    vectorized()
    close = run.close_distance
    for p in range(n):
        x, y, z = w[DX + p], w[DY + p], w[DZ + p]
        r = math.sqrt(x * x + y * y + z * z)
        w[DX + p], w[DY + p], w[DZ + p] = x / r, y / r, z / r
        if area != 0.0:
            omega = area / r / r
            omega = omega * close / r if oblique else omega
            w[OMEGA + p] = omega
            w[ANGLES + p] += omega


@compiled
def _capture(run, w, n, layer):
    vectorized()
    o1, o2, o3 = run.odet
    before, behind = -float(layer) * run.layer_step * run.mu, -float(layer + 1) * run.layer_step * run.mu
    for p in range(n):
        cosine = w[DX + p] * o1 + w[DY + p] * o2 + w[DZ + p] * o3
        w[CAPTURE + p] = exponential(before / cosine) - exponential(behind / cosine)


@merged
def cast(run, w, n, subpixel):
    """Rays to a sub-pixel: directions, solid angle, capture fraction."""
    per_edge = run.oversample
    layer, rest = subpixel // (per_edge * per_edge), subpixel % (per_edge * per_edge)
    _place(run, w, n, layer, rest // per_edge, rest % per_edge)
    if run.surface != FLAT:
        _bend(run, w, n, rest // per_edge, rest % per_edge)
    area = 1.0 if run.solid == POINT else run.pixel * run.pixel
    _direct(run, w, n, area if subpixel == 0 or run.omega != FINAL else 0.0, run.solid == OBLIQUE)
    if run.captured and (run.capture != FINAL or (layer == run.layers - 1 and rest == 0)):
        _capture(run, w, n, layer)


@compiled
def scatter(run, source, w, n):
    """Scattering vectors of a source (columns), and what dmin leaves; whether it leaves anything."""
    vectorized()
    x, y, z = source[INCIDENT], source[INCIDENT + 1], source[INCIDENT + 2]
    wavelength, dmin = source[WAVELENGTH], run.dmin
    for p in range(n):
        w[SX + p] = (w[DX + p] - x) / wavelength
        w[SY + p] = (w[DY + p] - y) / wavelength
        w[SZ + p] = (w[DZ + p] - z) / wavelength
    if not dmin > 0.0:
        return True
    living = 0.0
    for p in range(n):
        stol = 0.5 * math.sqrt(w[SX + p] * w[SX + p] + w[SY + p] * w[SY + p] + w[SZ + p] * w[SZ + p])
        w[ALIVE + p] = 0.0 if stol > 0.0 and dmin > 0.5 / stol else 1.0
    for p in range(n):
        living += w[ALIVE + p]
    return living > 0.0


@compiled
def polarize(run, source, w, n):
    """The polarization factor where it is due; whether every pixel has it for good."""
    vectorized()
    i1, i2, i3 = source[UNIT], source[UNIT + 1], source[UNIT + 2]
    b1, b2, b3 = source[ACROSS], source[ACROSS + 1], source[ACROSS + 2]
    e1, e2, e3 = source[ALONG], source[ALONG + 1], source[ALONG + 2]
    every, unpolarized, kahn, reunitised = run.polar != FINAL, run.unpolarized, run.kahn, run.reunitised
    for p in range(n):
        x, y, z = w[DX + p], w[DY + p], w[DZ + p]
        r = math.sqrt(x * x + y * y + z * z)
        x, y, z = x / r, y / r, z / r
        cosine = i1 * x + i2 * y + i3 * z
        c2 = cosine * cosine
        value = 0.5 * (1.0 + c2)
        if not unpolarized:
            along, across = x * e1 + y * e2 + z * e3, x * b1 + y * b2 + z * b3
            square = along * along + across * across
            cos_2psi = (along * along - across * across) / square if square != 0.0 else 1.0
            value = 0.5 * (1.0 + c2 - kahn * cos_2psi * (1.0 - c2))
        due = w[ALIVE + p] != 0.0 and (every or w[CACHED + p] == 0.0)
        w[POLAR + p] = value if due else w[POLAR + p]
        w[CACHED + p] = 1.0 if due else w[CACHED + p]
        if reunitised:  # in place, as the reference does: later sources see it
            w[DX + p] = x if due else w[DX + p]
            w[DY + p] = y if due else w[DY + p]
            w[DZ + p] = z if due else w[DZ + p]
    least = 0.0 if every else 1.0
    for p in range(n):
        least = min(least, w[CACHED + p])
    return least != 0.0
