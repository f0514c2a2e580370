"""Report -> lines for a terminal. No arithmetic."""

from tools.scaling.base.files import to_ascii
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE
from tools.scaling.traces.report import Report


def comparison_lines(report: Report) -> list[str]:
    """A line a factor, then the verdict and the first divergences."""
    lines = []
    if report.tolerance > DEFAULT_TOLERANCE:
        lines.append(f"TOLERANCE LOOSENED to {report.tolerance:.3g}; the default is {DEFAULT_TOLERANCE:.3g}")
    if report.no_factor:
        lines.append(f"no factor traced: judged by the {len(report.quantities)} numbers that both traces hold")
    for row in () if report.no_factor else report.factors:
        c, py = ("missing" if value is None else f"{value:.15g}" for value in (row.c_value, row.py_value))
        rel = "-" if row.rel_delta is None else f"{row.rel_delta:+.3e}"
        lines.append(f"{row.name:<24} {c:>22} {py:>22} {rel:>11} {row.status.value}")
    lines.append(f"first_divergence: {report.first_divergence or 'none'} (num_divergent {report.num_divergent})")
    lines.append(f"first_upstream_divergence: {report.first_upstream_divergence or 'none'}")
    lines += [to_ascii(f"lost: {line}") for line in report.lost]
    return lines
