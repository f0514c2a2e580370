"""Coordinates that stand for the numbers: read back through the axis, inside the panel, the same each time."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.scaling.page import curves
from tools.scaling.page.view import CauseRow, PhiSeries, PhiStep, Trend


def series(values: list[tuple[float, float | None, float | None]]) -> PhiSeries:
    steps = tuple(PhiStep(x, c, py, None if c is None or py is None else py - c, "PASS") for x, c, py in values)
    return PhiSeries("F_latt", "phi (deg)", steps, 1, None, 0)


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](\S+?) ([^ML]+)", path)]


def along(ticks: tuple[curves.Tick, ...], at: float) -> float:
    """The value at a coordinate, by the marks of the axis alone."""
    first, last = ticks[0], ticks[-1]
    share = (at - first.at) / (last.at - first.at)
    return float(first.label) + share * (float(last.label) - float(first.label))


def test_the_axis_reads_back_the_numbers() -> None:
    values = [(0.01 * i, 3.0 - 0.5 * i, 3.0 - 0.5 * i + 1e-3 * i) for i in range(10)]
    drawn = curves.plot(series(values))
    upper, lower = drawn.panels
    assert [line.kind for line in upper.lines] == ["c", "py"] and [line.kind for line in lower.lines] == ["difference"]
    for at, line in enumerate(upper.lines, 1):
        for (x, y), value in zip(points(line.path), values):
            assert along(drawn.ticks, x) == pytest.approx(value[0], abs=2e-5)
            assert along(upper.ticks, y) == pytest.approx(value[at], abs=1e-3)
    for (_, y), value in zip(points(lower.lines[0].path), values):
        assert along(lower.ticks, y) == pytest.approx(value[2] - value[1], abs=2e-6)
    assert upper.lines[0].dots[3].title == "0.03: 1.5"


def test_no_difference_is_a_flat_line_at_zero() -> None:
    drawn = curves.plot(series([(0.0, 1.0, 1.0), (1.0, 2.0, 2.0)]))
    lower = drawn.panels[1]
    assert [tick.label for tick in lower.ticks] == ["0"]
    assert {y for _, y in points(lower.lines[0].path)} == {lower.ticks[0].at}


def test_an_unknown_value_is_a_gap() -> None:
    line = curves.plot(series([(0.0, 1.0, 1.0), (1.0, None, 1.0), (2.0, 3.0, 2.0)])).panels[0].lines[0]
    assert line.path.count("M") == 2 and line.path.count("L") == 0 and len(line.dots) == 2


def test_nothing_known_is_drawn_as_nothing() -> None:
    drawn = curves.plot(series([(0.0, None, None)]))
    assert [line.path for panel in drawn.panels for line in panel.lines] == ["", "", ""]


def test_many_points_are_a_line_without_dots() -> None:
    many = [(float(i), float(i % 7), float(i % 5)) for i in range(curves.DOTS + 1)]
    line = curves.plot(series(many)).panels[0].lines[0]
    assert line.dots == () and len(points(line.path)) == curves.DOTS + 1


reals = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(reals, reals, reals), min_size=1, max_size=12))
def test_whatever_the_numbers_the_curve_stays_in_its_panel(values: list[tuple[float, float, float]]) -> None:
    steps = tuple(PhiStep(x, c, py, py - c if abs(py - c) < 1e308 else None, "PASS") for x, c, py in sorted(values))
    drawn = curves.plot(PhiSeries("F_latt", "phi (deg)", steps, 1, None, 0))
    for panel in drawn.panels:
        heights = [y for line in panel.lines for _, y in points(line.path)] + [tick.at for tick in panel.ticks]
        assert all(panel.top <= y <= panel.bottom for y in heights)
        labels = [tick.label for tick in panel.ticks]
        assert len(set(labels)) == len(labels)
    widths = [x for line in drawn.panels[0].lines for x, _ in points(line.path)]
    assert all(curves.LEFT <= x <= curves.RIGHT for x in widths)


def test_bars_keep_sign_and_proportion() -> None:
    causes = [CauseRow("odet", "", None, effect, None, None) for effect in (-2.0e-3, 1.0e-3, None)]
    assert [(bar.left, bar.width) for bar in curves.bars(causes)] == [(-1.0, 1.0), (0.0, 0.5), (0.0, 0.0)]


def test_a_trend_is_drawn_by_decades() -> None:
    drawn = curves.spark(Trend("polar", (0.0, 1e-9, -1e-5, None, 1e-1)))
    heights = [y for _, y in points(drawn.path)]
    top, base = drawn.ticks
    assert (top.label, base.label) == ("1e-1", "0")
    decade = (base.at - top.at) / 16  # 1e-17, where zero lies, up to 1e-1
    expected = [base.at, base.at - 8 * decade, base.at - 12 * decade, top.at]
    assert heights == pytest.approx(expected, abs=0.01)
    assert drawn.path.count("M") == 2  # the bundle without a value is a gap
    assert drawn.last is not None and drawn.last.y == top.at


def test_an_empty_trend_is_empty() -> None:
    drawn = curves.spark(Trend("polar", (None, None)))
    assert drawn.path == "" and drawn.last is None
