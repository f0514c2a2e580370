"""Many cases, number by number: what each comparison found, and whether that is a PASS.

A claim is made for float64 alone. Of float32 the deviations are measured and nothing is judged.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tools.scaling.base.jsonable import jsonable
from tools.scaling.engine.tolerances import BOUNDED_SHARE, FREE_STEPS, UNEQUAL_SHARE
from tools.scaling.implementations.describe import PORT, RECORDED
from tools.scaling.traces.read import Trace
from tools.scaling.traces.report import NumberRow, Report, Status
from tools.scaling.traces.schema import FACTOR_NAMES, PORT_ONLY

if TYPE_CHECKING:
    from tools.scaling.engine.bitwise import BitDiff, PixelDiff

LISTED = 10  # problems that are told one by one

# The factors that F_latt enters; the others of the nine are never widened.
THROUGH_F_LATT = frozenset({"I_before_scaling", "I_pixel_final"})
_UNWIDENED = frozenset(FACTOR_NAMES) - THROUGH_F_LATT
_DETECTOR = frozenset({f"DETECTOR_{name}" for name in ("FAST_AXIS", "SLOW_AXIS", "NORMAL_AXIS", "PIX0_VECTOR")})
_TORN = frozenset({"pix0_vector_meters", "F_cell"})  # what follows the tricubic switch-off on its line
_CONSTANT_TEXT = "convention_mapping"


class MatrixOutcome(StrEnum):
    """Of a case, or of one file of it. Not a bool: compare it with `is MatrixOutcome.PASS`."""

    PASS = "PASS"
    FAIL = "FAIL"
    MEASURED = "MEASURED"
    SKIPPED = "SKIPPED"

    def __bool__(self) -> bool:
        raise TypeError("a MatrixOutcome is no bool: compare it with MatrixOutcome.PASS")


@dataclass(frozen=True, slots=True)
class TraceResult:
    """One traced pixel (slow, fast). bounded: numbers that pass only by the conditioning bound.

    worst: the largest relative deviation, a component's against its vector's length, and where it is.
    """

    pixel: tuple[int, int]
    numbers: int
    bounded: int
    worst: float
    where: str
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """The discontinuity nearest to a pixel: how far the pixel is from it, and how far rounding reaches."""

    kind: str
    margin: float
    reach: float

    @property
    def explains(self) -> bool:
        return self.margin <= self.reach


@dataclass(frozen=True, slots=True)
class Tie:
    """A pixel that rounding may put on either side of an edge."""

    slow: int
    fast: int
    reference: float
    candidate: float
    ulp: int | None
    edge: Edge


@dataclass(frozen=True, slots=True)
class ImageResult:
    """A float image; worst_ulp is over all pixels, ties included, and None beside a NaN.

    worst_share: the largest difference, as a share of the reference's brightest pixel. diagnosis: a sentence on which
    known cause makes the image, where one was looked for. notes: what else is to be said of the runs.
    """

    pixels: int
    unequal: int
    worst_ulp: int | None
    worst_share: float
    ties: tuple[Tie, ...] = ()
    problems: tuple[str, ...] = ()
    diagnosis: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileResult:
    """An integer, PGM or noise image, compared byte for byte; `note` says how many are equal, or how it differs."""

    name: str
    outcome: MatrixOutcome
    note: str = ""


@dataclass(frozen=True)
class CaseResult:
    """Everything that was compared of one case.

    errors: why something could not be compared at all. skipped: why the case was given to no program.
    """

    name: str
    dtype: str
    traces: tuple[TraceResult, ...]
    image: ImageResult | None
    files: tuple[FileResult, ...]
    seconds: float
    errors: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def numbers(self) -> int:
        return sum(trace.numbers for trace in self.traces)

    @property
    def bounded(self) -> int:
        return sum(trace.bounded for trace in self.traces)

    @property
    def worst(self) -> tuple[float, str]:
        """The largest relative deviation and where: the pixel and the number."""
        trace = max(self.traces, key=lambda trace: trace.worst, default=None)
        if trace is None or trace.worst == 0.0:
            return 0.0, ""
        return trace.worst, f"{trace.where} of {trace.pixel[0]} {trace.pixel[1]}"

    @property
    def own_problems(self) -> tuple[str, ...]:
        """The problems of the case as a whole, which belong to none of its traces, images or files; a line each."""
        if self.bounded <= BOUNDED_SHARE * self.numbers:
            return self.errors
        share = f"at most {BOUNDED_SHARE:.0%} may"
        return (*self.errors, f"{self.bounded} of {self.numbers} numbers need the conditioning bound, {share}")

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each reason to fail."""
        lines = list(self.errors)
        for trace in self.traces:
            lines += [f"trace {trace.pixel[0]} {trace.pixel[1]}: {line}" for line in trace.problems]
        lines += self.own_problems[len(self.errors) :]
        if self.image is not None:
            lines += [f"float image: {line}" for line in self.image.problems]
        lines += [f"{file.name}: {file.note}" for file in self.files if file.outcome is MatrixOutcome.FAIL]
        return tuple(lines)

    @property
    def outcome(self) -> MatrixOutcome:
        if self.problems:
            return MatrixOutcome.FAIL
        if self.skipped:
            return MatrixOutcome.SKIPPED
        return MatrixOutcome.PASS if self.dtype == "float64" else MatrixOutcome.MEASURED


@dataclass(frozen=True)
class Matrix:
    """All cases of a run. machine: what makes numbers differ from one machine to the next.

    candidate, reference: the names of the two implementations.
    """

    command: str
    device: str
    dtype: str
    seconds: float
    machine: dict[str, Any]
    cases: tuple[CaseResult, ...]
    candidate: str = PORT.name
    reference: str = RECORDED.name

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(case.name for case in self.cases if case.outcome is MatrixOutcome.FAIL)

    def count(self, outcome: MatrixOutcome) -> int:
        return sum(case.outcome is outcome for case in self.cases)

    @property
    def numbers(self) -> int:
        return sum(case.numbers for case in self.cases)

    @property
    def pixels(self) -> int:
        return sum(case.image.pixels for case in self.cases if case.image)

    @property
    def unequal(self) -> int:
        return sum(case.image.unequal for case in self.cases if case.image)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready (allow_nan=False): all fields, and per case its outcome, totals and problems."""
        data: dict[str, Any] = jsonable(asdict(self))
        for row, case in zip(data["cases"], self.cases):
            worst, where = case.worst
            row.update(
                outcome=case.outcome.value,
                numbers=case.numbers,
                bounded=case.bounded,
                worst_rel=jsonable(worst),
                worst_where=where,
                problems=list(case.problems),
            )
        return data | {"failed": list(self.failed)}


def judge_trace(
    pixel: tuple[int, int], c: Trace, py: Trace, report: Report, *, tricubic: bool, claim: bool, foreign: bool = False
) -> TraceResult:
    """Judge every number of one traced pixel; `report` is compare()'s, of `c` and `py`.

    tricubic: the run may print the switch-off that tears one line of the reference (semantics 8).
    claim: hold the numbers to their tolerances, else measure only. foreign: a trace in another program's words, whose
    lines need not be ours: the numbers that both sides have are judged, the others are unknown.
    """
    rows = [row for row in report.quantities if row.name not in PORT_ONLY]
    sizes = [(math.inf if row.status is Status.NONFINITE else abs(row.rel), row.label) for row in rows]
    worst, where = max(sizes, key=lambda size: size[0], default=(0.0, ""))
    notes, problems = _foreign_lines(report) if foreign else _line_problems(c, py, report, tricubic)
    if c.pixel != pixel and not foreign:
        problems.insert(0, f"expected the reference's TRACE_CONFIG line to name this pixel, got {c.pixel}")
    bounded = 0
    if claim:
        bounded = sum(abs(row.rel) > report.upstream_tolerance and row.status is Status.PASS for row in rows)
        failing = [row for row in rows if not _is_allowed(row, report.upstream_tolerance, foreign)]
        problems += [_told(row) for row in failing[:LISTED]]
        if len(failing) > LISTED:
            problems.append(f"... and {len(failing) - LISTED} more numbers outside their tolerance")
    else:
        notes, problems = notes + problems, []
    return TraceResult(
        pixel=pixel,
        numbers=len(rows),
        bounded=bounded,
        worst=worst,
        where=where if worst else "",
        notes=tuple(notes),
        problems=tuple(problems),
    )


def _is_allowed(row: NumberRow, base: float, foreign: bool) -> bool:
    return row.status is Status.PASS and (foreign or row.name not in _UNWIDENED or abs(row.rel) <= base)


def _told(row: NumberRow) -> str:
    return f"{row.label}: expected {row.c:.15g}, got {row.py:.15g}: relative {row.rel:.2e}, allowed {row.tolerance:.0e}"


def _foreign_lines(report: Report) -> tuple[list[str], list[str]]:
    """(notes, problems): what one side alone traces is unknown; nothing in common cannot pass."""
    alone = {
        "reference": [orphan.name for orphan in report.orphans if not orphan.py_count],
        "candidate": [orphan.name for orphan in report.orphans if not orphan.c_count],
    }
    notes = [
        f"unknown, traced by the {side} alone: {', '.join(names[:LISTED])}{', ...' * (len(names) > LISTED)}"
        for side, names in alone.items()
        if names
    ]
    problems = [] if report.quantities else ["expected traced numbers that both programs have, got none"]
    return notes, problems


def _line_problems(c: Trace, py: Trace, report: Report, tricubic: bool) -> tuple[list[str], list[str]]:
    """(notes, problems): lines that only one side has, other texts, another order."""
    excused = set(PORT_ONLY)
    notes = []
    if not _DETECTOR & set(c.names):
        excused |= _DETECTOR  # the golden logs keep TRACE lines only
    single = [orphan for orphan in report.orphans if orphan.name not in excused]
    torn = ""
    if tricubic and len(single) == 1 and single[0].name in _TORN and single[0].c_count + 1 == single[0].py_count:
        torn = single.pop().name
        notes.append(f"one {torn} is torn in the reference's log and not compared (semantics 8)")
    problems = [
        f"{orphan.name}: {orphan.c_count} in the reference, {orphan.py_count} in the port"
        + (f" ({orphan.note})" if orphan.note else "")
        for orphan in single
    ]
    problems += [f"{line}" for line in _other_texts(c, py)]
    if not problems:
        problems += _other_order(list(_lines(c, excused)), list(_lines(py, excused)), torn)
    return notes, problems


def _other_texts(c: Trace, py: Trace) -> Iterator[str]:
    for record in c.records:
        if record.text is None or record.name == _CONSTANT_TEXT:
            continue
        candidates = py.occurrences(record.name)
        text = candidates[record.occurrence].text if record.occurrence < len(candidates) else None
        if text != record.text:
            yield f"{record.name}: expected the text {record.text!r}, got {text!r}"


def _lines(trace: Trace, excused: set[str]) -> Iterator[str]:
    """The names in printed order, PHI rows among them."""
    rows = [(row.line, f"PHI row {row.phi_tic}") for row in trace.phi_rows]
    rows += [(record.line, record.name) for record in trace.records if record.name not in excused]
    return (name for _, name in sorted(rows, key=lambda row: row[0]))


def _other_order(c: list[str], py: list[str], torn: str) -> list[str]:
    """The first line that comes at another place; `torn` may be left out once by `c`."""
    for at in range(max(len(c), len(py))):
        reference, candidate = (names[at] if at < len(names) else "the end" for names in (c, py))
        if reference == candidate:
            continue
        if torn and candidate == torn:
            return _other_order(c, py[:at] + py[at + 1 :], "")
        return [f"line {at + 1} of the trace: expected {reference}, got {candidate}"]
    return []


def judge_image(
    image: "BitDiff", nearest_edge: Callable[[int, int], Edge | None], *, outside: int = 0, claim: bool = True
) -> ImageResult:
    """Judge an image. nearest_edge(slow, fast): the discontinuity that could excuse a pixel.

    outside: pixels that are not 0 although the region of interest leaves them out.
    """
    ties: list[Tie] = []
    problems: list[str] = []
    figures = (image.pixels, image.unequal, image.worst_ulp, image.worst_share)
    if outside:
        problems.append(f"{outside} pixels outside the region of interest are not 0")
    if not claim:
        return ImageResult(*figures, problems=tuple(problems))
    if image.unequal > UNEQUAL_SHARE * image.pixels:
        share = f"at most {UNEQUAL_SHARE:.1%} may be"
        problems.append(f"{image.unequal} of {image.pixels} pixels are not bitwise equal, {share}")
    far = [pixel for pixel in image.differing if pixel.ulp is None or pixel.ulp > FREE_STEPS["float32"]]
    kept_all = len(image.differing) == image.unequal or len(far) < len(image.differing)
    if problems or not kept_all:  # too many is a fault, no tie: a few are enough to show it
        far = far[:LISTED]
    for pixel in far:
        edge = nearest_edge(pixel.slow, pixel.fast)
        if edge is not None and edge.explains:
            ties.append(Tie(pixel.slow, pixel.fast, pixel.reference, pixel.candidate, pixel.ulp, edge))
        else:
            problems.append(_told_pixel(pixel, edge))
    if not kept_all:
        problems.append(f"more than {len(image.differing)} pixels are {FREE_STEPS['float32'] + 1} ulp off or farther")
    return ImageResult(*figures, tuple(ties), tuple(problems))


def judge_foreign_image(image: "BitDiff", problems: Sequence[str], *, outside: int = 0) -> ImageResult:
    """Judge the image of another program, which makes no claim to our bits: by the `problems` that `images` has."""
    lines = [f"{outside} pixels outside the region of interest are not 0"] if outside else []
    figures = (image.pixels, image.unequal, image.worst_ulp, image.worst_share)
    return ImageResult(*figures, problems=(*lines, *problems))


def _told_pixel(pixel: "PixelDiff", edge: Edge | None) -> str:
    off = "not a number" if pixel.ulp is None else f"{pixel.ulp} ulp off"
    line = f"pixel {pixel.slow} {pixel.fast}: expected {pixel.reference:.9g}, got {pixel.candidate:.9g}: {off}"
    if edge is None:
        return line
    return f"{line}, and no tie: {edge.margin:.1e} from a {edge.kind} edge, rounding reaches {edge.reach:.1e}"
