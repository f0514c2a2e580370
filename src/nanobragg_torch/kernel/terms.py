# ruff: noqa: E741 -- l is a Miller index
"""One term of the sum of a chunk of pixels, compiled: indices, structure factor, lattice factor."""

from __future__ import annotations

import math

import numpy as np

from nanobragg_torch.kernel.functions import (
    TO_NEAREST,
    compiled,
    cosine_near_0,
    exponential,
    floor,
    fma,
    inlined,
    less_multiples_of_pi,
    merged,
    nearest,
    sine_near_0,
    sine_up_to_sign,
    unshared,
    vectorized,
)
from nanobragg_torch.kernel.parameters import (
    ADDED,
    CAPTURE,
    CHUNK,
    GAUSS,
    GAUSS_Q24,
    LATTICE,
    NEVER,
    OMEGA,
    PLACE,
    POLAR,
    RADIUS,
    ROUND,
    SQUARE,
    TERM,
    TOPHAT_Q24,
    UNTIL,
    UNTIL_TERM,
    F,
    H,
    K,
    L,
)


@compiled
def indices(w, n, q, axes):
    """h, k, l of the scattering vectors q, three rows: axes (3, 3), a, b, c."""
    vectorized()
    a1, a2, a3 = axes[0]
    b1, b2, b3 = axes[1]
    c1, c2, c3 = axes[2]
    for p in range(n):
        x, y, z = q[p], q[CHUNK + p], q[2 * CHUNK + p]
        w[H + p] = a1 * x + a2 * y + a3 * z
        w[K + p] = b1 * x + b2 * y + b3 * z
        w[L + p] = c1 * x + c2 * y + c3 * z


@compiled
def structure(run, grid, w, n):
    """F of the nearest reflection."""
    vectorized()
    default_F = run.default_F
    if run.counts[0] == 0:
        for p in range(n):
            w[F + p] = default_F
        return
    h_low, k_low, l_low = run.lowest
    h_end, k_end, l_end = h_low + run.counts[0], k_low + run.counts[1], l_low + run.counts[2]
    h_step, k_step = float(run.strides[0]), float(run.strides[1])
    for p in range(n):
        h, k, l = nearest(w[H + p]), nearest(w[K + p]), nearest(w[L + p])
        inside = (h >= h_low) & (h < h_end) & (k >= k_low) & (k < k_end) & (l >= l_low) & (l < l_end)
        place = (h - h_low) * h_step + (k - k_low) * k_step + (l - l_low)
        w[PLACE + p] = place if inside else -1.0
    for p in range(n):
        at = int(w[PLACE + p])
        w[F + p] = grid[at] if at >= 0 else default_F


@inlined
def lacks_neighbours(x, low, count):
    """Whether x lacks some of its four neighbours; not so a NaN."""
    return (x - low + 3.0 > count) | (x - 2.0 < low)


@inlined
def _sixth(x):
    """x / 6, correctly rounded: a quotient that is almost right, corrected by what is left over."""
    quotient = x * (1.0 / 6.0)
    return fma(fma(-6.0, quotient, x), 1.0 / 6.0, quotient)


@inlined
def _cubic(w0, w1, w2, w3, v0, v1, v2, v3):
    """The cubic through four values, of the weights of its nodes."""
    return -_sixth(w0 * v0) + w1 * v1 / 2.0 + -(w2 * v2 / 2.0) + _sixth(w3 * v3)


@compiled
def _weights(index, n, weights):
    """Of the nodes at floor - 1 .. floor + 2 of an index, what their distances make: (4, CHUNK)."""
    vectorized()
    unshared()
    for p in range(n):
        x = index[p]
        below = floor(x)
        a, b, c, d = x - (below - 1.0), x - below, x - (below + 1.0), x - (below + 2.0)
        weights[0, p], weights[1, p], weights[2, p], weights[3, p] = b * c * d, a * c * d, a * b * d, a * b * c


@compiled
def _fetch(grid, place, n, corner, k_step, values):
    """F of four neighbours along l on each of four lines: (16, CHUNK). Vectors of such look-ups take longer."""
    vectorized()
    for p in range(n):
        at = max(int(place[p]), 0) + corner
        for line in range(0, 16, 4):
            values[line, p], values[line + 1, p] = grid[at], grid[at + 1]
            values[line + 2, p], values[line + 3, p] = grid[at + 2], grid[at + 3]
            at += k_step


@compiled
def _plane(values, n, along_l, along_k, into):
    """Interpolation along l on four lines, then along k, of the weights along them."""
    vectorized()
    unshared()
    for p in range(n):
        w0, w1, w2, w3 = along_l[0, p], along_l[1, p], along_l[2, p], along_l[3, p]
        a = _cubic(w0, w1, w2, w3, values[0, p], values[1, p], values[2, p], values[3, p])
        b = _cubic(w0, w1, w2, w3, values[4, p], values[5, p], values[6, p], values[7, p])
        c = _cubic(w0, w1, w2, w3, values[8, p], values[9, p], values[10, p], values[11, p])
        d = _cubic(w0, w1, w2, w3, values[12, p], values[13, p], values[14, p], values[15, p])
        into[p] = _cubic(along_k[0, p], along_k[1, p], along_k[2, p], along_k[3, p], a, b, c, d)


@compiled
def _place_cubes(run, w, n, term):
    """Where in the list the neighbours of h, k, l begin, -1 where interpolation is not in force or lacks some; whether
    it is in force anywhere."""
    vectorized()
    h_low, k_low, l_low = run.lowest
    h_count, k_count, l_count = run.counts
    h_step, k_step, always = run.strides[0], run.strides[1], run.tricubic != UNTIL
    for p in range(n):
        h, k, l = w[H + p], w[K + p], w[L + p]
        lacking = lacks_neighbours(h, h_low, h_count) | lacks_neighbours(k, k_low, k_count)
        served = (always | (term < w[UNTIL_TERM + p])) & (not (lacking | lacks_neighbours(l, l_low, l_count)))
        h0, k0, l0 = floor(h) - 1.0 - h_low, floor(k) - 1.0 - k_low, floor(l) - 1.0 - l_low
        place = h0 * h_step + k0 * k_step + l0
        w[PLACE + p] = place if served & (place >= 0.0) else -1.0  # no NaN
    most = -1.0
    for p in range(n):
        most = max(most, w[PLACE + p])
    return most >= 0.0


@compiled
def _choose(w, n, weights, planes):
    """F where it is interpolated: along h at last."""
    vectorized()
    for p in range(n):
        f = _cubic(
            weights[0, p], weights[1, p], weights[2, p], weights[3, p],
            planes[0, p], planes[1, p], planes[2, p], planes[3, p],
        )  # fmt: skip
        w[F + p] = f if w[PLACE + p] >= 0.0 else w[F + p]


@merged
def _interpolate(run, grid, w, n, term):
    """F by tricubic interpolation where it is in force and has all its neighbours: along l, then k, then h."""
    if _place_cubes(run, w, n, term):
        weights, planes, values = np.empty((3, 4, CHUNK)), np.empty((4, CHUNK)), np.empty((16, CHUNK))
        _weights(w[H : H + CHUNK], n, weights[0])
        _weights(w[K : K + CHUNK], n, weights[1])
        _weights(w[L : L + CHUNK], n, weights[2])
        for i in range(4):
            _fetch(grid, w[PLACE : PLACE + CHUNK], n, i * run.strides[0], run.strides[1], values)
            _plane(values, n, weights[2], weights[1], planes[i])
        _choose(w, n, weights[0], planes)


@inlined
def _grating(h, cells):
    """sin(N y) / sin(y) up to its sign, y = pi h; N where y is 0."""
    y = math.pi * h
    quotient = sine_up_to_sign(y * cells) / sine_up_to_sign(y)
    return quotient if y != 0.0 else cells


@compiled
def _from_nearest(w, n):
    """h - h0 instead of h, k and l likewise."""
    vectorized()
    for p in range(n):
        w[H + p] -= nearest(w[H + p])
        w[K + p] -= nearest(w[K + p])
        w[L + p] -= nearest(w[L + p])


@compiled
def _square(run, w, n):
    vectorized()
    if run.reduced:  # by whole periods, which change no more than the sign
        _from_nearest(w, n)
    na, nb, nc = run.cells[0], run.cells[1], run.cells[2]
    for p in range(n):
        a, b, c = _grating(w[H + p], na), _grating(w[K + p], nb), _grating(w[L + p], nc)
        w[LATTICE + p] = a * b * c


@compiled
def _radius(run, w, n):
    """What the other shapes are a function of: the squared distance from the peak, in cells."""
    vectorized()
    na, nb, nc = run.cells
    if run.shape == GAUSS_Q24 or run.shape == TOPHAT_Q24:
        a1, a2, a3 = run.a_star
        b1, b2, b3 = run.b_star
        c1, c2, c3 = run.c_star
        for p in range(n):
            h, k, l = w[H + p] - nearest(w[H + p]), w[K + p] - nearest(w[K + p]), w[L + p] - nearest(w[L + p])
            x, y, z = h * a1 + k * b1 + l * c1, h * a2 + k * b2 + l * c2, h * a3 + k * b3 + l * c3
            w[RADIUS + p] = (x * x + y * y + z * z) * na * na * nb * nb * nc * nc
    else:
        for p in range(n):
            h, k, l = w[H + p] - nearest(w[H + p]), w[K + p] - nearest(w[K + p]), w[L + p] - nearest(w[L + p])
            w[RADIUS + p] = h * h * na * na + k * k * nb * nb + l * l * nc * nc


@compiled
def _round(run, w, n):
    """The transform of a ball of radius pi sqrt(rad2 fudge): 3 (sin(x)/x - cos(x)) / x^2."""
    vectorized()
    volume, fudge = run.cells[0] * run.cells[1] * run.cells[2] * 0.723601254558268, run.fudge
    for p in range(n):
        x = math.pi * math.sqrt(w[RADIUS + p] * fudge)
        r, q = less_multiples_of_pi(x)
        odd = q - 2.0 * ((q * 0.5 + TO_NEAREST) - TO_NEAREST)
        sign = 1.0 - 2.0 * (odd * odd)
        ball = 3.0 * (sine_near_0(r) * sign / x - cosine_near_0(r) * sign) / (x * x)
        w[LATTICE + p] = volume * (ball if x != 0.0 else 1.0)


@compiled
def _gauss(run, w, n):
    vectorized()
    cells, fudge = run.cells[0] * run.cells[1] * run.cells[2], run.fudge
    for p in range(n):
        w[LATTICE + p] = cells * exponential(-(w[RADIUS + p] / 0.63 * fudge))


@compiled
def _tophat(run, w, n):
    vectorized()
    cells, fudge = run.cells[0] * run.cells[1] * run.cells[2], run.fudge
    for p in range(n):
        w[LATTICE + p] = cells if w[RADIUS + p] * fudge < 0.3969 else 0.0


@merged
def lattice(run, w, n):
    """The lattice factor of h, k, l."""
    if run.shape == SQUARE:
        _square(run, w, n)
    else:
        _radius(run, w, n)
        if run.shape == ROUND:
            _round(run, w, n)
        elif run.shape == GAUSS or run.shape == GAUSS_Q24:
            _gauss(run, w, n)
        else:
            _tophat(run, w, n)


@compiled
def _multiply(w, n):
    """F F F_latt F_latt, left to right."""
    vectorized()
    for p in range(n):
        f = w[LATTICE + p]
        w[ADDED + p] = w[F + p] * w[F + p] * f * f


@compiled
def _weigh(run, w, n, weight):
    """What a term has besides its reflection."""
    vectorized()
    constant, capture, polar, omega = run.term, run.capture == TERM, run.polar == TERM, run.omega == TERM
    for p in range(n):
        value = (w[ADDED + p] + constant) * weight
        value = value * w[CAPTURE + p] if capture else value
        value = value * w[POLAR + p] if polar else value
        w[ADDED + p] = value * w[OMEGA + p] if omega else value


@merged
def term(run, grid, w, n, weight, order, steady):
    """The terms of h, k, l into ADDED. steady: F is there already."""
    if not steady:
        structure(run, grid, w, n)
    if run.tricubic != NEVER:
        _interpolate(run, grid, w, n, order)
    lattice(run, w, n)
    _multiply(w, n)
    if not run.alike:
        _weigh(run, w, n, weight)
