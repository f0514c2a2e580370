"""ImageReport -> Markdown, lines for a terminal, a progress bar. No arithmetic.

rich is imported only when the bar appears.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TextIO

from tools.scaling.base.files import one_line, to_ascii
from tools.scaling.base.text import bullets, plain, table
from tools.scaling.bundle.layout import TRIPTYCH
from tools.scaling.images.report import ImageReport, PixelPair, Side

PATIENCE = 1.0  # seconds before a bar appears
PICTURES = (TRIPTYCH, "scatter.png", "ulp.png")


def images_lines(report: ImageReport) -> list[str]:
    """The figures as plain lines, the verdict last."""
    width = max(len(name) for name, _ in _figures(report))
    lines = [f"{name:<{width}}  {value}" for name, value in _figures(report)]
    steps = ", ".join(f"{_range(bin.low, bin.high)}: {bin.count}" for bin in report.histogram if bin.count)
    lines.append(f"{'steps apart':<{width}}  {steps}")
    lines += [f"{'difference':<{width}}  {line}" for line in _kinds(report)]
    lines += [f"{'diagnosis':<{width}}  {report.diagnosis.sentence}"] if report.diagnosis else []
    lines += [f"FAIL: {problem}" for problem in report.problems]
    return [one_line(line) for line in [*_loosened(report), *lines, verdict_line(report)]]


def verdict_line(report: ImageReport) -> str:
    word = "PASS" if report.passed else "FAIL"
    broken = f", {report.nonfinite} not finite" if report.nonfinite else ""
    line = f"{report.unequal} of {report.pixels} pixels not bitwise equal, {report.outliers} beyond the limits"
    return f"{word}: {line}{broken}"


def images_markdown(report: ImageReport, command: str = "", pictures: Sequence[str] = PICTURES) -> str:
    """The whole comparison; the pictures are linked, not made."""
    parts = [
        "# Image comparison",
        bullets(
            [f"**{line}**" for line in [verdict_line(report), *_loosened(report)]]
            + [plain(line) for line in report.problems]
        ),
        *([f"    {one_line(command)}"] if command else []),
        table(("figure", "value"), _figures(report)),
        "## What kind of difference",
        bullets(_kinds(report)),
        *(["## Which cause", plain(report.diagnosis.sentence)] if report.diagnosis else []),
        "\n".join(f"![{name.partition('.')[0]}]({name})" for name in pictures),
        "## Strongest peaks of the reference",
        table(
            ("slow", "fast", *report.names, "moved (slow, fast)"),
            [(p.slow, p.fast, _value(p.reference), _value(p.candidate), _moved(p.moved)) for p in report.peaks],
        ),
        "## Worst pixels",
        _pairs(report, report.worst),
        "## Relatively worst pixels beyond the limits",
        _pairs(report, report.outlying),
        "## Steps apart",
        table(("steps", "pixels"), [(_range(bin.low, bin.high), bin.count) for bin in report.histogram]),
    ]
    return to_ascii("\n\n".join(part for part in parts if part) + "\n")


@contextmanager
def progress_bar(
    stream: TextIO, patience: float = PATIENCE, what: str = "images"
) -> Iterator[Callable[[int, int], None]]:
    """Gives what is called with (done, total); on a terminal a bar appears after `patience` seconds.

    what: is counted.
    """
    began, watched = time.monotonic(), stream.isatty()
    with ExitStack() as stack:
        draw: Callable[[int, int], None] | None = None

        def show(done: int, total: int) -> None:
            nonlocal draw
            if draw is None and watched and time.monotonic() - began > patience:
                draw = _bar(stack, stream, what)
            if draw is not None:
                draw(done, total)

        yield show


def _bar(stack: ExitStack, stream: TextIO, what: str) -> Callable[[int, int], None]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    progress = stack.enter_context(Progress(*columns, console=Console(file=stream), transient=True))
    task = progress.add_task("")
    return lambda done, total: progress.update(task, completed=done, total=total)


def _figures(report: ImageReport) -> list[tuple[str, str]]:
    slow_min, slow_max, fast_min, fast_max = report.roi
    sides = [(name, _side(name, side)) for name, side in zip(report.names, (report.reference, report.candidate))]
    broken = report.told(f"{report.reference.nonfinite} in the reference, {report.candidate.nonfinite} in the port")
    size = f"{report.shape[0]} x {report.shape[1]}"
    where = f"images of {size} that begin at slow {report.origin[0]}, fast {report.origin[1]}"
    return sides + [
        (
            "region",
            f"slow {slow_min}-{slow_max}, fast {fast_min}-{fast_max} of {where if any(report.origin) else size}",
        ),
        ("pixels", str(report.pixels)),
        ("not finite", f"{broken}; the first: {_first_broken(report)}" if report.nonfinite else "0"),
        ("not bitwise equal", str(report.unequal)),
        ("beyond the limits", f"{report.outliers} (more than {report.limits.tolerance:.0e} relative)"),
        ("max abs", _where(report.max_abs, "abs")),
        ("max relative", _where(report.max_rel, "rel")),
        ("RMSE", _value(report.rmse)),
        ("correlation", _ratio(report.correlation)),
        ("sum ratio", _ratio(report.sum_ratio)),
        ("R", _value(report.r)),
        ("peak maximum ratio", _ratio(report.peak_ratio)),
        ("peak displacement", f"{_value(report.displacement)} pixel, the largest of {len(report.peaks)} peaks"),
    ]


def _side(name: str, side: Side) -> str:
    form = side.dtype if side.source == name else f"{side.source} ({side.dtype})"
    return f"{form}: {_value(side.minimum)} to {_value(side.maximum)}, sum {_value(side.total)}"


def _kinds(report: ImageReport) -> list[str]:
    lines = [
        f"{kind.name}: {kind.text}" + (f" ({kind.share:.2%})" if kind.share < 1.0 else "") for kind in report.kinds
    ]
    return lines or (["no kind that is known"] if report.unequal else [])


def _loosened(report: ImageReport) -> list[str]:
    if not report.limits.loosened:
        return []
    limits = report.limits
    return [
        f"TOLERANCE LOOSENED: {limits.tolerance:.3g} relative, {limits.outliers} pixels beyond it, "
        f"{limits.displacement:g} pixels of displacement"
    ]


def _first_broken(report: ImageReport) -> str:
    """Those that are not finite stand first among the worst, in reading order."""
    pair = report.worst[0]
    reference, candidate = report.names
    values = f"{reference} {_value(pair.reference)}, {candidate} {_value(pair.candidate)}"
    return f"slow {pair.slow}, fast {pair.fast}, {values}"


def _where(pair: PixelPair | None, measure: str) -> str:
    if pair is None:
        return "0"
    return f"{_value(getattr(pair, measure))} at slow {pair.slow}, fast {pair.fast}"


def _pairs(report: ImageReport, pairs: Sequence[PixelPair]) -> str:
    head = ("slow", "fast", *report.names, "abs", "relative", "steps")
    rows = [
        (p.slow, p.fast, _value(p.reference), _value(p.candidate), _value(p.abs), _value(p.rel), _steps(p.ulp))
        for p in pairs
    ]
    return table(head, rows)


def _value(value: float | None) -> str:
    return "none" if value is None else f"{value:.9g}"


def _ratio(value: float | None) -> str:
    return "none" if value is None else f"{value:.12g}"


def _steps(ulp: int | None) -> str:
    return "-" if ulp is None else str(ulp)


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _moved(moved: tuple[int, int] | None) -> str:
    return "lost" if moved is None else f"{moved[0]:+d}, {moved[1]:+d}"
