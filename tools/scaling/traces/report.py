"""The result of a comparison of traces: frozen records, the metrics of a bundle, JSON.

Deltas: `abs` and `abs_delta` are magnitudes; `rel` and `rel_delta` are signed, (PY - C)/|C|.
NaN and infinities are the strings "nan", "inf", "-inf" in JSON; a value that is not there is null.
"""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from tools.scaling.base.jsonable import jsonable
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE, DIVERGENT_BELOW, MINOR_BELOW
from tools.scaling.traces.schema import descendants, quantity


class Status(StrEnum):
    """The word of a row, mildest first. Not a bool: compare it with `is Status.PASS`."""

    PASS = "PASS"
    MINOR = "MINOR"
    DIVERGENT = "DIVERGENT"
    CRITICAL = "CRITICAL"
    MISSING = "MISSING"
    NONFINITE = "NONFINITE"

    def __bool__(self) -> bool:
        raise TypeError("a Status is no bool: compare it with Status.PASS")

    @property
    def severity(self) -> int:
        return list(Status).index(self)


def status_of(rel: float, tolerance: float, finite: bool = True) -> Status:
    """PASS up to `tolerance`, then MINOR below 1e-4, DIVERGENT below 1e-2, else CRITICAL."""
    if not finite or math.isnan(rel):
        return Status.NONFINITE
    size = abs(rel)
    if size <= tolerance:
        return Status.PASS
    if size < MINOR_BELOW:
        return Status.MINOR
    return Status.DIVERGENT if size < DIVERGENT_BELOW else Status.CRITICAL


@dataclass(frozen=True, slots=True)
class FactorRow:
    """One of the nine factors. Values are None where a side lacks it."""

    name: str
    description: str
    c_value: float | None
    py_value: float | None
    abs_delta: float | None
    rel_delta: float | None
    status: Status


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One number of a traced quantity, on both sides.

    `occurrence` counts from 0 per name (per name and phi_tic in PHI rows), `component` from 0 in a
    vector or row-major matrix and is None for a scalar. `rel` is against the length of the C
    side's vector (of hkl_frac for PHI.k_frac) and decides the status; `rel_plain` is against the
    component. `tolerance` is what `rel` was allowed. `ulp` is None for a NaN.
    """

    name: str
    occurrence: int
    component: int | None
    phi_tic: int | None
    stage: str
    c: float
    py: float
    abs: float
    rel: float
    rel_plain: float
    ulp: int | None
    tolerance: float
    status: Status

    @property
    def label(self) -> str:
        """initial_fdet[0]; hkl_frac[2] #4 (fourth occurrence); PHI.k_frac @3 (phi_tic 3)."""
        part = "" if self.component is None else f"[{self.component}]"
        tic = "" if self.phi_tic is None else f" @{self.phi_tic}"
        return f"{self.name}{part}{tic}" + (f" #{self.occurrence + 1}" if self.occurrence else "")


@dataclass(frozen=True, slots=True)
class PhiRow:
    """The compared fields of one phi step."""

    phi_tic: int
    occurrence: int
    cells: tuple[NumberRow, ...]

    @property
    def status(self) -> Status:
        return max((cell.status for cell in self.cells), key=lambda status: status.severity)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A name that one side has more often than the other: how often each, and what is unpaired."""

    name: str
    c_count: int
    py_count: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """A trace as the report remembers it; `skipped` are (line, reason)."""

    source: str
    prefix: str
    pixel: tuple[int, int] | None
    skipped: tuple[tuple[int, str], ...]
    ignored: int


@dataclass(frozen=True)
class Report:
    """A comparison of two traces. `quantities` are in causal order, PHI rows among them.

    lost: one line for each name that a side lacks because its line was torn or not understood. Two traces without any
    factor are judged by the quantities that they share.
    """

    c_trace: TraceSummary
    py_trace: TraceSummary
    tolerance: float
    upstream_tolerance: float
    precision: str
    factors: tuple[FactorRow, ...]
    quantities: tuple[NumberRow, ...]
    orphans: tuple[Orphan, ...]
    warnings: tuple[str, ...]
    lost: tuple[str, ...] = ()
    hypotheses: tuple[str, ...] = ()

    @property
    def loosened(self) -> bool:
        """A tolerance above the default lets pass what the default would not."""
        return self.tolerance > DEFAULT_TOLERANCE or self.precision != "float64"

    @property
    def no_factor(self) -> bool:
        """Neither trace holds a factor."""
        return all(row.c_value is None and row.py_value is None for row in self.factors)

    @property
    def first_divergence(self) -> str | None:
        """The first factor in chain order that is not PASS."""
        if self.no_factor:
            return self.first_upstream_divergence
        return next((row.name for row in self.factors if row.status is not Status.PASS), None)

    @property
    def num_divergent(self) -> int:
        if self.no_factor:
            return self.num_upstream_divergent
        return sum(row.status is not Status.PASS for row in self.factors)

    @property
    def passed(self) -> bool:
        """Every factor passes. Upstream differences alone do not fail a comparison."""
        return self.num_divergent == 0

    @property
    def first_upstream(self) -> NumberRow | None:
        """The earliest number in causal order that both sides have and that is not PASS.

        What differs because `steps` does, and nothing else, comes after what differs besides.
        """
        differing = [row for row in self.quantities if row.status is not Status.PASS]
        follows = _follows_steps(self)
        return next((row for row in differing if row.name not in follows), next(iter(differing), None))

    @property
    def first_upstream_divergence(self) -> str | None:
        first = self.first_upstream
        return (
            None if first is None else quantity(first.name, 0 if first.phi_tic is not None else first.occurrence).name
        )

    @property
    def num_upstream_divergent(self) -> int:
        return sum(row.status is not Status.PASS for row in self.quantities)

    @property
    def per_phi(self) -> tuple[PhiRow, ...]:
        cells: dict[tuple[int, int], list[NumberRow]] = {}
        for row in self.quantities:
            if row.phi_tic is not None:
                cells.setdefault((row.occurrence, row.phi_tic), []).append(row)
        return tuple(PhiRow(tic, nth, tuple(cells[nth, tic])) for nth, tic in sorted(cells))

    def factor(self, name: str) -> FactorRow:
        return next(row for row in self.factors if row.name == name)

    def metrics(self) -> dict[str, Any]:
        """metrics.json: the old keys, then what is new.

        The factors keep to numbers: a value that is not finite is null there, its row in
        `quantities` says what it is.
        """
        data = self.to_dict()
        factors = {row["name"]: _finite_only(row) for row in data["factors"]}
        return {
            "tolerance_rel": self.tolerance,
            "first_divergence": self.first_divergence,
            "num_divergent": self.num_divergent,
            "factors": factors,
            "tolerance_loosened": self.loosened,
            "upstream_tolerance_rel": self.upstream_tolerance,
            "precision": self.precision,
            "first_upstream_divergence": self.first_upstream_divergence,
            "num_upstream_divergent": self.num_upstream_divergent,
            "quantities": [row for row in data["quantities"] if row["phi_tic"] is None],
            "per_phi": [row for row in data["quantities"] if row["phi_tic"] is not None],
            "no_factor_traced": self.no_factor,
            "orphans": data["orphans"],
            "lost": data["lost"],
            "skipped": {side: data[side]["skipped"] for side in ("c_trace", "py_trace")},
            "warnings": data["warnings"],
            "hypotheses": data["hypotheses"],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything in this report for JSON; a number that is not finite is its word, as in "nan"."""
        encoded: dict[str, Any] = jsonable(asdict(self))
        return encoded


def _follows_steps(report: Report) -> set[str]:
    """Names of what differs where the counts of phi steps, subpixels, sources or domains do: not aligned, or summed."""
    if not any(row.name == "steps" and row.status is not Status.PASS for row in report.quantities):
        return set()
    uneven = {orphan.name for orphan in report.orphans}
    names = {"steps", "I_before_scaling"} | descendants("steps") | descendants("I_before_scaling")
    if "pixel_pos_meters" in uneven:
        names |= {"pixel_pos_meters"} | descendants("pixel_pos_meters")
    if "PHI.phi_deg" in uneven:
        names |= {row.name for row in report.quantities if row.name.startswith("PHI.")}
    return names


def _finite_only(row: dict[str, Any]) -> dict[str, Any]:
    cells = {key: value for key, value in row.items() if key != "name"}
    return {key: None if key in _VALUES and isinstance(value, str) else value for key, value in cells.items()}


_VALUES = frozenset(
    {"c_value", "py_value", "abs_delta", "rel_delta", "c", "py", "abs", "rel", "rel_plain", "tolerance"}
)
