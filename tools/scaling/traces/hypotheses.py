"""What the numbers of a comparison suggest about its cause. Hints from data, not an attribution."""

from tools.scaling.traces.report import NumberRow, PhiRow, Report, Status

# Two k_frac of one side are one orientation when they agree to the digits that a trace prints.
_SAME = 1e-13


def hypotheses(report: Report) -> tuple[str, ...]:
    """One line each, most telling first; never empty."""
    lines = [*_verdict(report), *_upstream(report), *_phi(report), *_downstream(report)]
    return tuple(lines)


def _verdict(report: Report) -> list[str]:
    if report.no_factor:
        agree = ", all of them agree" if report.passed else ""
        return [f"No factor traced: judged by the {len(report.quantities)} numbers that both traces hold{agree}."]
    if not report.passed:
        missing = [row.name for row in report.factors if row.status is Status.MISSING]
        broken = [row.name for row in report.factors if row.status is Status.NONFINITE]
        lines = [f"Not comparable, missing on a side: {', '.join(missing)}."] if missing else []
        return lines + ([f"NaN or infinite, look for its first occurrence: {', '.join(broken)}."] if broken else [])
    if report.first_upstream is None:
        return ["No number that both traces hold differs by more than rounding: there is nothing to explain."]
    return ["The factors agree within tolerance, the numbers they are made of do not all."]


def _upstream(report: Report) -> list[str]:
    first = report.first_upstream
    if first is None or first.status is Status.NONFINITE:
        return []
    line = f"The earliest difference is {first.label} (stage {first.stage}), relative {first.rel:.3e}"
    factor = next((row for row in report.factors if row.status is not Status.PASS), None)
    if factor is None or not factor.rel_delta or not first.rel or factor.name == first.name:
        return [line + "."]
    gain = abs(factor.rel_delta / first.rel)
    lines = [
        f"{line}. To be the only cause of {factor.name} ({factor.rel_delta:.6e}) "
        f"it has to be amplified {gain:.3g} times."
    ]
    same = {row.name for row in report.quantities if row.stage == first.stage and row.status is not Status.PASS}
    if len(same) > 1:
        lines.append(f"Others of the same stage differ too: {', '.join(sorted(same - {first.name}))}.")
    return lines


def _phi(report: Report) -> list[str]:
    rows = [row for row in report.per_phi if row.occurrence == 0]
    differing = [row for row in rows if row.status is not Status.PASS]
    if not differing:
        return []
    tics = [row.phi_tic for row in differing]
    if len(differing) == len(rows):
        lines = [f"All {len(rows)} phi steps differ: the cause is common to them, not the sweep."]
    else:
        shown = ", ".join(map(str, tics[:10]))
        lines = [f"Only {len(tics)} of {len(rows)} phi steps differ (phi_tic {shown}): the sweep itself."]
    return lines + _carried(rows, tics)


def _carried(rows: list[PhiRow], tics: list[int]) -> list[str]:
    """Q29: at phi = 0 the reference keeps the orientation of the phi step before."""
    if len(rows) < 2 or 0 not in tics:
        return []
    first, last = _k_frac(rows[0]), _k_frac(rows[-1])
    if first is None or last is None:
        return []
    repeats = [abs(first.c - last.c) <= _SAME * abs(last.c), abs(first.py - last.py) <= _SAME * abs(last.py)]
    if repeats == [True, False] or repeats == [False, True]:
        side = "The reference" if repeats[0] else "The candidate"
        return [
            f"{side} repeats at phi_tic 0 its own last orientation, the other side does not: "
            "carry-over at phi = 0 (Q29)."
        ]
    return []


def _k_frac(row: PhiRow) -> NumberRow | None:
    return next((cell for cell in row.cells if cell.name == "PHI.k_frac"), None)


def _downstream(report: Report) -> list[str]:
    """Do the later factors only hand on what the first one brought in?"""
    first = next((row for row in report.factors if row.status is not Status.PASS), None)
    last = report.factors[-1]
    if first is None or first is last or not first.rel_delta or last.rel_delta is None:
        return []
    if abs(last.rel_delta - first.rel_delta) <= report.tolerance:
        return [f"{last.name} differs by {last.rel_delta:.6e}, the same within tolerance: it inherits {first.name}."]
    return []
