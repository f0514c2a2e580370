# ruff: noqa: E741 -- l is a Miller index
"""The sum of SQUARE terms over the orientations, in memory that is used again: the everyday case at speed.

Every operation, and their order, is that of `evaluate`, so that every bit is; only work whose result is known
is left out. Orientations that are equal (Q29 makes phi step 0 equal to the last) are evaluated once. A pixel
whose nearest reflection is the same in all orientations needs one structure factor, and nothing else where
that is 0. The removable singularity of the grating is not looked for: it shows as a NaN in the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nanobragg_torch.physics.structure_factor import Grid
from nanobragg_torch.scan.experiment import Application, Experiment

TOGETHER = 4  # orientations evaluated at once, so that the few rows of a tile make one call
MOST_ORIENTATIONS = 2**16  # beyond, their axes are not kept


@dataclass(frozen=True)
class Table:
    """F^2 on the box of listed indices, with a margin of one index all around it that holds the default.

    squares: (cells,), l running fastest, then k. lowest, highest: the first and last h, k and l, margin included.
    strides: number of k, and number of l, so that h, k, l lies at (h * strides[0] + k) * strides[1] + l - start.
    """

    squares: Tensor
    lowest: list[int]
    highest: list[int]
    strides: tuple[int, int]
    start: int

    def look_up(self, hkl: Tensor) -> Tensor:
        """Return F^2 (...) of the reflections at `hkl` (3, ...): whole numbers in floating point, h, k and l in turn.

        An index beyond the box is taken for the nearest one of the margin, whose F is the default. `hkl` serves as
        working memory and holds no indices afterwards. Where an index is NaN, the result is F^2 of some reflection.
        """
        shape = hkl.shape[1:]
        rows = zip(hkl.flatten(1).unbind(0), self.lowest, self.highest)
        h, k, l = (row.clamp_(low, high) for row, low, high in rows)
        # whole numbers with room in the mantissa: exact
        flat = torch.add(l, k.add_(h, alpha=self.strides[0]), alpha=self.strides[1], out=h).sub_(self.start)
        return self.squares.index_select(0, flat.int().clamp_(0, self.squares.shape[0] - 1)).view(shape)


def make_table(grid: Grid) -> Table | None:
    """Return the table of `grid`, or None if it has more cells than an int32 or the mantissa of its dtype can count."""
    counts = grid.counts if grid.values is not None else (0, 0, 0)
    size = [count + 2 for count in counts]
    if math.prod(size) > min(2**31 - 1, 1 / torch.finfo(grid.default.dtype).eps):
        return None
    squares = (grid.default * grid.default).expand(size).contiguous()
    if grid.values is not None:
        inside = grid.values.view(grid.shape)[: counts[0], : counts[1], : counts[2]]
        squares[1:-1, 1:-1, 1:-1] = inside * inside
    lowest = [low - 1 for low in grid.lowest]
    start = (lowest[0] * size[1] + lowest[1]) * size[2] + lowest[2]
    highest = [low + n - 1 for low, n in zip(lowest, size)]
    return Table(squares.view(-1), lowest, highest, (size[1], size[2]), start)


@dataclass(frozen=True)
class Chunk:
    """Orientations evaluated together. axes: x, y, z of a, b, c, each (3, orientations, 1).

    kept: (row, slot) of terms that are needed again. added: rows of this chunk, or slots of kept terms as
    -1 - slot, in the order of the sum.
    """

    axes: tuple[Tensor, Tensor, Tensor]
    kept: tuple[tuple[int, int], ...]
    added: tuple[int, ...]


@dataclass(frozen=True)
class SumPlan:
    """What no pixel changes.

    centre: a, b, c of one orientation (3, 3). reach: the largest difference of any other from it (3, 3).
    shared: components x, y, z that all orientations have in common. tile: pixels of a tile.
    """

    table: Table
    cells: Tensor
    centre: Tensor
    reach: Tensor
    shared: tuple[bool, bool, bool]
    chunks: tuple[Chunk, ...]
    tile: int

    @property
    def width(self) -> int:
        """Most orientations of a chunk."""
        return max(chunk.axes[0].shape[1] for chunk in self.chunks)


def make_plan(exp: Experiment, terms: int) -> SumPlan | None:
    """The plan for tiles of at most `terms` terms; None where this sum is not made of such terms alone."""
    crystal, final = exp.config.crystal, Application.FINAL
    plain = crystal.shape == "SQUARE" and exp.config.quirks.on("Q34") and not exp.interpolate
    whole = exp.term is None and exp.sources.weight is None and exp.config.dmin_m <= 0
    factors = exp.factors.capture is final and exp.factors.polar is final and exp.factors.omega is final
    if not (plain and whole and factors) or exp.n_orientations > MOST_ORIENTATIONS:
        return None
    table = make_table(exp.grid)
    if table is None:
        return None
    axes = torch.stack(exp.orientations.block(0, exp.n_orientations))
    chunks = _chunks(axes)
    centre = axes[:, axes.shape[1] // 2]
    in_common = (axes == axes[:, :1]).flatten(0, 1).all(0).tolist()
    return SumPlan(
        table=table,
        cells=exp.cells.reshape(3, 1, 1),
        centre=centre,
        reach=(axes - centre.unsqueeze(1)).abs().amax(1),
        shared=(in_common[0], in_common[1], in_common[2]),
        chunks=chunks,
        tile=max(terms // max(chunk.axes[0].shape[1] for chunk in chunks), 1),
    )


def _chunks(axes: Tensor) -> tuple[Chunk, ...]:
    """Distinct orientations of axes (3, orientations, 3), in the order in which the sum needs them first."""
    keys = [row.numpy().tobytes() for row in axes.transpose(0, 1).contiguous().unbind(0)]
    last = {key: at for at, key in enumerate(keys)}
    together = -(-len(last) // -(-len(last) // TOGETHER))  # chunks of about the same size
    slots: dict[bytes, int] = {}
    chunks: list[Chunk] = []
    rows: list[int] = []
    kept: list[tuple[int, int]] = []
    added: list[int] = []

    def close() -> None:
        chosen = axes[:, rows]
        x, y, z = (chosen[..., i].unsqueeze(-1).contiguous() for i in range(3))
        chunks.append(Chunk((x, y, z), tuple(kept), tuple(added)))
        for gathered in (rows, kept, added):
            gathered.clear()

    for at, key in enumerate(keys):
        if key in slots:
            added.append(-1 - slots[key])
            continue
        if len(rows) == together:
            close()
        if last[key] > at and len(slots) < TOGETHER:
            slots[key] = len(slots)
            kept.append((len(rows), slots[key]))
        added.append(len(rows))
        rows.append(at)
    close()
    return tuple(chunks)


@dataclass(frozen=True)
class Views:
    """Memory for one chunk of one tile: (orientations, pixels), with 3 in front for the axes a, b, c."""

    phases: Tensor
    many: Tensor
    one: Tensor
    product: Tensor
    products: tuple[Tensor, Tensor, Tensor]
    by_axis: tuple[Tensor, Tensor, Tensor]
    f_latt: Tensor
    term: Tensor
    rows: tuple[Tensor, ...]


class Buffers:
    """The memory of one worker. shared: products of components that all orientations have in common."""

    def __init__(self, plan: SumPlan) -> None:
        self.plan = plan
        self._views: dict[tuple[int, int], Views] = {}
        cells, size = plan.cells, plan.width * plan.tile
        self._phases, self._product, self._terms = (cells.new_empty(rows * size) for rows in (6, 3, 2))
        self._shared = cells.new_empty((3, 3 * plan.tile))
        self._kept = cells.new_empty((TOGETHER, plan.tile))

    def shared(self, component: int, pixels: int) -> Tensor:
        return self._shared[component, : 3 * pixels].view(3, 1, pixels)

    def kept(self, pixels: int) -> tuple[Tensor, ...]:
        return self._kept[:, :pixels].unbind(0)

    def views(self, orientations: int, pixels: int) -> Views:
        key = orientations, pixels
        if key not in self._views:
            if len(self._views) > 32:
                self._views.clear()
            self._views[key] = self._cut(orientations, pixels)
        return self._views[key]

    def _cut(self, orientations: int, pixels: int) -> Views:
        size = orientations * pixels
        phases = self._phases[: 6 * size].view(2, 3, orientations, pixels)
        product = self._product[: 3 * size].view(3, orientations, pixels)
        f_latt, term = self._terms[: 2 * size].view(2, orientations, pixels).unbind(0)
        common = [self.shared(i, pixels).expand_as(product) for i in range(3)]
        x, y, z = (common[i] if self.plan.shared[i] else product for i in range(3))
        a, b, c = product.unbind(0)
        return Views(phases, phases[0], phases[1], product, (x, y, z), (a, b, c), f_latt, term, term.unbind(0))


def add_terms(buffers: Buffers, q: Tensor, intensity: Tensor) -> None:
    """Add the terms of all orientations to `intensity` (pixels,): scattering vectors q (3, pixels), 1/m.

    A sum that becomes NaN stands for a term at its removable singularity, or for a NaN of its own.
    """
    plan = buffers.plan
    near, f_squared = _reflections(plan, q)
    steady = torch.nonzero(near & (f_squared != 0)).squeeze(1)
    moving = torch.nonzero(~near).squeeze(1)
    for chosen in (steady, moving):
        columns = torch.stack([component.index_select(0, chosen) for component in q.unbind(0)])
        sums = intensity.index_select(0, chosen)
        square = f_squared.index_select(0, chosen) if chosen is steady else None
        tiles = max(-(-chosen.shape[0] // plan.tile), 1)
        size = max(-(-chosen.shape[0] // tiles), 1)  # tiles of about the same size
        for begin in range(0, chosen.shape[0], size):
            tile = slice(begin, begin + size)
            _add_tile(plan, columns[:, tile], None if square is None else square[tile], sums[tile], buffers)
        intensity.index_copy_(0, chosen, sums)


def _reflections(plan: SumPlan, q: Tensor) -> tuple[Tensor, Tensor]:
    """Which pixels have the same nearest reflection in all orientations, and its F.

    h of an orientation differs from that of the central one by at most reach . |q|. Rounding, also that of
    the matrix product, which is not the reference's, is far below 16 eps |a| . |q|.
    """
    largest = q.abs().amax(1)
    rounding = 16 * torch.finfo(q.dtype).eps * (plan.centre.abs() + plan.reach)
    room = 0.5 - ((plan.reach + rounding) * largest).sum(-1, keepdim=True)
    hkl = plan.centre @ q
    nearest = torch.sub(hkl, 0.5).ceil_()
    a, b, c = hkl.sub_(nearest).abs_().sub_(room).unbind(0)
    near = torch.maximum(a, b).maximum(c) <= 0  # False for a NaN
    return near, plan.table.look_up(nearest)


def _add_tile(plan: SumPlan, q: Tensor, square: Tensor | None, sums: Tensor, buffers: Buffers) -> None:
    """One tile: square (pixels,) is F^2 where it is the same in all orientations, else None."""
    pixels = q.shape[1]
    components = q.unbind(0)
    kept = buffers.kept(pixels)
    for i, common in enumerate(plan.shared):
        if common:
            torch.mul(components[i], plan.chunks[0].axes[i][:, :1], out=buffers.shared(i, pixels))
    for chunk in plan.chunks:
        views = buffers.views(chunk.axes[0].shape[1], pixels)
        _indices(plan, components, chunk, views)
        f_squared = square
        if f_squared is None:
            f_squared = plan.table.look_up(torch.sub(views.one, 0.5, out=views.product).ceil_())
        _lattice_factor(plan, views)
        torch.mul(f_squared, views.f_latt, out=views.term).mul_(views.f_latt)
        for row, slot in chunk.kept:
            kept[slot].copy_(views.rows[row])
        for row in chunk.added:
            sums.add_(views.rows[row] if row >= 0 else kept[-1 - row])


def _indices(plan: SumPlan, q: tuple[Tensor, ...], chunk: Chunk, views: Views) -> None:
    """h, k, l = ax qx + ay qy + az qz into views.one."""
    hkl = views.one
    if plan.shared[0]:
        _product(plan, 1, q, chunk, views)
        torch.add(views.products[0], views.products[1], out=hkl)
    else:
        torch.mul(q[0], chunk.axes[0], out=hkl)
        _product(plan, 1, q, chunk, views)
        hkl.add_(views.products[1])
    _product(plan, 2, q, chunk, views)
    hkl.add_(views.products[2])


def _product(plan: SumPlan, component: int, q: tuple[Tensor, ...], chunk: Chunk, views: Views) -> None:
    if not plan.shared[component]:
        torch.mul(q[component], chunk.axes[component], out=views.product)


def _lattice_factor(plan: SumPlan, views: Views) -> None:
    """sin(N y) / sin(y), y = pi h, of the axes multiplied: views.one into views.f_latt."""
    views.one.mul_(math.pi)
    torch.mul(views.one, plan.cells, out=views.many)
    torch.sin(views.phases, out=views.phases)
    torch.div(views.many, views.one, out=views.product)
    a, b, c = views.by_axis
    torch.mul(a, b, out=views.f_latt).mul_(c)
