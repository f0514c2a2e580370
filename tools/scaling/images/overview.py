"""What pictures show of two images: both reduced to a few hundred pixels a side, and the count of value pairs.

A second pass over the files, in rows, so that memory stays bounded; done only where pictures are asked for.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nanobragg_torch.scan.threads import one_thread_per_operation
from tools.scaling.engine.reduction import count_pairs, farthest_from_zero, raise_tiles
from tools.scaling.images.measure import CPU
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
def overview(reference: Image, candidate: Image, report: ImageReport, device: torch.device = CPU) -> Overview:
    """Reduce both images over the region of their comparison, on `device`; what is returned lies on the CPU."""
    slow_min, slow_max, fast_min, fast_max = report.roi_in_file
    slow, fast = slow_max - slow_min + 1, fast_max - fast_min + 1
    factor = max(1, -(-max(slow, fast) // SIDE))
    brightest = max(_positive(report.reference.maximum), _positive(report.candidate.maximum)) or 1.0
    edges = _edges(report, brightest).to(device)
    pairs = torch.zeros(PAIR_BINS, PAIR_BINS, dtype=torch.int64, device=device)
    tiles = (4, -(-slow // factor), -(-fast // factor))
    highest = torch.full(
        tiles, -math.inf, dtype=torch.float64, device=device
    )  # of reference, candidate, residual, -residual
    for rows, columns in _parts(slow, fast, factor):
        x, y = (_part(image, rows, columns, slow_min, fast_min).to(device) for image in (reference, candidate))
        at = highest[:, rows.start // factor : -(-rows.stop // factor), columns.start // factor :]
        at = at[:, :, : -(-(columns.stop - columns.start) // factor)]
        if not x.any() and not y.any():  # dark on both sides, as much of a detector is
            at.clamp_(min=0.0)
            continue
        pairs += count_pairs(x, y, edges)
        for layer, part in zip(at, (x, y, y - x, x - y)):
            raise_tiles(layer, part, factor)
    x, y, high, minus_low = highest.masked_fill_(highest == -math.inf, math.nan).cpu()
    residual = farthest_from_zero(high, minus_low)
    positive = torch.cat([x[x > 0.0], y[y > 0.0]])
    brightest = float(positive.amax()) if len(positive) else 1.0
    cropped, edges = _cropped(pairs.cpu(), edges.cpu())
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


def _positive(value: float) -> float:
    return value if value > 0.0 else 0.0  # a NaN too


def _part(image: Image, rows: slice, columns: slice, slow_min: int, fast_min: int) -> Tensor:
    """Pixels of the region as float64, to be worked on."""
    top, left = rows.start + slow_min, columns.start + fast_min
    return image.read(top, rows.stop + slow_min, left, columns.stop + fast_min).double()


def _cropped(pairs: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """`pairs` from the lowest bin that is used on either axis, and the edges that are left, as values."""
    used = (pairs.sum(dim=0) + pairs.sum(dim=1)).nonzero()
    lowest = min(int(used[0]), PAIR_BINS - 2) if len(used) else 0
    return pairs[lowest:, lowest:], 10.0 ** edges[lowest:]
