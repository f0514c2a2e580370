"""Images of any size reduced to what a picture shows: the extremes of tiles, and the count of value pairs."""

import math

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d


def raise_tiles(highest: Tensor, part: Tensor, factor: int) -> None:
    """Raise each tile to the largest finite pixel of its factor x factor in `part`, which begins with a tile's column.

    highest (rows, columns) of tiles is written to. part (slow, fast), float64, holds whole rows of tiles, then at most
    one that is cut short, or some rows within one.
    """
    _raise(highest, part.masked_fill(~part.isfinite(), -math.inf), factor)


def _raise(highest: Tensor, part: Tensor, factor: int) -> None:
    whole = part.shape[0] // factor * factor
    if 0 < whole < part.shape[0]:
        _raise(highest[: whole // factor], part[:whole], factor)
        _raise(highest[whole // factor :], part[whole:], factor)
        return
    if factor > 1:
        part = part.view(len(highest), -1, part.shape[1]).amax(dim=1)
        part = max_pool1d(part, factor, ceil_mode=True)
    torch.maximum(highest, part, out=highest)


def farthest_from_zero(high: Tensor, minus_low: Tensor) -> Tensor:
    """Of the highest and the lowest value of each tile the one farther from 0; of two equally far either in turn."""
    rows, columns = (torch.arange(n, device=high.device) for n in high.shape)
    every_other = (rows[:, None] + columns) % 2 == 0  # like the fields of one colour on a chessboard
    return torch.where((high > minus_low) | ((high == minus_low) & every_other), high, -minus_low)


def count_pairs(x: Tensor, y: Tensor, edges: Tensor) -> Tensor:
    """How many pairs that are finite and above 0 lie in each bin of (log10 x, log10 y), int64, square.

    edges: of the bins of both axes, at equal distances; the first bin holds all that is lower.
    """
    inside = (x > 0.0) & (y > 0.0) & x.isfinite() & y.isfinite()
    width, bins = edges[1] - edges[0], len(edges) - 1
    places = (((side[inside].log10() - edges[0]) / width).floor().long() for side in (x, y))
    rows, columns = (place.clamp_(0, bins - 1) for place in places)
    return torch.bincount(rows * bins + columns, minlength=bins**2).view(bins, bins)
