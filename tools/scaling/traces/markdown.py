"""Report -> Markdown in ASCII, tables that render. No arithmetic."""

import math

from tools.scaling.base.files import to_ascii
from tools.scaling.base.text import bullets, code, plain, table
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE
from tools.scaling.traces.report import NumberRow, Report, Status, TraceSummary

# Beyond this a page stops rendering; what does not pass is shown first, metrics.json has all.
MAX_ROWS = 2000


def comparison_markdown(report: Report, title: str = "Scaling comparison") -> str:
    """The summary of a comparison: verdict first, hypotheses last."""
    parts = [
        f"# {plain(title)}",
        _head(report),
        "## Factors",
        _factors(report),
        "## Phi steps",
        _phi(report),
        "## Every traced number, in causal order",
        _quantities(report),
        "## On one side only",
        _orphans(report),
        "## Skipped lines",
        _skipped(report),
        "## Hypotheses",
        bullets(plain(line) for line in report.hypotheses),
    ]
    return to_ascii("\n\n".join(parts) + "\n")


def _head(report: Report) -> str:
    agree = "no factor traced, all numbers that both traces hold agree" if report.no_factor else "all factors agree"
    verdict = f"PASS: {agree}" if report.passed else f"DIVERGES at {report.first_divergence}"
    lines = [f"**{verdict}**", *(f"**lost:** {plain(line)}" for line in report.lost)]
    if report.tolerance > DEFAULT_TOLERANCE:
        lines.append(
            f"**TOLERANCE LOOSENED: factors pass up to {report.tolerance:.3g} relative, "
            f"the default is {DEFAULT_TOLERANCE:.3g}**"
        )
    if report.precision != "float64":
        lines.append(
            f"**TOLERANCE LOOSENED: {report.precision} arithmetic, the upstream tolerance is "
            f"{report.upstream_tolerance:.3g} relative**"
        )
    upstream = report.first_upstream
    lines += [
        f"first_divergence: {code(report.first_divergence or 'none')}",
        f"first_upstream_divergence: {code(report.first_upstream_divergence or 'none')}"
        + ("" if upstream is None else f" ({upstream.label}, relative {upstream.rel:.3e})"),
        ("no factor traced; " if report.no_factor else f"num_divergent: {report.num_divergent} of 9 factors; ")
        + f"{report.num_upstream_divergent} of {len(report.quantities)} traced numbers",
        f"tolerance: {report.tolerance:.3g} relative for the factors; for the traced numbers "
        f"{report.upstream_tolerance:.3g}, or what rounding can make of them where it is amplified",
        f"reference: {_trace(report.c_trace)}",
        f"candidate: {_trace(report.py_trace)}",
    ]
    lines += [f"note: {plain(line)}" for line in report.warnings]
    return bullets(lines)


def _trace(trace: TraceSummary) -> str:
    where = "pixel not given" if trace.pixel is None else f"slow {trace.pixel[0]}, fast {trace.pixel[1]}"
    return f"{code(trace.source)} ({trace.prefix}, {where})"


def _factors(report: Report) -> str:
    rows = [
        (
            row.name,
            row.description,
            _value(row.c_value),
            _value(row.py_value),
            _delta(row.abs_delta, 3),
            _delta(row.rel_delta, 6),
            row.status,
        )
        for row in report.factors
    ]
    return table(("factor", "meaning", "C", "PY", "abs", "rel (PY-C)/C", "status"), rows)


def _phi(report: Report) -> str:
    cells = [cell for row in report.per_phi for cell in row.cells]
    if not cells:
        return "Neither trace shares a phi row with the other."
    rows = [
        (str(cell.phi_tic), str(cell.occurrence + 1), cell.name.removeprefix("PHI."), *_numbers(cell)[1:])
        for cell in cells[:MAX_ROWS]
    ]
    head = ("phi_tic", "occurrence", "quantity", "C", "PY", "abs", "rel", "rel (component)", "ulp", "status")
    return table(head, rows) + _left_out(len(cells))


def _quantities(report: Report) -> str:
    rows = [row for row in report.quantities if row.phi_tic is None]
    if not rows:
        return "The traces share no number."
    if len(rows) > MAX_ROWS:
        first = [row for row in rows if row.status is not Status.PASS]
        shown = {id(row) for row in (first + [row for row in rows if row.status is Status.PASS])[:MAX_ROWS]}
        numbers = [(row.stage, *_numbers(row)) for row in rows if id(row) in shown]
    else:
        numbers = [(row.stage, *_numbers(row)) for row in rows]
    head = ("stage", "quantity", "C", "PY", "abs", "rel", "rel (component)", "ulp", "status")
    note = "\n\n`rel` is against the length of the reference's vector and is what counts."
    return table(head, numbers) + _left_out(len(rows)) + note


def _numbers(row: NumberRow) -> tuple[str, ...]:
    ulp = "-" if row.ulp is None else str(row.ulp)
    deltas = (_delta(row.abs, 3), _delta(row.rel, 3), _delta(row.rel_plain, 3))
    return (row.label, _value(row.c), _value(row.py), *deltas, ulp, row.status)


def _left_out(count: int) -> str:
    if count <= MAX_ROWS:
        return ""
    return f"\n\n{MAX_ROWS} of {count} rows are shown, those that do not pass first; metrics.json has all."


def _orphans(report: Report) -> str:
    if not report.orphans:
        return "None: both traces hold the same numbers."
    rows = [(row.name, str(row.c_count), str(row.py_count), row.note) for row in report.orphans]
    return table(("quantity", "times in C", "times in PY", "note"), rows)


def _skipped(report: Report) -> str:
    rows = [
        (trace.source, str(line), reason)
        for trace in (report.c_trace, report.py_trace)
        for line, reason in trace.skipped
    ]
    return table(("file", "line", "why"), rows[:MAX_ROWS]) + _left_out(len(rows))


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.15g}"


def _delta(value: float | None, digits: int) -> str:
    if value is None or not math.isfinite(value):
        return _value(value)
    return "0" if value == 0 else f"{value:.{digits}e}"
