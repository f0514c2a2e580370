# ruff: noqa: E741 -- l is a Miller index
"""The pixels of an image, compiled."""

from __future__ import annotations

import numpy as np

from nanobragg_torch.kernel.functions import compiled, kept_on_disk, merged, nearest, vectorized
from nanobragg_torch.kernel.geometry import cast, polarize, scatter
from nanobragg_torch.kernel.parameters import (
    ADDED,
    ALIVE,
    ANGLES,
    CACHED,
    CAPTURE,
    CHUNK,
    FAST,
    FINAL,
    LANES,
    LATTICE,
    OMEGA,
    POLAR,
    QX,
    QY,
    QZ,
    ROWS,
    RUNNING,
    SLOW,
    STEADY,
    SUM,
    SX,
    SY,
    SZ,
    TOTAL,
    UNTIL_TERM,
    WEIGHT,
    F,
    H,
    K,
    L,
)
from nanobragg_torch.kernel.terms import indices, structure, term


@compiled
def _add(w, n):
    vectorized()
    for p in range(n):
        w[SUM + p] += w[ADDED + p]


@compiled
def _add_counted(run, w, n):
    """I = (I + term) w for every term that the reference counts (Q27)."""
    vectorized()
    dry, capture, polar, omega = run.dry, run.capture == RUNNING, run.polar == RUNNING, run.omega == RUNNING
    for p in range(n):
        total = w[SUM + p] + w[ADDED + p]
        if capture:
            total *= w[CAPTURE + p]
        if polar:
            total *= w[POLAR + p]
        if omega:
            total *= w[OMEGA + p]
        counts = (w[ALIVE + p] != 0.0) & (not dry or w[LATTICE + p] != 0.0)
        w[SUM + p] = total if counts else w[SUM + p]


@compiled
def _keep(w, n, memory):
    vectorized()
    for p in range(n):
        memory[0, p], memory[1, p] = w[ADDED + p], w[LATTICE + p]


@compiled
def _recall(w, n, memory):
    vectorized()
    for p in range(n):
        w[ADDED + p], w[LATTICE + p] = memory[0, p], memory[1, p]


@merged
def _add_orientations(run, orientations, slots, memory, grid, w, n, weight, evaluation, steady, stop):
    """The terms of all orientations of one sub-pixel and source. steady: F is there already."""
    count = orientations.shape[0]
    for o in range(count):
        if stop[0] != 0:
            break
        kept, again = slots[0, o], slots[1, o]
        if again >= 0:
            _recall(w, n, memory[again])
        else:
            indices(w, n, w[QX : QX + 3 * CHUNK], orientations[o])
            term(run, grid, w, n, weight, float(evaluation * count + o), steady)
            if kept >= 0:
                _keep(w, n, memory[kept])
        if run.alike:
            _add(w, n)
        else:
            _add_counted(run, w, n)


@compiled
def _mark_steady(run, w, n):
    """|F| of the pixels whose nearest reflection is the same in all orientations, and -1 of the others.

    h, k, l and F are those of the orientation in the middle, from which an index of another differs by at most
    reach . |q|.
    """
    vectorized()
    a1, a2, a3 = run.reach[0, 0], run.reach[0, 1], run.reach[0, 2]
    b1, b2, b3 = run.reach[1, 0], run.reach[1, 1], run.reach[1, 2]
    c1, c2, c3 = run.reach[2, 0], run.reach[2, 1], run.reach[2, 2]
    for p in range(n):
        x, y, z = abs(w[SX + p]), abs(w[SY + p]), abs(w[SZ + p])
        h, k, l = w[H + p], w[K + p], w[L + p]
        near = (abs(h - nearest(h)) + (a1 * x + a2 * y + a3 * z) <= 0.5) & (
            abs(k - nearest(k)) + (b1 * x + b2 * y + b3 * z) <= 0.5
        )
        near &= abs(l - nearest(l)) + (c1 * x + c2 * y + c3 * z) <= 0.5
        w[STEADY + p] = abs(w[F + p]) if near else -1.0


@merged
def _find_steady(run, orientations, grid, w, n):
    indices(w, n, w[SX : SX + 3 * CHUNK], orientations[orientations.shape[0] // 2])
    structure(run, grid, w, n)
    _mark_steady(run, w, n)


@compiled
def _sort(w, n, steady, moving):
    """The numbers of the pixels that are summed with one F, and of those that are not; how many of each."""
    vectorized()
    first, second = 0, 0
    for p in range(n):
        steady[first], moving[second] = p, p
        alive = w[ALIVE + p] != 0.0
        first += alive & (w[STEADY + p] > 0.0)
        second += alive & (w[STEADY + p] < 0.0)
    return first, second


@compiled
def _gather(w, chosen, n):
    """Scattering vectors, sums and F of the chosen pixels side by side; the last one fills up a whole vector."""
    vectorized()
    whole = (n + LANES - 1) // LANES * LANES
    for i in range(n, whole):
        chosen[i] = chosen[n - 1]
    for i in range(whole):
        p = chosen[i]
        w[QX + i], w[QY + i], w[QZ + i] = w[SX + p], w[SY + p], w[SZ + p]
        w[SUM + i], w[F + i] = w[TOTAL + p], w[STEADY + p]
    return whole


@compiled
def _scatter_back(w, chosen, n):
    vectorized()
    for i in range(n):
        w[TOTAL + chosen[i]] = w[SUM + i]


@merged
def _add_evaluation(run, orientations, slots, memory, grid, w, n, weight, evaluation, chosen, stop):
    """All terms of one sub-pixel and source. chosen: (2, CHUNK + LANES), memory.

    Where terms are alike, a pixel whose nearest reflection is the same in all orientations needs one F, and nothing
    else where that is 0.
    """
    steady, moving = 0, n
    if run.alike:
        _find_steady(run, orientations, grid, w, n)
        steady, moving = _sort(w, n, chosen[0], chosen[1])
    else:
        for p in range(n):
            chosen[1, p] = p
    for kind in range(2):
        count = moving if kind == 1 else steady
        if count > 0:
            whole = _gather(w, chosen[kind], count)
            _add_orientations(run, orientations, slots, memory, grid, w, whole, weight, evaluation, kind == 0, stop)
            _scatter_back(w, chosen[kind], count)


@compiled
def _scale(run, w, n, values, at):
    """What scales a pixel (semantics 6.7); returns the sum of the solid angles."""
    vectorized()
    scale, steps, omega, polar = run.scale, run.steps, run.omega == FINAL, run.polar == FINAL
    capture = run.capture == FINAL and run.captured
    for p in range(n):
        value = scale * w[TOTAL + p] / steps
        if capture:
            value *= w[CAPTURE + p]
        if polar:
            value *= w[POLAR + p]
        if omega:
            value *= w[OMEGA + p]
        values[at + p] = value
    angles = 0.0
    for p in range(n):
        angles += w[ANGLES + p]
    return angles


@compiled
def start(run, w, n, fast, slow, at, before):
    """What is known of pixels before their first evaluation. before: the terms of all pixels before these."""
    vectorized()
    background, polar = run.background, 0.0 if run.polarized else 1.0
    for p in range(n):
        w[FAST + p], w[SLOW + p] = fast[at + p], slow[at + p]
    for p in range(n):
        w[TOTAL + p], w[POLAR + p] = background, polar
        w[CACHED + p], w[ALIVE + p], w[ANGLES + p] = 0.0, 1.0, 0.0
        w[UNTIL_TERM + p] = run.tricubic_end - before - p * run.terms


@kept_on_disk
def render(run, sources, orientations, slots, grid, fast, slow, first, values, stop, version):
    """I_pixel_final of the pixels fast, slow (n,) into values (n,); the first of them is number `first` in scan order.

    Returns the sum of their solid angles (sr): where these scale the final sum, of the first sub-pixels alone.

    run: a record of PARAMETERS. sources: (sources, 14), its columns as named there. orientations: a, b, c of each, (n,
    3, 3). slots: (2, n); an orientation's terms are kept in slot slots[0], and are those that an equal one left in
    slot slots[1], where these are not negative. grid: F in C order. stop: (1,), not 0 to leave with what there is.
    version: see `scan.fused`.
    """
    w, chosen = np.zeros(ROWS * CHUNK), np.empty((2, CHUNK + LANES), np.int64)
    memory = np.empty((run.slots, 2, CHUNK))
    subpixels, angles = run.layers * run.oversample * run.oversample, 0.0
    for at in range(0, fast.size, CHUNK):
        n = min(CHUNK, fast.size - at)
        start(run, w, n, fast, slow, at, (first + at) * run.terms)
        known = run.polar == FINAL and not run.polarized
        for subpixel in range(subpixels):
            cast(run, w, n, subpixel)
            for s in range(sources.shape[0]):
                if stop[0] != 0:
                    return angles
                alive = scatter(run, sources[s], w, n)
                if not known:
                    known = polarize(run, sources[s], w, n)
                if alive:
                    evaluation = subpixel * sources.shape[0] + s
                    _add_evaluation(
                        run, orientations, slots, memory, grid, w, n, sources[s, WEIGHT], evaluation, chosen, stop
                    )
        angles += _scale(run, w, n, values, at)
    return angles
