"""Numbers -> the coordinates of a drawing. The templates draw; nothing here knows SVG beyond a path's letters.

Coordinates are in the drawing's own units, x to the right and y down, rounded to 0.01: the same
numbers give the same bytes.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tools.scaling.base.text import counted
from tools.scaling.page.view import CauseRow, Number, PhiSeries, Trend

WIDTH, LEFT, RIGHT = 340.0, 62.0, 328.0
UPPER, LOWER = (12.0, 132.0), (162.0, 222.0)  # top and bottom of the panel of values and that of differences
HEIGHT = 258.0
DOTS = 60  # more points than this are drawn as a line alone
SPARK_WIDTH, SPARK_HEIGHT, SPARK_PAD = 150.0, 46.0, 5.0
COLUMN, COLUMNS_WIDTH, COLUMNS_BASE = 4.0, 256.0, 60.0  # of a histogram over 64 bits
FLOOR = 1e-17  # magnitudes below this lie on the base line of a trend
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
# A span below the first is none; the largest double bounds an axis, and one near it gets no marks.
_TINY, _HUGE = 1e-290, sys.float_info.max


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis at coordinate `at`."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class CurveLine:
    """A curve: `kind` names its style (c, py, difference), `path` is an SVG path with gaps where nothing is known."""

    kind: str
    path: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    top: float
    bottom: float
    ticks: tuple[Tick, ...]
    lines: tuple[CurveLine, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Two panels over one x axis: the values of both traces, and py - c."""

    ticks: tuple[Tick, ...]
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class ShareBar:
    """A bar from `left` to `left + width` on an axis from -1 to 1."""

    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a histogram, from `top` down to the base line at COLUMNS_BASE. title: what it counts."""

    left: float
    top: float
    title: str


@dataclass(frozen=True, slots=True)
class Spark:
    """A trend on a logarithmic axis. ticks: the decades at its top and bottom; dots: the last point alone."""

    path: str
    ticks: tuple[Tick, ...]
    last: Dot | None


@dataclass(frozen=True, slots=True)
class _Scale:
    """Values lo..hi onto coordinates start..end. Halves are taken first, so that no span overflows."""

    lo: float
    hi: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value / 2 - self.lo / 2) / (self.hi / 2 - self.lo / 2)
        return round(self.start + share * (self.end - self.start), 2)


def plot(series: PhiSeries) -> Plot:
    """Return the drawing of a quantity over the phi steps."""
    steps = series.steps
    x = _scale([s.x for s in steps], LEFT + 6, RIGHT - 6, margin=0.0)
    names = ("c", "py")
    curves = {name: [getattr(s, name) for s in steps] for name in (*names, "difference")}
    xs = [s.x for s in steps]
    upper = _panel({name: curves[name] for name in names}, xs, x, UPPER)
    lower = _panel({"difference": curves["difference"]}, xs, x, LOWER, zero=True)
    return Plot(_ticks(x, 4), (upper, lower))


def bars(causes: Sequence[CauseRow]) -> tuple[ShareBar, ...]:
    """Return one bar a cause, from 0 to its effect, the largest effect reaching 1."""
    sizes = [c.effect_rel if c.effect_rel is not None and math.isfinite(c.effect_rel) else 0.0 for c in causes]
    longest = max((abs(s) for s in sizes), default=0.0) or 1.0
    return tuple(ShareBar(round(min(s / longest, 0.0), 4), round(abs(s) / longest, 4)) for s in sizes)


def spark(trend: Trend) -> Spark:
    """Draw |relative delta| over the bundles, in decades from FLOOR up; what is smaller lies on the base line."""
    sizes = [None if v is None or not math.isfinite(v) else max(abs(v), FLOOR) for v in trend.values]
    known = [math.log10(s) for s in sizes if s is not None]
    top = max(math.ceil(max(known, default=0.0)), -12)
    base = math.floor(math.log10(FLOOR))
    y = _Scale(base, max(top, base + 1), SPARK_HEIGHT - SPARK_PAD, SPARK_PAD)
    x = _Scale(0.0, max(len(sizes) - 1, 1), SPARK_PAD, SPARK_WIDTH - SPARK_PAD)
    points = [(x(i), None if s is None else y(math.log10(s))) for i, s in enumerate(sizes)]
    drawn = [(a, b) for a, b in points if b is not None]
    last = Dot(*drawn[-1], trend.name) if drawn else None
    ticks = (Tick(y(y.hi), f"1e{int(y.hi)}"), Tick(y(base), "0"))
    return Spark(_path(points), ticks, last)


def columns(counts: Sequence[int]) -> tuple[Column, ...]:
    """Draw cases by the bits of their ulps, one column a bit, on a logarithmic scale that begins at half a case."""
    top = math.log(2.0 * max([*counts, 1]))
    return tuple(
        Column(
            left=COLUMN * bits,
            top=round(COLUMNS_BASE - (COLUMNS_BASE - 2.0) * math.log(2.0 * count) / top, 2),
            title=f"{ulps_of(bits)} ulps: {counted(count, 'case')}",
        )
        for bits, count in enumerate(counts)
        if count
    )


def ulps_of(bits: int) -> str:
    """The ulps that have so many bits, for a person."""
    return str(bits) if bits < 2 else f"{2 ** (bits - 1):,} to {2**bits - 1:,}"


def _panel(
    curves: dict[str, list[Number]], xs: list[float], x: _Scale, at: tuple[float, float], zero: bool = False
) -> Panel:
    known = [v for values in curves.values() for v in values if v is not None]
    y = _scale([*known, 0.0] if zero else known, at[1], at[0], margin=0.08)
    lines = []
    for kind, values in curves.items():
        points = [(x(a), None if v is None else y(v)) for a, v in zip(xs, values)]
        dots = [
            Dot(px, py, f"{a:.15g}: {v:.15g}")
            for (px, py), a, v in zip(points, xs, values)
            if py is not None and v is not None
        ]
        lines.append(CurveLine(kind, _path(points), tuple(dots) if len(values) <= DOTS else ()))
    return Panel(at[0], at[1], _ticks(y, 4 if not zero else 3), tuple(lines))


def _path(points: Sequence[tuple[float, Number]]) -> str:
    parts, pen = [], "M"
    for x, y in points:
        if y is None:
            pen = "M"
        else:
            parts.append(f"{pen}{x:g} {y:g}")
            pen = "L"
    return "".join(parts)


def _scale(values: Sequence[float], start: float, end: float, margin: float) -> _Scale:
    """Return the scale from the least to the largest value, with a share of the span left free on both sides."""
    lo, hi = (min(values), max(values)) if values else (0.0, 1.0)
    half = hi / 2 - lo / 2
    room = half * (2 * margin) if half > _TINY else max(abs(lo) / 2, 10 * _TINY)  # a flat line lies in the middle
    lo, hi = max(lo - room, -_HUGE), min(hi + room, _HUGE)
    return _Scale(lo, hi, start, end)


def _ticks(scale: _Scale, wanted: int) -> tuple[Tick, ...]:
    """Return round numbers within the scale, with as many digits as tell them apart."""
    if -100 * _TINY < scale.lo < 0.0 < scale.hi < 100 * _TINY:  # nothing but zeros
        return (Tick(scale(0.0), "0"),)
    raw = (scale.hi / 2 - scale.lo / 2) / wanted * 2
    if not (_TINY < raw < _HUGE / 100 and scale.lo + raw > scale.lo):
        return ()
    decade = 10.0 ** math.floor(math.log10(raw))
    step = next((decade * s for s in _STEPS if decade * s >= raw * 0.999), decade * 10)
    first = math.ceil(scale.lo / step - 1e-9)
    values = [(first + i) * step for i in range(wanted + 2) if (first + i) * step <= scale.hi + step * 1e-9]
    largest = max((abs(v) for v in values), default=0.0)
    digits = max(1, math.ceil(math.log10(largest / step) + 1.5)) if largest else 1
    labels = {f"{v:.{min(digits, 15)}g}": v for v in values}
    return tuple(Tick(scale(v), label) for label, v in labels.items())
