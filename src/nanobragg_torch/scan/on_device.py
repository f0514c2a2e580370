"""The sum of terms on a GPU by one kernel, where Triton is there and no gradient is asked for."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from nanobragg_torch.scan.evaluate import Scatter
from nanobragg_torch.scan.experiment import Experiment

Add = Callable[[Scatter, list[Tensor], list[Tensor], Tensor], None]


@cache
def _triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def adder(exp: Experiment, tricubic: bool) -> Add | None:
    """What adds the terms of a block of evaluations, with their factors (evaluations, pixels), to the sums (pixels,).

    None where the torch path serves: on a CPU, without Triton, with tricubic interpolation, infinite structure factors
    or a gradient.
    """
    if exp.cells.device.type != "cuda" or tricubic or exp.unbounded or torch.is_grad_enabled() or not _triton():
        return None
    return fused(exp)


def fused(exp: Experiment) -> Add:
    """The adder by the kernel."""
    from nanobragg_torch.kernel.device import add_terms

    crystal, grid, quirks = exp.config.crystal, exp.grid, exp.config.quirks
    unrotated = " Q24" if crystal.shape in ("GAUSS", "TOPHAT") and quirks.on("Q24") else ""
    reduced = " reduced" if crystal.shape == "SQUARE" and not quirks.on("Q34") else ""
    constants = _constants(exp)
    axes = torch.stack(exp.orientations.block(0, exp.n_orientations), dim=1).reshape(-1, 9).contiguous()

    def add(scattered: Scatter, each: list[Tensor], running: list[Tensor], sums: Tensor) -> None:
        add_terms(
            scattered.q.flatten(0, 1).movedim(-1, 1).contiguous(),
            None if scattered.alive is None else scattered.alive.flatten(0, 1).to(torch.uint8).contiguous(),
            torch.stack(each).contiguous() if each else None,
            torch.stack(running).contiguous() if running else None,
            axes,
            constants,
            grid.values,
            sums,
            shape=crystal.shape + unrotated + reduced,
            dry=exp.dry,
        )

    return add


def _constants(exp: Experiment) -> Tensor:
    """In the order of `kernel.device`: cells, fudge, F by default, box and strides of the list, reciprocal axes,
    numbers of the formulas, what every term has besides reflections."""
    grid, axes = exp.grid, exp.axes
    cells = torch.where(exp.cells > 1, exp.cells, 1.0) if exp.config.crystal.shape == "SQUARE" else exp.cells
    box = [*grid.lowest, *(low + count for low, count in zip(grid.lowest, grid.counts))]
    numbers = [math.pi, 0.5, 0.723601254558268, 0.63, 0.3969, 3.0]
    known = torch.tensor([*box, grid.shape[1] * grid.shape[2], grid.shape[2]], dtype=cells.dtype)
    return torch.cat(
        [
            cells,
            exp.fudge.reshape(1),
            grid.default.reshape(1),
            known.to(cells.device),
            axes.a_star,
            axes.b_star,
            axes.c_star,
            torch.tensor(numbers, dtype=cells.dtype).to(cells.device),
            (torch.zeros_like(exp.fudge) if exp.term is None else exp.term).reshape(1),
        ]
    )
