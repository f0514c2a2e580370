# ruff: noqa: E741 -- l is a Miller index
"""The sum of a pixel's terms as one Triton kernel: the twin of `scan.summation` on a GPU, in float64 and float32.

The arithmetic is that of `scan.evaluate`, in its order; it is compiled without contraction (enable_fp_fusion=False).
Triton rounds a Python number to float32, so that constants come in a tensor of the image's dtype.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

BLOCK = 128  # pixels of a program: few enough for all their numbers to stay in registers
SHAPES = ("SQUARE", "SQUARE reduced", "ROUND", "GAUSS", "GAUSS Q24", "TOPHAT", "TOPHAT Q24")
# Where in the tensor of constants they begin: cells, fudge, F by default, box and strides of the list, reciprocal axes.
CELLS, FUDGE, DEFAULT, LOW, END, STRIDES, STARS = (tl.constexpr(at) for at in (0, 3, 4, 5, 8, 11, 13))
PI, HALF, VOLUME, WIDTH, EDGE, THREE, EXTRA = (tl.constexpr(at) for at in range(22, 29))


@triton.jit
def _grating(h, cells, pi):
    """sin(N y) / sin(y), y = pi h; N where y is 0."""
    y = h * pi
    at_zero = y == 0
    safe = tl.where(at_zero, pi, y)
    return tl.where(at_zero, cells, tl.sin(safe * cells) / tl.sin(safe))


@triton.jit
def _lattice_factor(h, k, l, h0, k0, l0, c, SHAPE: tl.constexpr):
    na, nb, nc = tl.load(c + CELLS), tl.load(c + CELLS + 1), tl.load(c + CELLS + 2)
    fudge, pi = tl.load(c + FUDGE), tl.load(c + PI)
    if SHAPE == 0:
        factor = _grating(h, na, pi) * _grating(k, nb, pi) * _grating(l, nc, pi)
    elif SHAPE == 1:
        factor = _grating(h - h0, na, pi) * _grating(k - k0, nb, pi) * _grating(l - l0, nc, pi)
    else:
        h, k, l = h - h0, k - k0, l - l0
        if SHAPE == 4 or SHAPE == 6:
            x = h * tl.load(c + STARS) + k * tl.load(c + STARS + 3) + l * tl.load(c + STARS + 6)
            y = h * tl.load(c + STARS + 1) + k * tl.load(c + STARS + 4) + l * tl.load(c + STARS + 7)
            z = h * tl.load(c + STARS + 2) + k * tl.load(c + STARS + 5) + l * tl.load(c + STARS + 8)
            radius = (x * x + y * y + z * z) * na * na * nb * nb * nc * nc
        else:
            radius = h * h * na * na + k * k * nb * nb + l * l * nc * nc
        if SHAPE == 2:
            x = pi * tl.sqrt(radius * fudge)
            at_zero = x == 0
            safe = tl.where(at_zero, pi, x)
            ball = tl.load(c + THREE) * (tl.sin(safe) / safe - tl.cos(safe)) / (safe * safe)
            factor = na * nb * nc * tl.load(c + VOLUME) * tl.where(at_zero, ball * 0 + 1, ball)
        elif SHAPE == 3 or SHAPE == 4:
            factor = na * nb * nc * tl.exp(-(radius / tl.load(c + WIDTH) * fudge))
        else:
            factor = tl.where(radius * fudge < tl.load(c + EDGE), na * nb * nc, radius * 0)
    return factor


@triton.jit
def _sum(
    q, alive, each, running, axes, c, grid, sums, pixels, evaluations, orientations,
    SHAPE: tl.constexpr, DRY: tl.constexpr, ALIVE: tl.constexpr, LISTED: tl.constexpr,
    EACH: tl.constexpr, RUNNING: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Arrays as in `add_terms`."""
    p = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = p < pixels
    total = tl.load(sums + p, mask=there)
    half, default, extra = tl.load(c + HALF), tl.load(c + DEFAULT), tl.load(c + EXTRA)
    for e in range(evaluations):
        x = tl.load(q + (e * 3 + 0) * pixels + p, mask=there, other=0.0)
        y = tl.load(q + (e * 3 + 1) * pixels + p, mask=there, other=0.0)
        z = tl.load(q + (e * 3 + 2) * pixels + p, mask=there, other=0.0)
        living = there
        if ALIVE:
            living = living & (tl.load(alive + e * pixels + p, mask=there, other=0) != 0)
        for o in range(orientations):
            a = axes + o * 9
            h = tl.load(a) * x + tl.load(a + 1) * y + tl.load(a + 2) * z
            k = tl.load(a + 3) * x + tl.load(a + 4) * y + tl.load(a + 5) * z
            l = tl.load(a + 6) * x + tl.load(a + 7) * y + tl.load(a + 8) * z
            h0, k0, l0 = tl.ceil(h - half), tl.ceil(k - half), tl.ceil(l - half)
            f = default + x * 0
            if LISTED:
                inside = (h0 >= tl.load(c + LOW)) & (h0 < tl.load(c + END))
                inside = inside & (k0 >= tl.load(c + LOW + 1)) & (k0 < tl.load(c + END + 1))
                inside = inside & (l0 >= tl.load(c + LOW + 2)) & (l0 < tl.load(c + END + 2))
                at_h = tl.where(inside, h0 - tl.load(c + LOW), 0).to(tl.int64)
                at_k = tl.where(inside, k0 - tl.load(c + LOW + 1), 0).to(tl.int64)
                at_l = tl.where(inside, l0 - tl.load(c + LOW + 2), 0).to(tl.int64)
                at = at_h * tl.load(c + STRIDES).to(tl.int64) + at_k * tl.load(c + STRIDES + 1).to(tl.int64) + at_l
                f = tl.where(inside, tl.load(grid + at, mask=inside & there, other=0.0), default)
            factor = _lattice_factor(h, k, l, h0, k0, l0, c, SHAPE)
            term = f * f * factor * factor + extra
            for i in tl.static_range(EACH):
                term = term * tl.load(each + (i * evaluations + e) * pixels + p, mask=there, other=0.0)
            added = total + term
            for i in tl.static_range(RUNNING):
                added = added * tl.load(running + (i * evaluations + e) * pixels + p, mask=there, other=0.0)
            counted = living
            if DRY and RUNNING > 0:
                counted = counted & (factor != 0)
            total = tl.where(counted, added, total)
    tl.store(sums + p, total, mask=there)


def add_terms(
    q: Any,
    alive: Any,
    each: Any,
    running: Any,
    axes: Any,
    constants: Any,
    grid: Any,
    sums: Any,
    *,
    shape: str,
    dry: bool,
) -> None:
    """Add the terms of all evaluations and orientations to `sums` (pixels,), in the reference's order.

    q: scattering vectors (evaluations, 3, pixels), 1/m. alive: evaluations that count (evaluations, pixels), or None.
    each, running: factors of every term, and of the running sum after it (factors, evaluations, pixels); None for
    none. axes: a, b, c (orientations, 9). constants: as `scan.on_device` puts them together. grid: F in C order, or
    None. All on one device and contiguous.
    """
    pixels = sums.shape[0]
    _sum[(triton.cdiv(pixels, BLOCK),)](
        q, sums if alive is None else alive, sums if each is None else each, sums if running is None else running,
        axes, constants, sums if grid is None else grid, sums, pixels, q.shape[0], axes.shape[0],
        SHAPE=SHAPES.index(shape), DRY=dry, ALIVE=alive is not None, LISTED=grid is not None,
        EACH=0 if each is None else each.shape[0], RUNNING=0 if running is None else running.shape[0], BLOCK=BLOCK,
        enable_fp_fusion=False,
    )  # fmt: skip
