"""What pictures show of two images: both reduced to a few hundred pixels a side, and the count of value pairs.

A second pass over the files, in rows, so that memory stays bounded; done only where pictures are asked for.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d

from nanobragg_torch.scan.threads import one_thread_per_operation
from tools.scaling.images.open import Image
from tools.scaling.images.report import ImageReport

SIDE = 420  # pixels of the reduced images, at most: a picture's panel has no fewer, so that none is left out
PAIR_BINS = 200
DECADES = 12  # that PAIR_BINS span at most, down from the brightest pixel
_PART = 1 << 17  # pixels read at a time


@dataclass(frozen=True)
class Overview:
    """Each pixel of a reduced image stands for `factor` x `factor` pixels of the file.

    reference, candidate  the largest of them, float64 (slow, fast); NaN where none is finite
    residual              of their differences candidate - reference the one that is farthest from 0, of two that are
                          equally far the positive and the negative one in turn; NaN where none is finite
    shown                 (lowest, highest) value that a picture tells apart
    farthest              the largest |residual|
    pairs                 counts by log10 of (reference, candidate), int64, square
    edges                 of the bins of both axes, as values
    unpaired              pixels that are not above 0 on both sides, which have no logarithm
    """

    factor: int
    reference: Tensor
    candidate: Tensor
    residual: Tensor
    shown: tuple[float, float]
    farthest: float
    pairs: Tensor
    edges: Tensor
    unpaired: int


@one_thread_per_operation()
def overview(reference: Image, candidate: Image, report: ImageReport) -> Overview:
    """Reduce both images over the region of their comparison."""
    slow_min, slow_max, fast_min, fast_max = report.roi_in_file
    slow, fast = slow_max - slow_min + 1, fast_max - fast_min + 1
    factor = max(1, -(-max(slow, fast) // SIDE))
    brightest = max(_positive(report.reference.maximum), _positive(report.candidate.maximum)) or 1.0
    edges = _edges(report, brightest)
    pairs = torch.zeros(PAIR_BINS**2, dtype=torch.int64)
    tiles = (4, -(-slow // factor), -(-fast // factor))
    highest = torch.full(tiles, -math.inf, dtype=torch.float64)  # of reference, candidate, residual, -residual
    for rows, columns in _parts(slow, fast, factor):
        x, y = (_part(image, rows, columns, slow_min, fast_min) for image in (reference, candidate))
        at = highest[:, rows.start // factor : -(-rows.stop // factor), columns.start // factor :]
        at = at[:, :, : -(-(columns.stop - columns.start) // factor)]
        if not x.any() and not y.any():  # dark on both sides, as much of a detector is
            at.clamp_(min=0.0)
            continue
        pairs += torch.bincount(_pair_bins(x, y, edges), minlength=PAIR_BINS**2)
        for layer, part in zip(at, (x, y, y - x, x - y)):
            _raise(layer, part.masked_fill(~part.isfinite(), -math.inf), factor)
    highest[highest == -math.inf] = math.nan
    x, y, high, minus_low = highest
    residual = torch.where((high > minus_low) | ((high == minus_low) & _every_other(high)), high, -minus_low)
    positive = torch.cat([x[x > 0.0], y[y > 0.0]])
    brightest = float(positive.amax()) if len(positive) else 1.0
    cropped, edges = _cropped(pairs.view(PAIR_BINS, PAIR_BINS), edges)
    return Overview(
        factor=factor,
        reference=x,
        candidate=y,
        residual=residual,
        shown=(max(float(positive.amin()) if len(positive) else 1.0, brightest * 1e-8) * 0.999, brightest),
        farthest=float(residual.abs().nan_to_num(nan=0.0).amax()),
        pairs=cropped,
        edges=edges,
        unpaired=slow * fast - int(pairs.sum()),
    )


def _edges(report: ImageReport, brightest: float) -> Tensor:
    """log10 of the edges of the bins of values."""
    dimmest = min(_positive(report.reference.minimum), _positive(report.candidate.minimum))
    top = math.log10(brightest)
    low = max(top - DECADES, math.log10(dimmest) if dimmest else -math.inf)
    return torch.linspace(min(low, top - 0.01), top, PAIR_BINS + 1, dtype=torch.float64)


def _parts(slow: int, fast: int, factor: int) -> Iterator[tuple[slice, slice]]:
    """(rows, columns) of parts of about _PART pixels: of whole rows of tiles, or of some rows within one."""
    width = min(fast, max(1, _PART // factor) * factor)
    height = max(1, _PART // width)
    tall = max(1, height // factor) * factor
    for top in range(0, slow, tall):
        bottom = min(top + tall, slow)
        for row in range(top, bottom, height):
            for left in range(0, fast, width):
                yield slice(row, min(row + height, bottom)), slice(left, min(left + width, fast))


def _raise(highest: Tensor, part: Tensor, factor: int) -> None:
    """Raise each tile to the largest of its pixels in `part`, which begins with a tile's first column."""
    whole = part.shape[0] // factor * factor
    if 0 < whole < part.shape[0]:
        _raise(highest[: whole // factor], part[:whole], factor)
        _raise(highest[whole // factor :], part[whole:], factor)
        return
    if factor > 1:
        part = part.view(len(highest), -1, part.shape[1]).amax(dim=1)
        part = max_pool1d(part, factor, ceil_mode=True)
    torch.maximum(highest, part, out=highest)


def _every_other(tiles: Tensor) -> Tensor:
    """True in every other tile, like the fields of one colour on a chessboard."""
    rows, columns = (torch.arange(n, device=tiles.device) for n in tiles.shape)
    return (rows[:, None] + columns) % 2 == 0


def _positive(value: float) -> float:
    return value if value > 0.0 else 0.0  # a NaN too


def _part(image: Image, rows: slice, columns: slice, slow_min: int, fast_min: int) -> Tensor:
    """Pixels of the region as float64, to be worked on."""
    top, left = rows.start + slow_min, columns.start + fast_min
    return image.read(top, rows.stop + slow_min, left, columns.stop + fast_min).double()


def _pair_bins(x: Tensor, y: Tensor, edges: Tensor) -> Tensor:
    """The bin of each pair that is above 0 and finite on both sides, reference-major; the first holds all below."""
    inside = (x > 0.0) & (y > 0.0) & x.isfinite() & y.isfinite()
    width = edges[1] - edges[0]
    places = (((side[inside].log10() - edges[0]) / width).floor().long() for side in (x, y))
    rows, columns = (place.clamp_(0, PAIR_BINS - 1) for place in places)
    return rows * PAIR_BINS + columns


def _cropped(pairs: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """`pairs` from the lowest bin that is used on either axis, and the edges that are left, as values."""
    used = (pairs.sum(dim=0) + pairs.sum(dim=1)).nonzero()
    lowest = min(int(used[0]), PAIR_BINS - 2) if len(used) else 0
    return pairs[lowest:, lowest:], 10.0 ** edges[lowest:]
