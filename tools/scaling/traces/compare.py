"""Pairs two traces by name, occurrence and component, asks the engine, returns a Report."""

import math
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, replace

from tools.scaling.base.errors import BadInput
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE, ROUNDINGS, UPSTREAM_TOLERANCE
from tools.scaling.traces.conditioning import Conditioning, Key, conditioning
from tools.scaling.traces.hypotheses import hypotheses
from tools.scaling.traces.printing import printing_of
from tools.scaling.traces.read import Trace
from tools.scaling.traces.report import (
    FactorRow,
    NumberRow,
    Orphan,
    Report,
    Status,
    TraceSummary,
    status_of,
)
from tools.scaling.traces.schema import FACTORS, POST_POLAR, PRE_POLAR, TracedQuantity, quantity

Numbers = dict[Key, tuple[float, ...]]

_SUMMED = "I_before_scaling"


@dataclass(frozen=True, slots=True)
class _PairedNumber:
    """One number that both sides have, with the length and the tolerance it is judged by."""

    key: Key
    component: int | None
    quantity: TracedQuantity
    c: float
    py: float
    norm: float
    tolerance: float

    @property
    def rank(self) -> tuple[int, bool, str, int, int, int]:
        name, occurrence, tic = self.key
        return (
            self.quantity.order,
            name != self.quantity.name,
            name,
            occurrence,
            -1 if tic is None else tic,
            self.component or 0,
        )


def compare(
    c: Trace,
    py: Trace,
    *,
    tolerance: float = DEFAULT_TOLERANCE,
    device: str = "cpu",
    precision: str = "float64",
    roundings: int = ROUNDINGS,
) -> Report:
    """Compare `py` with `c`, the reference.

    `tolerance` is relative and judges the nine factors, in float32 no closer than rounding. Every other is judged by
    UPSTREAM_TOLERANCE[precision], widened to the bound of `conditioning` where rounding is amplified. Neither is below
    what the printed digits can tell. `precision` is that of the arithmetic behind `py`, the differences are always
    float64. `roundings`: see `conditioning`.
    Raises BadInput for traces of different pixels or a tolerance that is none, Unavailable for a
    device that is missing or lacks float64.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0.0):
        raise BadInput(f"expected a finite tolerance of at least 0, got {tolerance}")
    if precision not in UPSTREAM_TOLERANCE:
        raise BadInput(f"expected a precision of {' or '.join(UPSTREAM_TOLERANCE)}, got {precision!r}")
    if c.pixel and py.pixel and c.pixel != py.pixel:
        raise BadInput(
            f"expected traces of one pixel, got (slow, fast) {c.pixel} in {c.source} and {py.pixel} in {py.source}"
        )
    printed = max(printing_of(side).relative() for side in (c, py))
    tolerance, base = max(tolerance, printed), max(UPSTREAM_TOLERANCE[precision], printed)
    left, right = _keyed(c), _keyed(py)
    _stand_in(left, right)
    _stand_in(right, left)
    rows = _rows(_pairs(left, right, conditioning(c, precision, roundings), base), device)
    report = Report(
        c_trace=_summary(c),
        py_trace=_summary(py),
        tolerance=tolerance,
        upstream_tolerance=base,
        precision=precision,
        factors=tuple(_factor(name, rows, left, right, tolerance, precision) for name in FACTORS),
        quantities=rows,
        orphans=_orphans(c, py, left, right),
        lost=_lost(c, right.keys() - left.keys()) + _lost(py, left.keys() - right.keys()),
        warnings=_warnings(c, py),
    )
    if report.no_factor and not rows:
        raise BadInput(f"expected two traces that share a number, got none in {c.source} and {py.source}")
    return replace(report, hypotheses=hypotheses(report))


def _keyed(trace: Trace) -> Numbers:
    """Every number by (name, occurrence, phi_tic)."""
    values_of: Numbers = {(record.name, record.occurrence, None): record.values for record in trace.records}
    for row in trace.phi_rows:
        for field, value in row.values.items():
            values_of[f"PHI.{field}", row.occurrence, row.phi_tic] = (value,)
    return {key: values for key, values in values_of.items() if values}


def _stand_in(side: Numbers, other: Numbers) -> None:
    """PRE_POLAR of `side` stands for I_before_scaling where it has none; who has both is held to both."""
    for key in [key for key in side if key[0] == PRE_POLAR and key not in other]:
        summed = (_SUMMED, *key[1:])
        if summed not in side:
            side[summed] = side.pop(key)
        elif summed in other:
            other[key] = other[summed]


def _pairs(left: Numbers, right: Numbers, limits: Conditioning, base: float) -> list[_PairedNumber]:
    """What both sides have, number by number, in causal order."""
    pairs = []
    for key in left.keys() & right.keys():
        reference, candidate = left[key], right[key]
        row = quantity(key[0], 0 if key[2] is not None else key[1])
        norm = limits.norms.get(key, math.hypot(*reference))
        limit = max(base, row.tolerance, limits.bounds.get(key, 0.0))
        scalar = len(reference) == len(candidate) == 1
        for i, (a, b) in enumerate(zip(reference, candidate)):
            pairs.append(_PairedNumber(key, None if scalar else i, row, a, b, norm, limit))
    return sorted(pairs, key=lambda pair: pair.rank)


def _orphans(c: Trace, py: Trace, left: Numbers, right: Numbers) -> tuple[Orphan, ...]:
    """Per name what has no partner, and vectors of unequal length."""
    single: dict[str, list[Key]] = {}
    for key in (*left, *right):
        if (key in left) != (key in right):
            single.setdefault(key[0], []).append(key)
    counts = [Counter(key[0] for key in side) for side in (left, right)]
    orphans = [Orphan(name, counts[0][name], counts[1][name], _note(keys, c, py)) for name, keys in single.items()]
    for key in left.keys() & right.keys():
        if len(left[key]) != len(right[key]):
            note = f"occurrence {key[1] + 1} has {len(left[key])} and {len(right[key])} components"
            orphans.append(Orphan(key[0], counts[0][key[0]], counts[1][key[0]], note))
    return tuple(sorted(orphans, key=lambda orphan: (quantity(orphan.name).order, orphan.name, orphan.note)))


def _lost(side: Trace, lacking: Set[Key]) -> tuple[str, ...]:
    """One line for each name that `side` lacks because a line of it was torn or not understood."""
    lines = []
    for name in sorted({key[0] for key in lacking}, key=lambda name: (quantity(name).order, name)):
        meant = (PRE_POLAR, name) if name == _SUMMED else (name,)
        skip = next((skip for skip in side.skipped if any(map(skip.may_hold, meant))), None)
        if skip is not None:
            lines.append(f"{name}: {side.source}:{skip.line}: {skip.reason.removeprefix(f'{name}: ')}")
    return tuple(lines)


def _note(keys: list[Key], c: Trace, py: Trace) -> str:
    """Which PHI rows have no partner, or the text that stands where a number was expected."""
    if keys[0][0] == POST_POLAR:
        return "printed by the port alone"
    name, tics = keys[0][0], [str(key[2]) for key in keys if key[2] is not None]
    if tics:
        return f"phi_tic {', '.join(tics[:10])}" + (" ..." if len(tics) > 10 else "")
    texts = [record.text for side in (c, py) for record in side.occurrences(name) if record.text is not None]
    return f"text: {texts[0][:40]!r}" if texts else ""


def _rows(pairs: list[_PairedNumber], device: str) -> tuple[NumberRow, ...]:
    """All pairs through the engine at once."""
    import torch

    from tools.scaling.engine.diff import ULP_MAX, diff, open_device

    place = open_device(device)
    table = torch.tensor([(p.c, p.py, p.norm) for p in pairs], dtype=torch.float64).reshape(-1, 3)
    ref, new, norm = table.to(place).unbind(dim=1)
    deltas = diff(ref, new, norm=norm)
    columns = (deltas.delta, deltas.rel_norm, deltas.rel, deltas.ulp, deltas.nonfinite)
    rows = []
    for pair, delta, rel, plain, ulp, bad in zip(pairs, *(column.tolist() for column in columns)):
        name, occurrence, tic = pair.key
        sign = math.copysign(1.0, delta)
        rows.append(
            NumberRow(
                name=name,
                occurrence=occurrence,
                component=pair.component,
                phi_tic=tic,
                stage=pair.quantity.stage,
                c=pair.c,
                py=pair.py,
                abs=abs(delta),
                rel=sign * rel,
                rel_plain=sign * plain,
                ulp=None if ulp == ULP_MAX else ulp,
                tolerance=pair.tolerance,
                status=status_of(rel, pair.tolerance, finite=not bad),
            )
        )
    return tuple(rows)


def _factor(
    name: str, rows: tuple[NumberRow, ...], left: Numbers, right: Numbers, tolerance: float, precision: str
) -> FactorRow:
    """The worst of the factor's pairs; MISSING where a side lacks it, has it more often or with more numbers.

    In float32 what rounding can make passes as well.
    """
    reference, candidate = (
        [v for key, values in side.items() if key[0] == name for v in values] for side in (left, right)
    )
    names = (name, PRE_POLAR) if name == _SUMMED else (name,)
    parts = [row for row in rows if row.name in names]
    if not parts or len(reference) != len(candidate):
        c_value, py_value = (side[0] if side else None for side in (reference, candidate))
        return FactorRow(name, FACTORS[name], c_value, py_value, None, None, Status.MISSING)
    single = precision == "float32"
    limits = [max(tolerance, row.tolerance) if single else tolerance for row in parts]
    judged = [(status_of(row.rel, x, row.status is not Status.NONFINITE), row) for x, row in zip(limits, parts)]
    status, worst = max(judged, key=lambda item: (item[0].severity, abs(item[1].rel)))
    return FactorRow(name, FACTORS[name], worst.c, worst.py, worst.abs, worst.rel, status)


def _summary(trace: Trace) -> TraceSummary:
    skipped = tuple((skip.line, skip.reason) for skip in trace.skipped)
    return TraceSummary(trace.source, trace.prefix, trace.pixel, skipped, trace.ignored)


def _warnings(c: Trace, py: Trace) -> tuple[str, ...]:
    lines = []
    if c.prefix == py.prefix:
        lines.append(f"both traces hold {c.prefix} lines: two runs of one program are compared")
    elif (c.prefix, py.prefix) == ("TRACE_PY", "TRACE_C"):
        lines.append("the sides are swapped: the reference holds TRACE_PY lines, the candidate TRACE_C")
    for side in (c, py):
        if how := printing_of(side).words:
            lines.append(f"{side.source} prints {how}: what is smaller than half a unit of the last one is unknown")
        if side.pixel is None:
            lines.append(f"{side.source} does not say which pixel it traced")
        if side.skipped:
            lines.append(f"{side.source}: {len(side.skipped)} trace lines skipped, listed below")
    return tuple(lines)
