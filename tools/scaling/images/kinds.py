"""What kind of difference two images have: where it lies, and what has been done to the values or to their order.

A pass of its own, made only where the images differ; then one more for each kind that a sample of the pixels bears
out. All passes go by rows, so that memory stays bounded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from nanobragg_torch.scan.threads import one_thread_per_operation
from tools.scaling.engine.relations import Fit, beyond, fits, lag, line_sums
from tools.scaling.engine.tolerances import FREE_STEPS
from tools.scaling.images.measure import CPU
from tools.scaling.images.open import Image
from tools.scaling.images.places import Place, place_of
from tools.scaling.images.report import DifferenceKind, ImageReport

SAMPLE = 2000  # pixels on which a kind is tried before all are
_PART = 1 << 16  # pixels read at a time
_HELD = 16 * SAMPLE  # places that are held at most, while the sample grows
_FEW = 100  # single pixels read at a time
_BORNE_OUT = 0.99  # share of the pixels that a kind must account for
_SOME = 128  # where most pixels differ, one part of so many is looked at
_THIN = 8  # such a part has so many times fewer rows


@dataclass
class _FarPixels:
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
    places: Tensor = field(default_factory=lambda: torch.empty(0, 2, dtype=torch.int64))
    stride: int = 1
    looked: int = 0  # rows

    def keep(self, places: Tensor) -> None:
        """Keep some of the places (n, 2); of those that were kept each second goes when they become many."""
        self.places = torch.cat([self.places, places[:: self.stride]])
        if len(self.places) > _HELD:
            self.places, self.stride = self.places[::2].clone(), 2 * self.stride

    @property
    def count(self) -> int:
        return int(self.rows.sum())

    @property
    def all_over(self) -> bool:
        """Whether nearly every row that was looked at and nearly every column has some of them."""
        lit = [int((axis > 0).sum()) for axis in (self.rows, self.columns)]
        return lit[0] >= _BORNE_OUT * self.looked and lit[1] >= _BORNE_OUT * len(self.columns)

    @property
    def sample(self) -> Tensor:
        return self.places[:: -(-len(self.places) // SAMPLE)]


class _ImagePair:
    """The region of both images as (slow, fast) tensors over the files; nothing is read until it is asked for."""

    def __init__(self, reference: Image, candidate: Image, report: ImageReport, device: torch.device) -> None:
        slow_min, slow_max, fast_min, fast_max = report.roi_in_file
        self.images = (reference, candidate)
        self.x, self.y = (i.pixels[slow_min : slow_max + 1, fast_min : fast_max + 1] for i in self.images)
        self.slow, self.fast = self.x.shape
        whole = tuple(self.x.shape) == reference.shape
        # of a whole file in the other order, the axes change places, whatever their lengths
        self.turned = self.y.reshape(-1).view(self.fast, self.slow) if whole else self.y
        self.can_turn = whole or self.slow == self.fast
        self.device = device
        self.tolerance, self.free = report.limits.tolerance, FREE_STEPS.get(reference.dtype, 0)

    def reference(self, part: Tensor) -> Tensor:
        """The values of a part of `x`, or of its pixels."""
        return self.images[0].values(part.contiguous()).to(self.device)

    def candidate(self, part: Tensor) -> Tensor:
        """The values of a part of `y` or of `turned`, or of their pixels."""
        return self.images[1].values(part.contiguous()).to(self.device)

    def single(self, side: int, view: Tensor, slow: Tensor, fast: Tensor) -> Tensor:
        """The values of single pixels of a side, seen as `view`; a few at a time, as each may map a huge page."""
        image, parts = self.images[side], []
        for s, f in zip(slow.split(_FEW), fast.split(_FEW)):
            parts.append(image.values(view[s, f]))
            image.release(0, image.pixels.numel())
        return torch.cat(parts).to(self.device)

    def beyond(self, x: Tensor, y: Tensor) -> Tensor:
        """Where y is not x within the limits of the report."""
        return beyond(x, y, self.tolerance, self.free)

    def parts(self, every: int = 1) -> Iterator[tuple[int, int]]:
        """(first row, last row + 1) of parts of about _PART pixels, or of a few rows here and there.

        Then their pages are let go.
        """
        height = max(1, _PART // self.fast // (1 if every == 1 else _THIN))
        for top in range(0, self.slow, every * height):
            yield top, min(top + height, self.slow)
            for image in self.images:
                image.release(0, image.pixels.numel())


@one_thread_per_operation()
def kinds_of(
    reference: Image, candidate: Image, report: ImageReport, device: torch.device = CPU
) -> tuple[DifferenceKind, ...]:
    """The kinds of difference between two images that `report` compared; none where they are equal."""
    if not report.unequal and not report.nonfinite:
        return ()
    if not report.outliers and not report.nonfinite:  # what most comparisons come to needs no further pass
        most = max(bin.high for bin in report.histogram if bin.count)
        text = f"{report.unequal} pixels, none beyond the limits, none more than {most} steps apart"
        return (DifferenceKind("rounding", text, 1.0),)
    pair = _ImagePair(reference, candidate, report, device)
    everywhere = _differs_everywhere(report)
    far = _look(pair, _SOME if everywhere else 1)
    if everywhere and not far.all_over:
        everywhere, far = False, _look(pair, 1)
    origin = (report.roi[0], report.roi[2])
    kinds = [
        DifferenceKind(
            "not finite", f"in the {name}, {_located(place_of(rows, columns, origin), int(rows.sum()))}", 1.0
        )
        for name, (rows, columns) in zip(("reference", "port"), far.broken)
        if rows.any()
    ]
    if far.count:
        orders = _ORDERS if everywhere else (*_ORDERS, *_shifts(far, report))
        place = Place("", "") if everywhere else place_of(far.rows, far.columns, origin)
        kinds += _reordered(pair, far, report, orders) or _in_place(pair, far, place)
    return tuple(kinds)


def _differs_everywhere(report: ImageReport) -> bool:
    """Whether most pixels of a large image are beyond the limits, with its peaks where they were.

    Nothing has been shifted then; where each row and column has such pixels, they lie in no place of their own.
    """
    still = [peak.moved == (0, 0) for peak in report.peaks]
    spread = 2 * report.outliers >= report.pixels and not report.nonfinite
    return spread and report.pixels > 16 * _PART and 2 * sum(still) > len(still)


def _located(place: Place, count: int, bare: bool = False) -> str:
    name = "" if bare or not place.name else f"{place.name} "
    return f"{name}{place.text} ({count} pixel{'s' if count > 1 else ''})"


def _look(pair: _ImagePair, every: int) -> _FarPixels:
    """The one pass that every kind is told from, over all parts of the images or one of so many."""
    slow, fast = pair.slow, pair.fast
    counts = [(torch.zeros(slow, dtype=torch.int64), torch.zeros(fast, dtype=torch.int64)) for _ in range(3)]
    sums = tuple((torch.zeros(slow, dtype=torch.float64), torch.zeros(fast, dtype=torch.float64)) for _ in range(2))
    far = _FarPixels(*counts[0], counts[1:], sums, [torch.inf] * 2, [-torch.inf] * 2)
    for top, end in pair.parts(every):
        x, y = pair.reference(pair.x[top:end]), pair.candidate(pair.y[top:end])
        far.looked += end - top
        finite = x.isfinite() & y.isfinite()
        outside = pair.beyond(x, y) & finite
        for (rows, columns), part in zip((*counts, *sums), (outside, ~x.isfinite(), ~y.isfinite(), x, y)):
            of_rows, of_columns = line_sums(part)
            rows[top:end] += of_rows
            columns += of_columns
        places = outside.nonzero().cpu()
        if len(places):
            for i, side in enumerate((x, y)):
                low, high = torch.aminmax(side[outside].double())
                far.low[i], far.high[i] = min(far.low[i], float(low)), max(far.high[i], float(high))
            far.keep(places + torch.tensor([top, 0]))
    return far


@dataclass(frozen=True)
class _Order:
    """Pixel (s, f) of the reference lies elsewhere in the candidate: turned about the diagonal, mirrored, shifted."""

    name: str
    text: str
    turned: bool = False
    mirror_slow: bool = False
    mirror_fast: bool = False
    shift: tuple[int, int] = (0, 0)

    def rows(self, pair: _ImagePair, top: int, end: int) -> tuple[Tensor, Tensor]:
        """Some rows of the reference, and what should be equal to them, cut to what both images have."""
        view = pair.turned.T if self.turned else pair.y
        down, right = self.shift
        top, end = max(top, -down), min(end, pair.slow - down)
        if top >= end:
            return pair.reference(pair.x[:0]), pair.candidate(pair.y[:0])
        left, last = max(0, -right), min(pair.fast, pair.fast - right)
        first, final = (pair.slow - end, pair.slow - top) if self.mirror_slow else (top + down, end + down)
        moved = pair.candidate(view[first:final, left + right : last + right])
        axes = [axis for axis, flip in enumerate((self.mirror_slow, self.mirror_fast)) if flip]
        return pair.reference(pair.x[top:end, left:last]), moved.flip(axes)

    def sampled(self, pair: _ImagePair, places: Tensor) -> tuple[Tensor, Tensor]:
        """The same of single pixels."""
        view = pair.turned.T if self.turned else pair.y
        s, f = places.unbind(dim=1)
        there_s = pair.slow - 1 - s if self.mirror_slow else s + self.shift[0]
        there_f = pair.fast - 1 - f if self.mirror_fast else f + self.shift[1]
        inside = (there_s >= 0) & (there_s < pair.slow) & (there_f >= 0) & (there_f < pair.fast)
        s, f, there_s, there_f = (index[inside] for index in (s, f, there_s, there_f))
        return pair.single(0, pair.x, s, f), pair.single(1, view, there_s, there_f)


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


def _reordered(
    pair: _ImagePair, far: _FarPixels, report: ImageReport, orders: Sequence[_Order]
) -> list[DifferenceKind]:
    """The kind that leaves the values as they are, or turns the bytes of each about; none, or one."""
    other = replace(pair.images[1], swapped=not pair.images[1].swapped)
    if share := _share(_ImagePair(pair.images[0], other, report, pair.device), far, _SAME, report.outliers):
        return [
            DifferenceKind("swapped bytes", f"the bytes of each {pair.images[0].dtype} are in reverse order", share)
        ]
    for order in orders:
        if order.turned and not pair.can_turn:
            continue
        if share := _share(pair, far, order, report.outliers):
            return [DifferenceKind(order.name, order.text, share)]
    return []


def _shifts(far: _FarPixels, report: ImageReport) -> Iterator[_Order]:
    """Shifts that the sums of rows and columns, or the peaks, speak for."""
    (x_rows, x_columns), (y_rows, y_columns) = far.sums
    moved = [peak.moved for peak in report.peaks if peak.moved is not None]
    likely = max(set(moved), key=moved.count) if moved else (0, 0)
    tried = {(0, 0)}
    for down in (lag(x_rows, y_rows), likely[0], 0):
        for right in (lag(x_columns, y_columns), likely[1], 0):
            if (down, right) not in tried:
                tried.add((down, right))
                text = f"the port is shifted by {down:+d} along slow and {right:+d} along fast"
                yield _Order("shift", text, shift=(down, right))


def _share(pair: _ImagePair, far: _FarPixels, order: _Order, count: int) -> float:
    """The share of the `count` differing pixels that an order accounts for; 0 where it does not."""
    few = far.sample[:: max(1, len(far.sample) // _FEW)]
    for places, least in ((few, 0.5), (far.sample, _BORNE_OUT)):  # most orders fail on a few
        x, y = order.sampled(pair, places)
        if not len(x) or float(pair.beyond(x, y).double().mean()) > 1.0 - least:
            return 0.0
    left = sum(int(pair.beyond(*order.rows(pair, top, end)).sum()) for top, end in pair.parts())
    share = 1.0 - left / count
    return share if share >= _BORNE_OUT else 0.0


def _in_place(pair: _ImagePair, far: _FarPixels, place: Place) -> list[DifferenceKind]:
    """Where the differing pixels lie, and what has become of their values."""
    kinds = [DifferenceKind(place.name, _located(place, far.count, bare=True), place.share)] if place.name else []
    x, y = (side.double() for side in _SAME.sampled(pair, far.sample))
    counts = pair.images[0].dtype not in FREE_STEPS
    for text, fit in _relations(far, x, y):
        share = fit.share(x, y, pair.tolerance, counts)
        if share >= _BORNE_OUT:
            return [*kinds, DifferenceKind(fit.name, text, share)]
    return kinds


def _relations(far: _FarPixels, x: Tensor, y: Tensor) -> Iterator[tuple[str, Fit]]:
    """(text, fit) of what the candidate's values may be made of the reference's."""
    if len(x) < 2:
        return
    low = far.low[1]
    if low == far.high[1] and low > 0.0 and far.low[0] > low:
        yield f"the port is cut off at {low:.9g}", Fit("clipped", 0.0, low)
    elif low == far.high[1]:
        yield f"the port is {low:.9g} in all of them", Fit("constant", 0.0, low)
    for fit in fits(x, y):
        yield _TEXTS[fit.name].format(fit.factor, fit.offset), fit


_TEXTS = {
    "scale": "the port is {0:.7g} times the reference",
    "offset": "the port is the reference {1:+.7g}",
    "scale and offset": "the port is {0:.7g} times the reference {1:+.7g}",
}
