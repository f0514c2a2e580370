"""Report -> lines for a terminal; Trace -> the lines that are read as this trace. No arithmetic."""

from tools.scaling.base.files import to_ascii
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE
from tools.scaling.traces.read import OURS, PhiRecord, Trace, TraceRecord
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


def trace_text(trace: Trace, prefix: str, pixel: tuple[int, int]) -> str:
    """The lines of a trace log with this `prefix` (TRACE_C, TRACE_PY) that hold every number of `trace` to the bit."""
    rows = [(record.line, _record_line(record, prefix)) for record in trace.records]
    rows += [(row.line, _phi_line(row, prefix)) for row in trace.phi_rows]
    lines = [OURS.decode().strip(), f"TRACE_CONFIG: (spixel={pixel[0]}, fpixel={pixel[1]})"]
    lines += [line for _, line in sorted(rows, key=lambda row: row[0])]
    return to_ascii("".join(f"{line}\n" for line in lines))


def _record_line(record: TraceRecord, prefix: str) -> str:
    values = " ".join(map(repr, record.values)) if record.values else record.text or ""
    group, dot, name = record.name.partition(".")
    if dot and group.isupper():  # of a grouped line: PREFIX_GROUP: name value
        return f"{prefix}_{group}: {name} {values}"
    return f"{prefix}: {group} {name}:{values}" if dot else f"{prefix}: {group} {values}"


def _phi_line(row: PhiRecord, prefix: str) -> str:
    return " ".join([f"{prefix}_PHI", f"phi_tic={row.phi_tic}", *(f"{k}={v!r}" for k, v in row.values.items())])
