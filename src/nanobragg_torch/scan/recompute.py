"""Gradients of many pixels in little memory: an image is rendered without a graph, and a gradient renders it again.

That is done a block of pixels at a time, on all threads. A gradient that is to be differentiated itself
(create_graph=True) holds the graph of all pixels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.scan.chosen import only
from nanobragg_torch.scan.summation import Pixels, Run, pixel_ranges, pixel_values
from nanobragg_torch.scan.threads import in_parallel

TERMS = 2**17  # of a graph on a CPU: fewer cost more operations, more cost more memory
HELD = 4  # on a GPU: bytes of a term in a graph by those of a term without one
Gradients = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Job:
    """A run whose tensors ask for no gradient. cut: those in whose places tensors that do are put."""

    run: Run
    cut: tuple[Tensor, ...]
    threads: int

    def with_tensors(self, tensors: Sequence[Tensor]) -> Run:
        """The run of other tensors in the places of `cut`."""
        return _substituted(self.run, {id(old): new for old, new in zip(self.cut, tensors)})


def needs_gradient(run: Run) -> bool:
    """Whether a tensor that pixels are computed from asks for its gradient."""
    return bool(_asking(run))


def rendered_again(run: Run, threads: int, render: Callable[[Run], Tensor]) -> Tensor:
    """Intensities (pixels,) that `render` makes without a graph, with gradients that cost little memory.

    Args:
        run: with tensors that ask for their gradient.
        threads: that share a gradient's blocks; their number changes no bit of it.
        render: called once, without gradients, with the run of the same tensors detached.
    """
    tensors = _asking(run)
    cut = tuple(tensor.detach() for tensor in tensors)
    still = _substituted(run, {id(old): new for old, new in zip(tensors, cut)})
    return _Image.apply(Job(still, cut, threads), render, *tensors)


class _Image(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, job: Job, render: Callable[[Run], Tensor], *tensors: Tensor) -> Tensor:
        ctx.job = job
        ctx.save_for_backward(*tensors)
        return render(job.run)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Any, ...]:
        if not torch.is_grad_enabled():
            return None, None, *gradient(ctx.job, slopes)
        # views: one of the tensors may be made of another, and its gradient is not to reach that one twice
        tensors = [tensor.view_as(tensor) for tensor in ctx.saved_tensors]
        run = ctx.job.with_tensors(tensors)
        values = torch.cat([pixel_values(run, pixels) for pixels in pixel_ranges(run, run.block)])
        return None, None, *torch.autograd.grad(values, tensors, slopes, create_graph=True, allow_unused=True)


def gradient(job: Job, slopes: Tensor) -> Gradients:
    """d(sum of slopes * intensities)/d(each of `job.cut`), None where nothing depends on it.

    The sum is taken in the order of the blocks, whoever made them.
    """
    at = slopes.nonzero().squeeze(1)
    at = at if len(at) else torch.zeros_like(slopes[:1], dtype=torch.int64)  # it tells what pixels depend on
    run = job.run if len(at) == len(slopes) else only(job.run, at)
    slopes = slopes if len(at) == len(slopes) else slopes[at]
    exp = run.exp
    most = max(run.block // HELD, 1) if slopes.device.type == "cuda" else min(run.block, TERMS)
    job = replace(job, run=replace(run, block=most))
    a_pixel = exp.n_subpixels * exp.n_sources * exp.n_orientations
    total = _Total(len(job.cut))

    def worker() -> Callable[[tuple[int, Pixels]], None]:
        tensors = tuple(tensor.detach().requires_grad_() for tensor in job.cut)
        own = job.with_tensors(tensors)

        def work(item: tuple[int, Pixels]) -> None:
            number, pixels = item
            with torch.enable_grad():
                values = pixel_values(own, pixels)
            part: Gradients = (None,) * len(tensors)
            if values.requires_grad:
                weights = slopes[pixels.start : pixels.stop]
                part = torch.autograd.grad(values, tensors, weights, allow_unused=True)
            total.add(number, part)

        return work

    in_parallel(enumerate(pixel_ranges(run, max(job.run.block // a_pixel, 1))), worker, job.threads)
    return tuple(total.sums)


class _Total:
    """Sums of the parts of numbered blocks, added in the order of the numbers."""

    def __init__(self, count: int) -> None:
        self.sums: list[Tensor | None] = [None] * count
        self._next, self._waiting, self._lock = 0, dict[int, Gradients](), threading.Lock()

    def add(self, number: int, part: Gradients) -> None:
        with self._lock:
            self._waiting[number] = part
            while self._next in self._waiting:
                for i, more in enumerate(self._waiting.pop(self._next)):
                    if more is not None:
                        before = self.sums[i]
                        self.sums[i] = more if before is None else before + more
                self._next += 1


def _asking(run: Run) -> list[Tensor]:
    """The tensors of the experiment, each once, that ask for their gradient."""
    found: dict[int, Tensor] = {}

    def see(tensor: Tensor) -> Tensor:
        if tensor.requires_grad:
            found.setdefault(id(tensor), tensor)
        return tensor

    _mapped(run, see)
    return list(found.values())


def _substituted(record: Any, new: dict[int, Tensor]) -> Any:
    """A copy of a record with other tensors in the places of those with these identities."""
    return _mapped(record, lambda tensor: new.get(id(tensor), tensor))


def _mapped(record: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of a record with every tensor changed; but its Config, whose numbers pixels do not ask, stays."""
    if isinstance(record, Tensor):
        return change(record)
    if isinstance(record, tuple | list):
        return type(record)(_mapped(item, change) for item in record)
    if not is_dataclass(record) or isinstance(record, type | Config):
        return record
    return replace(record, **{field.name: _mapped(getattr(record, field.name), change) for field in fields(record)})
