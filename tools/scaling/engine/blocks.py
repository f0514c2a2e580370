"""Two images compared block by block, on any device: sums, extremes and a histogram of steps.

A block fits into a core's cache, so that some thirty operations on it cost little more than one pass over memory.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tools.scaling.engine.diff import ulp_distance
from tools.scaling.engine.extremes import Extremes
from tools.scaling.engine.sums import Moments, Sums
from tools.scaling.engine.tolerances import FREE_STEPS, LARGEST_STEP, LEAST_NORMAL

BLOCK = 1 << 17  # pixels
LANES = 8  # histograms counted in turn: one that counts the same bin again and again waits for itself
SEGMENT = 256  # pixels; a search looks at the maximum of each first
_TINY = LEAST_NORMAL["float64"]  # stands for a reference of 0 in a division; smaller ones are slow


@dataclass(frozen=True)
class _Layout:
    """How a type of pixel lies in memory.

    infinite: the bits of infinity (of integers, what none reaches). normal: the least normal number. relative: the
    largest step of a normal number, against it. The exponent of `floats` is its bits >> digits.
    """

    whole: torch.dtype
    infinite: int
    normal: float
    relative: float
    floats: torch.dtype = torch.float32
    digits: int = 23
    bias: int = 126


_LAYOUTS = {
    "float32": _Layout(torch.int32, 0x7F800000, LEAST_NORMAL["float32"], LARGEST_STEP["float32"]),
    "float64": _Layout(
        torch.int64, 0x7FF << 52, LEAST_NORMAL["float64"], LARGEST_STEP["float64"], torch.float64, 52, 1022
    ),
    **dict.fromkeys(("int8", "uint8", "int16", "uint16"), _Layout(torch.int32, 1 << 17, 1.0, 1.0)),
    **dict.fromkeys(("int32", "uint32"), _Layout(torch.int64, 1 << 33, 1.0, 1.0, torch.float64, 52, 1022)),
}


@dataclass(frozen=True, slots=True)
class PixelBlock:
    """Pixels slow..slow_end, fast..fast_end of an image, ends exclusive."""

    slow: int
    slow_end: int
    fast: int
    fast_end: int

    def places(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """(slow, fast) of pixels that are counted from 0 in the block."""
        width = self.fast_end - self.fast
        return index // width + self.slow, index % width + self.fast


@dataclass(frozen=True, slots=True)
class _FinitePairs:
    """Finite pixels of a block and their distances in steps. index: which of the block they are, None for all."""

    block: PixelBlock
    x: Tensor
    y: Tensor
    steps: Tensor
    most: int
    index: Tensor | None = None

    def places(self, at: Tensor) -> tuple[Tensor, Tensor]:
        return self.block.places(at if self.index is None else self.index[at])


class _Buffers:
    """Memory that one block after the other uses, cut to n pixels; what lies beyond is 0."""

    def __init__(self, kind: _Layout, device: torch.device) -> None:
        self.kind, self.n = kind, 0
        self._pairs = torch.zeros(2, BLOCK, dtype=torch.float64, device=device)
        self._d = torch.zeros(BLOCK, dtype=torch.float64, device=device)
        self._size = torch.empty(BLOCK, dtype=torch.float64, device=device)
        self._steps = torch.empty(BLOCK, dtype=kind.whole, device=device)
        self.lengths = torch.zeros(kind.bias + kind.digits + 2, dtype=torch.int64, device=device)
        self._lanes = torch.arange(BLOCK, dtype=kind.whole, device=device) % LANES * len(self.lengths)

    def cut(self, n: int) -> None:
        if n == self.n:
            return
        self._pairs[:, n:] = 0.0
        self._d[n:] = 0.0
        self.n, self.pairs, self.d, self.steps = n, self._pairs[:, :n], self._d[:n], self._steps[:n]
        self.x, self.y = self.pairs
        self.size, self.lanes = self._size[:n], self._lanes[:n]
        self.floats = self._d.view(self.kind.floats)[:n]  # the memory of d, before d is there
        self.exponents = self.floats.view(self.kind.whole)
        self.segments_x, self.segments_d = (buffer.view(-1, SEGMENT) for buffer in (self._pairs[0], self._d))


def _candidates(segments: Tensor, highest: Tensor, top: Extremes) -> Tensor:
    """Where in a buffer those values lie that could enter `top`; highest: the maximum of each segment."""
    chosen = (highest >= top.bar).nonzero()
    inside, at = (segments[chosen[:, 0]] >= top.bar).nonzero().unbind(dim=1)
    return chosen[inside, 0] * SEGMENT + at


class BlockSweep:
    """Compares blocks of pixels, in several threads if need be, and keeps what is extreme anywhere.

    dtype: of the pixels, as a file names it. offer_peaks(peaks, values, slow, fast) offers those that are peaks among
    bright pixels of the reference, all on the CPU. peaks, farthest and relative: the largest reference, |d| and
    |d|/|x|; broken: pixels that are not finite.
    """

    def __init__(
        self,
        dtype: str,
        *,
        tolerance: float,
        kept: int,
        device: torch.device,
        offer_peaks: Callable[[Extremes, Tensor, Tensor, Tensor], None],
    ) -> None:
        self.tolerance, self.device, self.offer_peaks = tolerance, device, offer_peaks
        self.kind, self.free = _LAYOUTS[dtype], FREE_STEPS.get(dtype, 0)
        self.peaks, self.farthest, self.relative, self.broken = (Extremes(kept) for _ in range(4))
        self._idle: list[_Buffers] = []  # no more than there are threads

    def band(self, blocks: Iterable[tuple[PixelBlock, Tensor, Tensor]]) -> Sums:
        """The sums of some blocks: each with its reference and its candidate, flat, at most BLOCK pixels."""
        buffers, sums = self._idle.pop() if self._idle else _Buffers(self.kind, self.device), Sums()
        for block, x, y in blocks:
            self._block(block, x.to(self.device), y.to(self.device), buffers, sums)
        kind, lengths = self.kind, buffers.lengths.cpu()
        sums.lengths[0] += lengths[0]
        sums.lengths[1 : kind.digits + 2] += lengths[kind.bias + 1 :]
        buffers.lengths.zero_()
        self._idle.append(buffers)
        return sums

    def _block(self, block: PixelBlock, x: Tensor, y: Tensor, buffers: _Buffers, sums: Sums) -> None:
        """Bits ordered as integers say what a block needs: a sign or a NaN takes a longer way than plain counts."""
        bits_x, bits_y = x.view(self.kind.whole), y.view(self.kind.whole)
        ends = [int(end) for bits in (bits_x, bits_y) for end in torch.aminmax(bits)]
        if not any(ends):  # dark on both sides, as much of a detector is
            buffers.lengths[0] += x.numel()
            sums.span(0.0, 0.0, 0.0, 0.0)
            sums.moments.join(Moments(x.numel()))
            return
        if min(ends) >= 0 and max(ends) < self.kind.infinite:
            buffers.cut(x.numel())
            steps = torch.sub(bits_y, bits_x, out=buffers.steps).abs_()
            pairs = _FinitePairs(block, x, y, steps, int(steps.amax()))
            sums.unequal += self._count(pairs, buffers, sums)
            spans = torch.tensor(ends, dtype=self.kind.whole).view(x.dtype).tolist()
        else:
            sums.unequal += int((bits_x != bits_y).sum())
            pairs = self._finite(block, x, y, sums)
            if not pairs.x.numel():
                return
            buffers.cut(pairs.x.numel())
            self._count(pairs, buffers, sums)
            spans = [float(end) for side in (pairs.x, pairs.y) for end in torch.aminmax(side)]
        sums.span(*spans)
        self._add(pairs, spans, buffers, sums)

    def _finite(self, block: PixelBlock, x: Tensor, y: Tensor, sums: Sums) -> _FinitePairs:
        """The pairs whose pixels are both finite."""
        finite_x, finite_y = x.isfinite(), y.isfinite()
        both = finite_x & finite_y
        index, broken = both.nonzero()[:, 0], (~both).nonzero()[:, 0]
        sums.nonfinite_x += int((~finite_x).sum())
        sums.nonfinite_y += int((~finite_y).sum())
        first = broken[: self.broken.size]
        self.broken.offer(torch.ones(len(first)), *block.places(first))
        x, y = x[index], y[index]
        steps = ulp_distance(x, y)
        return _FinitePairs(block, x, y, steps, int(steps.amax()) if len(steps) else 0, index)

    def _count(self, pairs: _FinitePairs, buffers: _Buffers, sums: Sums) -> int:
        """Count the steps by their bit length, which is the exponent of a float; returns how many are not 0."""
        if not pairs.most:
            buffers.lengths[0] += buffers.n
            return 0
        if pairs.most >> self.kind.digits + 1:  # a float of this width rounds such integers
            lengths = torch.bucketize(pairs.steps.long(), 2 ** torch.arange(63, device=self.device), right=True)
            counts = torch.bincount(lengths, minlength=65)
            sums.lengths += counts.cpu()
        else:
            buffers.floats.copy_(pairs.steps)
            buffers.exponents >>= self.kind.digits
            buffers.exponents += buffers.lanes
            counts = torch.bincount(buffers.exponents, minlength=LANES * len(buffers.lengths))
            counts = counts.view(LANES, -1).sum(dim=0)
            buffers.lengths += counts
        return buffers.n - int(counts[0])

    def _add(self, pairs: _FinitePairs, spans: list[float], buffers: _Buffers, sums: Sums) -> None:
        """The moments, and what is extreme."""
        n, x = buffers.n, buffers.x.copy_(pairs.x)
        buffers.y.copy_(pairs.y)
        totals = buffers.pairs.sum(dim=1)
        sum_x, sum_y = totals.tolist()
        sums.sum_x += sum_x
        sums.sum_y += sum_y
        sums.sum_abs_x += sum_x if spans[0] >= 0.0 else float(x.abs().sum())
        if pairs.most:
            self._compare(pairs, spans[0] >= self.kind.normal, buffers, sums)
        if self.peaks.admits(spans[1]):
            bright = _candidates(buffers.segments_x, buffers.segments_x.amax(dim=1), self.peaks)
            self.offer_peaks(self.peaks, x[bright].cpu(), *(place.cpu() for place in pairs.places(bright)))
        buffers.pairs -= totals[:, None] / n
        (sxx, sxy), (_, syy) = (buffers.pairs @ buffers.pairs.T).tolist()
        sums.moments.join(Moments(n, sum_x / n, sum_y / n, sxx, syy, sxy))

    def _compare(self, pairs: _FinitePairs, normal: bool, buffers: _Buffers, sums: Sums) -> None:
        """The distances. normal: the reference is a normal number above 0 in every pixel."""
        x, d = buffers.x, torch.sub(buffers.y, buffers.x, out=buffers.d)
        sums.sum_dd += float(torch.dot(d, d))
        sums.sum_abs_d += float(d.abs_().sum())
        self._extreme(self.farthest, pairs, buffers)
        # A pixel that is k steps off is at most k steps of relative size off.
        if normal and pairs.most * self.kind.relative < min(self.relative.bar, self.tolerance):
            return
        d /= x if normal else torch.abs(x, out=buffers.size).clamp_min_(_TINY)
        if self._extreme(self.relative, pairs, buffers) > self.tolerance:
            beyond = torch.gt(d, self.tolerance, out=d)  # as numbers, which is faster than as bool
            if normal and self.tolerance >= self.free * self.kind.relative:
                sums.outliers += int(beyond.sum())
            else:
                far = torch.gt(pairs.steps, self.free, out=pairs.steps)
                sums.outliers += int(torch.dot(beyond, buffers.size.copy_(far)))

    def _extreme(self, top: Extremes, pairs: _FinitePairs, buffers: _Buffers) -> float:
        """Offer what lies in the buffer d; returns its maximum."""
        highest = buffers.segments_d.amax(dim=1)
        most = float(highest.amax())
        if top.admits(most):
            high = _candidates(buffers.segments_d, highest, top)
            values = buffers.d[high]
            best = torch.topk(values, min(top.size, high.numel())).indices
            top.offer(values[best], *pairs.places(high[best]))
        return most
