"""How far rounding alone may move the traced quantities that amplify it (semantics 10.1).

The directions and the cell carry the roundings of about ROUNDINGS operations one after the other (a position is two
sums of products, its length another, then come a quotient, a difference, a rotation and a dot product). An error of
u = ROUNDINGS unit roundoffs in the directions moves the scattering vector by u/lambda, so its relative error
is e = u max(1, 1/(lambda |q|)), and the Miller indices move by |hkl| e. The lattice factor
g = sin(pi N h)/sin(pi h) amplifies that: its relative error is

    |hkl| e max(1/|h - h0|, pi N |cot(pi N h)|)

Both are bounds against which a difference counts as rounding; they widen a tolerance, never narrow it.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

from tools.scaling.engine.tolerances import LEAST_SUM, ROUNDINGS, UNIT_ROUNDOFF, UPSTREAM_TOLERANCE
from tools.scaling.traces.read import PhiRecord, Trace, TraceRecord
from tools.scaling.traces.schema import POST_POLAR, PRE_POLAR

Key = tuple[str, int, int | None]

MAX_CELLS = 4096
_AXES = ("F_latt_a", "F_latt_b", "F_latt_c")
_SCALED = (
    "I_before_scaling",
    PRE_POLAR,
    POST_POLAR,
    "I_pixel_final",
    "floatimage_accumulated",
    "TAP5.I_before_scaling",
    "TAP5.I_pixel_final",
)
_KEPT = LEAST_SUM / UPSTREAM_TOLERANCE["float32"]  # the least sum that float32 holds to its tolerance
_PEAK = 40.0


@dataclass(frozen=True)
class Conditioning:
    """Of one trace, by key (name, occurrence, phi_tic; None outside PHI rows).

    `bounds` are relative errors that rounding can make. `norms` replace a number's own size: k_frac
    of a PHI row is one component of hkl_frac and is measured against that vector's length.
    """

    bounds: dict[Key, float]
    norms: dict[Key, float]


def conditioning(trace: Trace, precision: str = "float64", roundings: int = ROUNDINGS) -> Conditioning:
    """The bounds of semantics 10.1 from what `trace` holds; a quantity not bounded is left out.

    `precision` is that of the arithmetic, "float64" or "float32". `roundings` is 1 for a program that does the
    reference's own operations in its own order: only functions such as sine may differ then, and what is not traced
    has no bound of its own.
    """
    cells = fitted_cells(trace)
    bounds: dict[Key, float] = {}
    shifts: list[float] = []  # absolute error of a Miller index, one for each subpixel
    records = trace.numbers("hkl_frac")
    for record in records:
        occurrence = record.occurrence
        error = _clamped(roundings * UNIT_ROUNDOFF[precision] * max(1.0, _spread(trace, occurrence)))
        shifts.append(error * math.hypot(*record.values))
        bounds["scattering_vec_A_inv", occurrence, None] = error
        bounds["hkl_frac", occurrence, None] = error
        parts = [_clamped(shifts[-1] * _condition(h, n)) for h, n in zip(record.values, cells)]
        bounds.update({(name, occurrence, None): part for name, part in zip(_AXES, parts)})
        bounds["F_latt", occurrence, None] = _clamped(sum(parts))
    if records and roundings > 1:
        bounds |= _third_source(trace, records[0].values, cells, shifts[0])
        bounds |= _other_shapes(trace, records, shifts)
    norms = _bound_phi_rows(trace, records, shifts, cells[1], bounds)
    if precision == "float32":
        norms |= _underflow(trace)
    return Conditioning(bounds, norms)


def _third_source(
    trace: Trace, hkl: tuple[float, ...], cells: tuple[int | None, ...], shift: float
) -> dict[Key, float]:
    """Bounds of the third source, whose indices are not traced: those of the first, `hkl`, have the same envelopes.

    A factor moves by at most pi N shift/|sin(pi h)|, and the others are at most 1/|sin(pi h)| each; of F_latt that
    is the share pi shift (Na + Nb + Nc)/(|F_latt| prod |sin(pi h)|).
    """
    factors = trace.numbers("SOURCE2.F_latt")
    if not factors or None in cells:
        return {}
    envelope = math.prod(_inverse(abs(math.sin(math.pi * h))) for h, n in zip(hkl, cells) if n != 1)
    steep = math.pi * shift * sum(n for n in cells if n is not None and n > 1)
    bounds: dict[Key, float] = {}
    for record in factors:
        bound = _clamped(steep * envelope * _inverse(abs(record.values[0])))
        bounds["SOURCE2.F_latt", record.occurrence, None] = bound
        for name in ("SOURCE2.F_latt_squared", "SOURCE2.I_contribution"):
            bounds[name, record.occurrence, None] = _clamped(2.0 * bound)
    return bounds


def _other_shapes(trace: Trace, records: tuple[TraceRecord, ...], shifts: list[float]) -> dict[Key, float]:
    """Bounds of the sums of a crystal that shows no lattice factor: a ROUND, GAUSS or TOPHAT one.

    Of F_latt = exp(-k (h - h0)^2) a shift moves the square by 4 ln(F_max/F_latt) shift/|h - h0|; _PEAK stands for
    twice the logarithm of F_max. A ROUND crystal's is as steep, but for its zeros.
    """
    summed = trace.numbers("I_before_scaling") or trace.numbers(PRE_POLAR)
    if trace.phi_rows or trace.numbers("F_latt") or not summed or not summed[0].values[0] > 0.0:
        return {}
    steep = 2.0 * (_PEAK + abs(math.log(summed[0].values[0])))
    away = [math.hypot(*(h - round(h) for h in record.values if math.isfinite(h))) for record in records]
    bound = _clamped(steep * max(shift * _inverse(off) for shift, off in zip(shifts, away)))
    return {(name, 0, None): bound for name in _SCALED}


def _underflow(trace: Trace) -> dict[Key, float]:
    """Norms of sums that are too small for float32: the squares that are added are below 2^-126."""
    summed = trace.numbers("I_before_scaling") or trace.numbers(PRE_POLAR)
    size = abs(summed[0].values[0]) if summed else 0.0
    if not 0.0 < size < LEAST_SUM:
        return {}
    values = {name: (trace.numbers(name) or summed)[0].values[0] for name in _SCALED}
    return {(name, 0, None): abs(value) / size * _KEPT for name, value in values.items()}


def _bound_phi_rows(
    trace: Trace,
    records: tuple[TraceRecord, ...],
    shifts: list[float],
    n: int | None,
    bounds: dict[Key, float],
) -> dict[Key, float]:
    """Adds the bounds of the PHI rows and of their sum to `bounds`; returns the rows' norms."""
    norms: dict[Key, float] = {}
    terms: list[tuple[float, float]] = []
    lines = [record.line for record in records]
    for row in trace.phi_rows:
        # A row belongs to the subpixel whose hkl_frac was printed last before it.
        index = bisect_left(lines, row.line) - 1
        if index < 0 or "k_frac" not in row.values:
            continue
        place = (row.occurrence, row.phi_tic)
        norms["PHI.k_frac", *place] = math.hypot(*records[index].values)
        bounds["PHI.k_frac", *place] = bounds["hkl_frac", records[index].occurrence, None]
        along_b = _clamped(shifts[index] * _condition(row.values["k_frac"], n))
        # h and l of other phi steps are not traced: those of step 0 stand for them.
        others = [bounds.get((name, records[index].occurrence, None), 0.0) for name in (_AXES[0], _AXES[2])]
        whole = _clamped(along_b + sum(others))
        bounds["PHI.F_latt_b", *place] = along_b
        bounds["PHI.F_latt", *place] = whole
        terms.append((_squared(row), whole))
    # I_before_scaling is a sum of F_latt^2: each term has twice the relative error of its F_latt.
    total = sum(weight for weight, _ in terms)
    if total > 0.0:
        error = _clamped(2.0 * sum(weight * bound for weight, bound in terms) / total)
        bounds.update({(name, 0, None): error for name in _SCALED})
    return norms


def _clamped(bound: float) -> float:
    """At most 1, so that no bound excuses everything; 0 where it could not be computed."""
    return 0.0 if math.isnan(bound) else min(1.0, bound)


def _squared(row: PhiRecord) -> float:
    value = row.values.get("F_latt", 0.0)
    return value * value if math.isfinite(value) else 0.0


def _spread(trace: Trace, occurrence: int) -> float:
    """1/(lambda |q|), 1 where the trace does not have them."""
    q, wavelength = trace.numbers("scattering_vec_A_inv"), trace.numbers("lambda_meters")
    if occurrence >= min(len(q), len(wavelength)):
        return 1.0
    length = wavelength[occurrence].values[0] * math.hypot(*q[occurrence].values)
    return 1.0 / length if length > 0.0 else 1.0


def _condition(h: float, n: int | None) -> float:
    """|d ln g / d h| of g = sin(pi n h)/sin(pi h), near-integer rounding included; n None: unknown."""
    if n == 1 or h == 0.0 or not math.isfinite(h):
        return 0.0
    off = abs(h - round(h))
    ripple = math.tan(math.pi * (n * off % 1.0)) if n else math.inf
    return max(_inverse(off), math.pi * (n or 0) * _inverse(abs(ripple)))


def _inverse(x: float) -> float:
    return 1.0 / x if x else math.inf


def fitted_cells(trace: Trace) -> tuple[int | None, int | None, int | None]:
    """Na, Nb, Nc, which no trace holds: the least N that gives every traced factor from its index."""
    pairs: list[list[tuple[float, float]]] = [[], [], []]
    for axis, name in enumerate(_AXES):
        for hkl, factor in zip(trace.numbers("hkl_frac"), trace.numbers(name)):
            if axis < len(hkl.values):
                pairs[axis].append((hkl.values[axis], factor.values[0]))
    for row in trace.phi_rows:
        if {"k_frac", "F_latt_b"} <= row.values.keys():
            pairs[1].append((row.values["k_frac"], row.values["F_latt_b"]))
    a, b, c = (_fit(axis[:16]) for axis in pairs)
    return a, b, c


def _fit(pairs: list[tuple[float, float]]) -> int | None:
    usable = [(h, f) for h, f in pairs if abs(h) < 1e6 and math.isfinite(f) and h != round(h)]
    if not usable:
        return None
    for n in range(1, MAX_CELLS + 1):
        if all(
            abs(math.sin(math.pi * h * n) / math.sin(math.pi * h) - f) <= 1e-9 * n * max(1.0, abs(h)) for h, f in usable
        ):
            return n
    return None
