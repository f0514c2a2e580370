"""ImageReport and Overview -> PNG bytes; the same input gives the same bytes. matplotlib is loaded only here."""

import io
import math
from typing import TYPE_CHECKING

from tools.scaling.base.errors import Unavailable
from tools.scaling.images.report import ImageReport
from tools.scaling.images.text import verdict_line

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from tools.scaling.images.overview import Overview

_GREY = "#555555"
_BLUE = "#2a6f97"
_RED = "#c1272d"
_GREEN = "#7fb069"  # no colour of the scales
_SLENDER = 3  # times as long as broad: such images are drawn broader than they are
_PANEL = 3.88  # inches, the width of one of three; at 120 points an inch, one for each of image_views.SIDE pixels
_HIGHEST = 6.0  # inches
_AROUND = 1.75  # inches above and below a panel
_NARROW = 2.0  # times the lower end: a logarithmic scale that ends there has no power of ten to show
_LINEAR = 1e-6  # of the largest residual; below this the colours are linear


def triptych(report: ImageReport, view: "Overview") -> bytes:
    """Reference and candidate on one logarithmic scale, and the residual with its sign, the worst pixels circled."""
    slow, fast = view.reference.shape
    slender = max(slow, fast) >= _SLENDER * min(slow, fast)
    figure = _figure(12.6, _AROUND + (_PANEL if slender else min(_PANEL * slow / fast, _HIGHEST)), report)
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm, SymLogNorm
    from matplotlib.ticker import MaxNLocator

    axes, names = figure.subplots(1, 3, sharex=True, sharey=True), report.names
    values = LogNorm(*view.shown, clip=True)
    farthest = view.farthest or view.shown[1]
    signed = SymLogNorm(farthest * _LINEAR, vmin=-farthest, vmax=farthest)
    equal = ": 0 where both are finite" if report.nonfinite else ": 0 everywhere"
    value = f"value, logarithmic; black: {view.shown[0]:.0e} and less"
    panels = (
        (names[0], view.reference, values, "magma", value),
        (names[1], view.candidate, values, "magma", value),
        (
            f"{names[1]} - {names[0]}{'' if view.farthest else equal}",
            view.residual,
            signed,
            "RdBu_r",
            f"difference, logarithmic beyond +-{farthest * _LINEAR:.0e}" if view.farthest else "difference",
        ),
    )
    slow_min, slow_max, fast_min, fast_max = report.roi
    extent = (fast_min - 0.5, fast_max + 0.5, slow_max + 0.5, slow_min - 0.5)
    for axis, (title, pixels, norm, colours, unit) in zip(axes, panels):
        scale = colormaps[colours].with_extremes(bad=_GREEN)
        shown = axis.imshow(pixels.numpy(), norm=norm, cmap=scale, extent=extent, interpolation="nearest")
        axis.set_aspect("auto" if slender else "equal")
        axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_title(title)
        axis.set_xlabel("fast (pixel)")
        bar = figure.colorbar(shown, ax=axis, orientation="horizontal", shrink=0.92, pad=0.03, aspect=32)
        bar.set_label(unit, fontsize=8)
        bar.ax.tick_params(which="both", labelsize=7)
        if norm is values and view.shown[1] < _NARROW * view.shown[0]:
            _ends_only(bar.ax.xaxis, *view.shown)
        if norm is signed:
            ends = [-farthest, farthest] if view.farthest else []
            bar.set_ticks([0.0, *ends], labels=["0", *(f"{end:.1e}" for end in ends)])
            bar.minorticks_off()
    axes[0].set_ylabel("slow (pixel)")
    notes = []
    if view.factor > 1:
        size = f"{view.factor} x {view.factor}"
        notes.append(f"each point shows the brightest of {size} pixels, in the residual the one farthest from 0")
    if report.nonfinite:
        notes.append("green: no finite pixel")
    circled = [pair for pair in report.worst if not math.isfinite(pair.abs)] + [*report.outlying]
    if circled:
        x, y = zip(*[(pair.fast, pair.slow) for pair in circled])
        axes[2].scatter(x, y, s=90, facecolors="none", edgecolors=_GREY, linewidths=0.8, clip_on=False)
        notes.append("circled: pixels that are not finite, and the relatively worst beyond the limits")
    _note(figure, "; ".join(notes))
    return _png(figure)


def scatter(report: ImageReport, view: "Overview") -> bytes:
    """How many pixels have which pair of values; the peaks and the relatively worst are marked."""
    figure = _figure(6.6, 5.8, report)
    from matplotlib.colors import LogNorm

    axis = figure.subplots()
    edges, counts = view.edges.numpy(), view.pairs.T.numpy()
    axis.set(xscale="log", yscale="log", xlabel=report.names[0], ylabel=report.names[1], aspect="equal")
    if edges[-1] < _NARROW * edges[0]:
        for scale in (axis.xaxis, axis.yaxis):
            _ends_only(scale, float(edges[0]), float(edges[-1]))
    axis.plot(edges[[0, -1]], edges[[0, -1]], color=_GREY, linewidth=0.6, zorder=0)
    if counts.any():
        shown = axis.pcolormesh(edges, edges, counts, norm=LogNorm(1, max(counts.max(), 2)), cmap="viridis")
        figure.colorbar(shown, ax=axis, label="pixels", shrink=0.85)
    peaks = [(peak.reference, peak.candidate) for peak in report.peaks if peak.candidate is not None]
    beyond = [(pair.reference, pair.candidate) for pair in report.outlying if min(pair.reference, pair.candidate) > 0]
    if peaks:
        x, y = zip(*peaks)
        axis.scatter(x, y, label="strongest peaks", s=60, facecolors="none", edgecolors=_GREY)
    if beyond:
        label = "relatively worst beyond the limits"
        x, y = zip(*beyond)
        axis.scatter(x, y, label=label, s=36, marker="x", color=_RED, linewidths=1.0)
    axis.use_sticky_edges = False  # a mark in the corner is seen whole
    axis.margins(0.03)
    if peaks or beyond:
        axis.legend(loc="upper left", fontsize=8)
    if view.unpaired:
        _note(figure, f"not shown: {view.unpaired} pixels that are not above 0 on both sides")
    return _png(figure)


def ulp_histogram(report: ImageReport) -> bytes:
    """How many pixels are how many steps of the files' type apart."""
    count = max(len(report.histogram), 6)  # fewer bars would be broad
    figure = _figure(max(5.6, 1.6 + 0.42 * count), 4.0, report)
    axis = figure.subplots()
    names = [_name(bin.low, bin.high) for bin in report.histogram]
    bars = axis.bar(range(len(names)), [bin.count for bin in report.histogram], color=_BLUE, width=0.8)
    axis.bar_label(bars, [f"{bin.count}" if bin.count else "" for bin in report.histogram], fontsize=6, padding=1)
    axis.set_yscale("symlog", linthresh=1)
    axis.set_xticks(range(len(names)), names, rotation=45 if len(names) > 8 else 0, fontsize=7)
    axis.set_xlim(-0.6, count - 0.4)
    steps = "counts" if "int" in report.reference.dtype else f"{report.reference.dtype} steps"
    axis.set(xlabel=report.told(f"distance of a pixel from the reference ({steps})"), ylabel="pixels")
    highest = max(bin.count for bin in report.histogram)
    axis.set_ylim(0, 4 * highest if highest else 1)
    axis.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def _name(low: int, high: int) -> str:
    if low == high:
        return str(low)
    return f"{low}-{high}" if high < 1024 else f"$2^{{{low.bit_length() - 1}}}$-$2^{{{high.bit_length()}}}$"


def _ends_only(scale: "Axis", low: float, high: float) -> None:
    """Ticks at the ends of a logarithmic scale: those between would be written one over the other."""
    scale.set_ticks([low, high], labels=[f"{end:.5g}" for end in (low, high)])
    scale.set_ticks([], minor=True)


def _figure(width: float, height: float, report: ImageReport) -> "Figure":
    """A figure with the verdict above it; no display and no global state of matplotlib is touched."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unavailable(f"pictures: expected matplotlib (pip install matplotlib), got: {error}") from error
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(verdict_line(report), fontsize=9, color=_GREY if report.passed else _RED)
    return figure


def _note(figure: "Figure", text: str) -> None:
    figure.supxlabel(text, x=0.995, ha="right", fontsize=7, color=_GREY)


def _png(figure: "Figure") -> bytes:
    stream = io.BytesIO()
    # Neither a date nor a version in the file.
    figure.savefig(stream, format="png", bbox_inches="tight", metadata={"Software": None})
    return stream.getvalue()
