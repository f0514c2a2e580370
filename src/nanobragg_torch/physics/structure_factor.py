# ruff: noqa: E741 -- l is a Miller index
"""Structure factors from the grid of listed reflections (semantics 2.3, 6.4, 6.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nanobragg_torch.config import StructureFactors
from nanobragg_torch.physics.vectors import to_tensor


@dataclass(frozen=True)
class Grid:
    """F on a box of indices. values: flat, C order of `shape` = (Rh+1, Rk+1, Rl+1); the last plane of
    each axis is padding. lowest, counts: the box without padding. No values where nothing is listed."""

    values: Tensor | None
    lowest: tuple[int, int, int]
    counts: tuple[int, int, int]
    default: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        h, k, l = self.counts
        return h + 1, k + 1, l + 1


def build_grid(structure: StructureFactors, like: Tensor) -> Grid:
    """The grid of `structure` on the device and in the dtype of `like`: the default inside the box, then the list.

    Gradients reach F of the list and the default.
    """
    default, listed = to_tensor(structure.default_F, like), structure.reflections
    if listed is None:
        return Grid(None, (0, 0, 0), (0, 0, 0), default)
    factors = to_tensor(listed.F, like)
    if listed.hkl is None:
        return Grid(factors.reshape(-1), listed.lowest, listed.counts, default)
    h, k, l = listed.counts
    values = like.new_zeros(listed.shape)
    values[:h, :k, :l] = default
    at = np.ravel_multi_index(tuple((listed.hkl - np.asarray(listed.lowest)).T), listed.shape)
    # of an index that comes twice the last one counts
    places, rows = np.unique(at[::-1], return_index=True)
    rows = len(at) - 1 - rows
    flat = values.view(-1)
    flat[torch.from_numpy(places).to(like.device)] = factors[torch.from_numpy(rows).to(like.device)]
    return Grid(flat, listed.lowest, listed.counts, default)


def nearest(grid: Grid, h0: Tensor, k0: Tensor, l0: Tensor) -> Tensor:
    """F of the nearest reflection (...): the grid inside its box, the default outside."""
    if grid.values is None:
        return grid.default.expand(h0.shape)
    (h_low, k_low, l_low), (h_n, k_n, l_n) = grid.lowest, grid.counts
    _, k_size, l_size = grid.shape
    inside = (h0 >= h_low) & (h0 < h_low + h_n) & (k0 >= k_low) & (k0 < k_low + k_n)
    inside = inside & (l0 >= l_low) & (l0 < l_low + l_n)
    # int64, because float32 has no room for the flat index
    flat = h0.long().mul_(k_size).add_(k0.long()).mul_(l_size).add_(l0.long())
    flat = flat.sub_((h_low * k_size + k_low) * l_size + l_low).masked_fill_(~inside, 0)
    listed = grid.values.index_select(0, flat.flatten()).reshape(flat.shape)
    return torch.where(inside, listed, grid.default)


def outside_window(grid: Grid, h: Tensor, k: Tensor, l: Tensor) -> Tensor:
    """Whether tricubic interpolation lacks neighbours at (h, k, l) (semantics 6.5)."""
    outside = torch.zeros_like(h, dtype=torch.bool)
    for x, low, count in zip((h, k, l), grid.lowest, grid.counts):
        outside = outside | ((x - low + 3) > count) | (x - 2 < low)
    return outside


def tricubic(grid: Grid, h: Tensor, k: Tensor, l: Tensor) -> Tensor:
    """Cubic Lagrange interpolation of F at fractional (h, k, l) inside the window: l, then k, then h."""
    if grid.values is None:
        return grid.default.expand(h.shape)
    _, k_size, l_size = grid.shape
    floors = [torch.floor(x) for x in (h, k, l)]
    first = [(f - 1 - low).long() for f, low in zip(floors, grid.lowest)]
    along_h = []
    for i in range(4):
        along_k = []
        for j in range(4):
            row = ((first[0] + i) * k_size + first[1] + j) * l_size + first[2]
            last = grid.values.shape[0] - 1
            values = [grid.values[(row + m).clamp(0, last)] for m in range(4)]
            along_k.append(_lagrange(l, floors[2], values))
        along_h.append(_lagrange(k, floors[1], along_k))
    return _lagrange(h, floors[0], along_h)


def _lagrange(x: Tensor, floor: Tensor, values: list[Tensor]) -> Tensor:
    """The cubic through (floor - 1 .. floor + 2, values) at x; products and sum in the reference's order."""
    nodes = [floor - 1, floor, floor + 1, floor + 2]
    terms = []
    for i, value in enumerate(values):
        p, q, r = (node for j, node in enumerate(nodes) if j != i)
        own = nodes[i]
        top = (x - p) * (x - q) * (x - r) * value
        terms.append(top / ((own - p) * (own - q) * (own - r)))
    return terms[0] + terms[1] + terms[2] + terms[3]
