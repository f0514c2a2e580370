"""Where in the scan of an image tricubic interpolation first lacks a neighbour, compiled."""

from __future__ import annotations

import numpy as np

from nanobragg_torch.kernel.functions import compiled, kept_on_disk, vectorized
from nanobragg_torch.kernel.geometry import cast, polarize, scatter
from nanobragg_torch.kernel.parameters import ALIVE, CHUNK, FINAL, LATTICE, ROWS, SX, H, K, L
from nanobragg_torch.kernel.render import start
from nanobragg_torch.kernel.terms import indices, lacks_neighbours, lattice


@compiled
def _lacking(run, w, n):
    """The first of n pixels whose h, k, l lacks a neighbour in a term that the reference counts; n if none does."""
    vectorized()
    h_low, k_low, l_low = run.lowest
    h_count, k_count, l_count = run.counts
    known = False
    for p in range(n):
        lacking = lacks_neighbours(w[H + p], h_low, h_count) | lacks_neighbours(w[K + p], k_low, k_count)
        if not (lacking | lacks_neighbours(w[L + p], l_low, l_count)) or w[ALIVE + p] == 0.0:
            continue
        if run.dry and not known:
            lattice(run, w, n)
            known = True
        if not run.dry or w[LATTICE + p] != 0.0:
            return p
    return n


@kept_on_disk
def first_lacking(run, sources, orientations, fast, slow, first, stop, version):
    """Scan order of the first term of the pixels fast, slow (n,) that lacks a neighbour (semantics 6.5), or -1.

    The rest as in `render`.
    """
    w = np.zeros(ROWS * CHUNK)
    count, subpixels = orientations.shape[0], run.layers * run.oversample * run.oversample
    for at in range(0, fast.size, CHUNK):
        n = min(CHUNK, fast.size - at)
        start(run, w, n, fast, slow, at, 0)
        earliest, found = -1, n  # a later pixel does not matter any more
        for subpixel in range(subpixels):
            cast(run, w, n, subpixel)
            for s in range(sources.shape[0]):
                alive = scatter(run, sources[s], w, n)
                if run.polar != FINAL or run.polarized:
                    polarize(run, sources[s], w, n)
                if not alive:
                    continue
                for o in range(count):
                    if stop[0] != 0:
                        return -1
                    indices(w, n, w[SX : SX + 3 * CHUNK], orientations[o])
                    p = _lacking(run, w, found)
                    if p < found:
                        found = p
                        evaluation = subpixel * sources.shape[0] + s
                        earliest = (first + at + p) * run.terms + evaluation * count + o
        if found < n:
            return earliest
    return -1
