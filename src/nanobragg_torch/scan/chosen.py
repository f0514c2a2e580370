"""Some pixels of a run: they inherit what the scan of the whole image leaves behind before each of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nanobragg_torch.scan.summation import Run


def choose(run: Run, slow: Tensor, fast: Tensor) -> tuple[Run, Tensor]:
    """The run of the pixels slow, fast (n,) alone, each once and in scan order, and the place (n,) of each in it.

    Raises InputError for a pixel that `run` does not render.
    """
    exp, roi = run.exp, run.exp.config.detector.rendered
    order = (slow - roi.slow_min) * (roi.fast_max - roi.fast_min + 1) + fast - roi.fast_min
    inside = (slow >= roi.slow_min) & (slow <= roi.slow_max) & (fast >= roi.fast_min) & (fast <= roi.fast_max)
    if exp.rendered is not None:
        inside = inside & torch.isin(order, exp.rendered)
    if not bool(inside.all()):
        at = int(inside.int().argmin())
        exp.pixel_order(int(slow[at]), int(fast[at]))  # raises
    orders, places = torch.unique(order, return_inverse=True)
    return only(run, orders if exp.rendered is None else torch.searchsorted(exp.rendered, orders)), places


def only(run: Run, ranks: Tensor) -> Run:
    """The run of some of its pixels, by their rank in scan order: ascending, each once."""
    exp, first = run.exp, None
    if run.first is not None and bool((ranks == run.first[0]).any()):
        first = int((ranks < run.first[0]).sum()), run.first[1]
    end = None if run.tricubic_end is None else _terms_before(run, ranks, run.tricubic_end)
    rendered = ranks if exp.rendered is None else exp.rendered[ranks]
    return replace(run, exp=replace(exp, rendered=rendered), first=first, tricubic_end=end)


def _terms_before(run: Run, ranks: Tensor, end: int) -> int:
    """How many terms of these pixels, by their rank in scan order, come before term `end` of the whole scan."""
    exp = run.exp
    per_pixel = exp.n_orientations * exp.n_sources * exp.n_subpixels
    pixel, rest = divmod(end, per_pixel)
    return int((ranks < pixel).sum()) * per_pixel + (rest if bool((ranks == pixel).any()) else 0)
