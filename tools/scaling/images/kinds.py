"""What kind of difference two images have: where it lies, and what has been done to the values or to their order.

A pass of its own, made only where the images differ; then one more for each kind that a sample of the pixels bears
out. All passes go by rows, so that memory stays bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from nanobragg_torch.scan.threads import one_thread_per_operation
from tools.scaling.engine.diff import ulp_distance
from tools.scaling.engine.tolerances import FREE_STEPS
from tools.scaling.images.open import Image
from tools.scaling.images.places import Place, place_of
from tools.scaling.images.report import ImageReport, Kind

SAMPLE = 2000  # pixels on which a kind is tried before all are
_PART = 1 << 17  # pixels read at a time
_BORNE_OUT = 0.99  # share of the pixels that a kind must account for
_TINY = 2.0**-1022


@dataclass
class _Found:
    """Of the pixels beyond the limits, and of those not finite on a side: how many in each row and each column.

    sums: of each row and each column, of either image. sample: some places beyond the limits, (n, 2).
    low, high: the least and the largest value of (reference, candidate) there.
    """

    rows: Tensor
    columns: Tensor
    broken: list[tuple[Tensor, Tensor]]
    sums: tuple[tuple[Tensor, Tensor], ...]
    low: list[float]
    high: list[float]
    places: list[Tensor] = field(default_factory=list)

    @property
    def count(self) -> int:
        return int(self.rows.sum())

    @property
    def sample(self) -> Tensor:
        every = torch.cat(self.places)
        return every[:: -(-len(every) // SAMPLE)]


class _Pair:
    """The region of both images as (slow, fast) tensors over the files; nothing is read until it is asked for."""

    def __init__(self, reference: Image, candidate: Image, report: ImageReport) -> None:
        slow_min, slow_max, fast_min, fast_max = report.roi_in_file
        self.images = (reference, candidate)
        self.x, self.y = (i.pixels[slow_min : slow_max + 1, fast_min : fast_max + 1] for i in self.images)
        self.slow, self.fast = self.x.shape
        whole = tuple(self.x.shape) == reference.shape
        # of a whole file in the other order, the axes change places, whatever their lengths
        self.turned = self.y.reshape(-1).view(self.fast, self.slow) if whole else self.y
        self.can_turn = whole or self.slow == self.fast
        self.tolerance, self.free = report.limits.tolerance, FREE_STEPS.get(reference.dtype, 0)

    def values(self, part: Tensor) -> Tensor:
        return self.images[0].values(part.contiguous())

    def theirs(self, part: Tensor) -> Tensor:
        return self.images[1].values(part.contiguous())

    def beyond(self, x: Tensor, y: Tensor) -> Tensor:
        """Where y is not x within the limits; what is not finite is so where it is not the same."""
        steps = ulp_distance(x, y) if x.is_floating_point() else (y - x).abs()
        a, b = x.double(), y.double()
        far = (b - a).abs() > self.tolerance * a.abs().clamp_min(_TINY)
        same = (a == b) | (a.isnan() & b.isnan())
        return ~same & ((far & (steps > self.free)) | ~a.isfinite() | ~b.isfinite())

    def parts(self) -> Iterator[tuple[int, int]]:
        """(first row, last row + 1) of parts of about _PART pixels; then their pages are let go."""
        height = max(1, _PART // self.fast)
        for top in range(0, self.slow, height):
            yield top, min(top + height, self.slow)
            for image in self.images:
                image.release(0, image.pixels.numel())


@one_thread_per_operation()
def kinds_of(reference: Image, candidate: Image, report: ImageReport) -> tuple[Kind, ...]:
    """The kinds of difference between two images that `report` compared; none where they are equal."""
    if not report.unequal and not report.nonfinite:
        return ()
    pair = _Pair(reference, candidate, report)
    found = _look(pair)
    origin = (report.roi[0], report.roi[2])
    kinds = [
        Kind("not finite", f"in the {name}, {_located(place_of(rows, columns, origin), int(rows.sum()))}", 1.0)
        for name, (rows, columns) in zip(("reference", "port"), found.broken)
        if rows.any()
    ]
    if found.count:
        kinds += _reordered(pair, found, report) or _in_place(pair, found, origin)
    elif not kinds:
        most = max(bin.high for bin in report.histogram if bin.count)
        text = f"{report.unequal} pixels, none beyond the limits, none more than {most} steps apart"
        kinds.append(Kind("rounding", text, 1.0))
    return tuple(kinds)


def _located(place: Place, count: int, bare: bool = False) -> str:
    name = "" if bare or not place.name else f"{place.name} "
    return f"{name}{place.text} ({count} pixel{'s' if count > 1 else ''})"


def _look(pair: _Pair) -> _Found:
    """The one pass that every kind is told from."""
    slow, fast = pair.slow, pair.fast
    counts = [(torch.zeros(slow, dtype=torch.int64), torch.zeros(fast, dtype=torch.int64)) for _ in range(3)]
    sums = tuple((torch.zeros(slow, dtype=torch.float64), torch.zeros(fast, dtype=torch.float64)) for _ in range(2))
    found = _Found(*counts[0], counts[1:], sums, [torch.inf] * 2, [-torch.inf] * 2)
    for top, end in pair.parts():
        x, y = pair.values(pair.x[top:end]), pair.theirs(pair.y[top:end])
        finite = x.isfinite() & y.isfinite()
        beyond = pair.beyond(x, y) & finite
        for (rows, columns), mask in zip(counts, (beyond, ~x.isfinite(), ~y.isfinite())):
            rows[top:end] += mask.sum(dim=1)
            columns += mask.sum(dim=0)
        for (rows, columns), part in zip(sums, (x, y)):
            wide = part.double().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
            rows[top:end] += wide.sum(dim=1)
            columns += wide.sum(dim=0)
        places = beyond.nonzero()
        if len(places):
            for i, side in enumerate((x, y)):
                low, high = torch.aminmax(side[beyond].double())
                found.low[i], found.high[i] = min(found.low[i], float(low)), max(found.high[i], float(high))
            found.places.append(places[:: -(-len(places) // SAMPLE)] + torch.tensor([top, 0]))
    return found


@dataclass(frozen=True)
class _Order:
    """Pixel (s, f) of the reference lies elsewhere in the candidate: turned about the diagonal, mirrored, shifted."""

    name: str
    text: str
    turned: bool = False
    mirror_slow: bool = False
    mirror_fast: bool = False
    shift: tuple[int, int] = (0, 0)

    def rows(self, pair: _Pair, top: int, end: int) -> tuple[Tensor, Tensor]:
        """Some rows of the reference, and what should be equal to them, cut to what both images have."""
        view = pair.turned.T if self.turned else pair.y
        down, right = self.shift
        top, end = max(top, -down), min(end, pair.slow - down)
        if top >= end:
            return pair.values(pair.x[:0]), pair.theirs(pair.y[:0])
        left, last = max(0, -right), min(pair.fast, pair.fast - right)
        first, final = (pair.slow - end, pair.slow - top) if self.mirror_slow else (top + down, end + down)
        theirs = pair.theirs(view[first:final, left + right : last + right])
        axes = [axis for axis, flip in enumerate((self.mirror_slow, self.mirror_fast)) if flip]
        return pair.values(pair.x[top:end, left:last]), theirs.flip(axes)

    def sampled(self, pair: _Pair, places: Tensor) -> tuple[Tensor, Tensor]:
        """The same of single pixels."""
        view = pair.turned.T if self.turned else pair.y
        s, f = places.unbind(dim=1)
        there_s = pair.slow - 1 - s if self.mirror_slow else s + self.shift[0]
        there_f = pair.fast - 1 - f if self.mirror_fast else f + self.shift[1]
        inside = (there_s >= 0) & (there_s < pair.slow) & (there_f >= 0) & (there_f < pair.fast)
        s, f, there_s, there_f = (index[inside] for index in (s, f, there_s, there_f))
        return pair.values(pair.x[s, f]), pair.theirs(view[there_s, there_f])


_SAME = _Order("", "")
_ORDERS = (
    _Order("mirror", "the port's rows are in reverse order (mirrored along slow)", mirror_slow=True),
    _Order("mirror", "the port's columns are in reverse order (mirrored along fast)", mirror_fast=True),
    _Order("mirror", "the port is turned by 180 degrees (mirrored along both)", mirror_slow=True, mirror_fast=True),
    _Order("transposition", "the port's slow and fast axes are exchanged", turned=True),
    _Order("transposition", "the port is turned by 90 degrees", turned=True, mirror_slow=True),
    _Order("transposition", "the port is turned by 90 degrees, the other way", turned=True, mirror_fast=True),
    _Order(
        "transposition", "the port is mirrored at the other diagonal", turned=True, mirror_slow=True, mirror_fast=True
    ),
)


def _reordered(pair: _Pair, found: _Found, report: ImageReport) -> list[Kind]:
    """The kind that leaves the values as they are, or turns the bytes of each about; none, or one."""
    other = replace(pair.images[1], swapped=not pair.images[1].swapped)
    if share := _share(_Pair(pair.images[0], other, report), found, _SAME):
        return [Kind("swapped bytes", f"the bytes of each {pair.images[0].dtype} are in reverse order", share)]
    for order in (*_ORDERS, *_shifts(found, report)):
        if order.turned and not pair.can_turn:
            continue
        if share := _share(pair, found, order):
            return [Kind(order.name, order.text, share)]
    return []


def _shifts(found: _Found, report: ImageReport) -> Iterator[_Order]:
    """Shifts that the sums of rows and columns, or the peaks, speak for."""
    (x_rows, x_columns), (y_rows, y_columns) = found.sums
    moved = [peak.moved for peak in report.peaks if peak.moved is not None]
    likely = max(set(moved), key=moved.count) if moved else (0, 0)
    tried = {(0, 0)}
    for down in (_lag(x_rows, y_rows), likely[0], 0):
        for right in (_lag(x_columns, y_columns), likely[1], 0):
            if (down, right) not in tried:
                tried.add((down, right))
                text = f"the port is shifted by {down:+d} along slow and {right:+d} along fast"
                yield _Order("shift", text, shift=(down, right))


def _lag(x: Tensor, y: Tensor) -> int:
    """How far y has moved against x: where their correlation is largest."""
    n = 2 * len(x)
    spectrum = torch.fft.rfft(y - y.mean(), n) * torch.fft.rfft(x - x.mean(), n).conj()
    at = int(torch.fft.irfft(spectrum, n).argmax())
    return at - n if at >= len(x) else at


def _share(pair: _Pair, found: _Found, order: _Order) -> float:
    """The share of the differing pixels that an order accounts for; 0 where it does not."""
    x, y = order.sampled(pair, found.sample)
    if not len(x) or float(pair.beyond(x, y).double().mean()) > 1.0 - _BORNE_OUT:
        return 0.0
    left = sum(int(pair.beyond(*order.rows(pair, top, end)).sum()) for top, end in pair.parts())
    share = 1.0 - left / found.count
    return share if share >= _BORNE_OUT else 0.0


def _in_place(pair: _Pair, found: _Found, origin: tuple[int, int]) -> list[Kind]:
    """Where the differing pixels lie, and what has become of their values."""
    place = place_of(found.rows, found.columns, origin)
    kinds = [Kind(place.name, _located(place, found.count, bare=True), place.share)] if place.name else []
    x, y = (side.double() for side in _SAME.sampled(pair, found.sample))
    for name, text, factor, offset in _relations(found, x, y):
        made, room = factor * x + offset, pair.tolerance * (x.abs() * abs(factor)).clamp_min(abs(offset))
        if pair.images[0].dtype not in FREE_STEPS:  # counts are rounded
            room = room + 1.0
        share = float(((y - made).abs() <= room + _TINY).double().mean())
        if share >= _BORNE_OUT:
            return [*kinds, Kind(name, text, share)]
    return kinds


def _relations(found: _Found, x: Tensor, y: Tensor) -> Iterator[tuple[str, str, float, float]]:
    """(name, text, factor, offset) of what the candidate's values may be made of the reference's."""
    if len(x) < 2:
        return
    low = found.low[1]
    if low == found.high[1] and low > 0.0 and found.low[0] > low:
        yield "clipped", f"the port is cut off at {low:.9g}", 0.0, low
    elif low == found.high[1]:
        yield "constant", f"the port is {low:.9g} in all of them", 0.0, low
    lit = x != 0.0
    if lit.any():
        factor = float((y[lit] / x[lit]).median())
        yield "scale", f"the port is {factor:.7g} times the reference", factor, 0.0
    offset = float((y - x).median())
    yield "offset", f"the port is the reference {offset:+.7g}", 1.0, offset
    spread = x - x.mean()
    if float(spread.abs().max()) > 0.0:
        factor = float((spread * (y - y.mean())).sum() / (spread * spread).sum())
        offset = float((y - factor * x).median())
        yield "scale and offset", f"the port is {factor:.7g} times the reference {offset:+.7g}", factor, offset
