"""What pictures show of two images: both reduced to a few hundred pixels a side, and the count of value pairs.

A second pass over the files, in rows, so that memory stays bounded; done only where pictures are asked for.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from tools.scaling.parity.image_files import Image
from tools.scaling.parity.image_report import ImageReport

SIDE = 700  # pixels of the reduced images, at most
PAIR_BINS = 200
DECADES = 12  # that PAIR_BINS span at most, down from the brightest pixel
_PART = 1 << 20  # pixels read at a time


@dataclass(frozen=True)
class Overview:
    """Each pixel of a reduced image stands for `factor` x `factor` pixels of the file.

    reference, candidate  the largest of them, float64 (slow, fast); 0 where none is finite
    residual              of their differences candidate - reference the one that is farthest from 0
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


def overview(reference: Image, candidate: Image, report: ImageReport) -> Overview:
    """Reduce both images over the region of their comparison."""
    slow_min, slow_max, fast_min, fast_max = report.roi
    slow, fast = slow_max - slow_min + 1, fast_max - fast_min + 1
    factor = max(1, -(-max(slow, fast) // SIDE))
    rows = max(1, _PART // fast // factor) * factor
    brightest = max(_positive(report.reference.maximum), _positive(report.candidate.maximum)) or 1.0
    dimmest = min(_positive(report.reference.minimum), _positive(report.candidate.minimum))
    top = math.log10(brightest)
    low = max(top - DECADES, math.log10(dimmest) if dimmest else -math.inf)
    edges = torch.linspace(min(low, top - 0.01), top, PAIR_BINS + 1, dtype=torch.float64)
    pairs, strips = torch.zeros(PAIR_BINS**2, dtype=torch.int64), []
    for first in range(slow_min, slow_max + 1, rows):
        last = min(first + rows, slow_max + 1)
        x, y = (_part(image, first, last, fast_min, fast_max + 1) for image in (reference, candidate))
        pairs += torch.bincount(_pair_bins(x, y, edges), minlength=PAIR_BINS**2)
        x, y = (side.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) for side in (x, y))
        strips.append([_reduced(x, factor), _reduced(y, factor), _farthest(y - x, factor)])
    x, y, residual = (torch.cat(parts) for parts in zip(*strips))
    positive = torch.cat([x[x > 0.0], y[y > 0.0], x.new_tensor([brightest])])
    cropped, edges = _cropped(pairs.view(PAIR_BINS, PAIR_BINS), edges)
    return Overview(
        factor=factor,
        reference=x,
        candidate=y,
        residual=residual,
        shown=(max(float(positive.amin()), brightest * 1e-6) * 0.999, brightest),
        farthest=float(residual.abs().amax()),
        pairs=cropped,
        edges=edges,
        unpaired=slow * fast - int(pairs.sum()),
    )


def _positive(value: float) -> float:
    return value if value > 0.0 else 0.0  # a NaN too


def _part(image: Image, first: int, last: int, left: int, right: int) -> Tensor:
    found = image.values(image.pixels[first:last, left:right]).double()
    width = image.shape[1]
    image.release(first * width + left, (last - 1) * width + right)
    return found


def _reduced(x: Tensor, factor: int) -> Tensor:
    return x if factor == 1 else max_pool2d(x[None], factor, ceil_mode=True)[0]


def _farthest(x: Tensor, factor: int) -> Tensor:
    high, low = _reduced(x, factor), -_reduced(-x, factor)
    return torch.where(high >= -low, high, low)


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
