"""Trace file -> Trace: every named number of one traced pixel, every occurrence, in order.

The formats are those of semantics section 8. A log is other people's text: what is no trace is read
past, what is damaged is skipped and said, and no number is returned that is not a token of the file.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tools.scaling.base.errors import BadInput
from tools.scaling.base.reading import read_stream
from tools.scaling.traces.schema import FACTOR_NAMES, POST_POLAR, PRE_POLAR

OURS = b"# The names and units are ours: no table of labels applies.\n"  # the first line of what `trace_text` makes
MAX_BYTES = 256 * 1024 * 1024

# A tear glues a trace line to other text, so the prefix counts anywhere in a line. Only the grouped
# form (TRACE_C_PHI key=value) does without a colon; prose that mentions TRACE_C is no trace.
# A group's name has a bound, and gives nothing back once it is read: a line of prefixes alone takes no longer than any.
_MARK = re.compile(r"(?:(TRACE_(?:C|PY))(?:_([A-Z][A-Z0-9_]{0,63}+)(?=[: \t]):?|:)|(TRACE_CONFIG):)")
_BARE = re.compile(r"[ \t]*(DETECTOR_(?:FAST_AXIS|SLOW_AXIS|NORMAL_AXIS|PIX0_VECTOR))(?:[ \t]+(.*)|)$")
_NAMED = re.compile(r"[ \t]*([A-Za-z_]\w*)(?:[ \t]*=[ \t]*|[ \t]+|$)(.*)$", re.ASCII)
_INDEXED = re.compile(r"[ \t]*(\d{1,6}):[ \t]+(?=[A-Za-z_])", re.ASCII)  # TRACE_PY_SOURCE 1: name value
_PIXEL = re.compile(r"spixel=(\d{1,9}), *fpixel=(\d{1,9})\)", re.ASCII)
_LABELLED = re.compile(r"([A-Za-z]\w*):([^:]*)", re.ASCII)
_FIELD = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_NONFINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_BLANKS = " \t"
_TEXT_NAMES = frozenset({"detector_convention", "convention_mapping"})


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One occurrence of a traced quantity.

    `values` are in printed order (3 of a vector, 9 of a matrix, row by row) and empty for a text
    value, whose raw ASCII text is `text`. `occurrence` counts from 0 per name, `line` from 1.
    A grouped line's name has its group in front: "SOURCE2.F_latt"; a labelled value its label
    behind: "angles_rad.rotx".
    """

    name: str
    values: tuple[float, ...]
    occurrence: int
    line: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class PhiRecord:
    """One PREFIX_PHI row: `values` are its fields but phi_tic; `occurrence` counts per phi_tic."""

    phi_tic: int
    values: dict[str, float]
    occurrence: int
    line: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A trace line that gave no number, and why. name: of what it would have held, as far as the line goes.

    cut: the name may be cut short; then any that begins so may have been meant.
    """

    line: int
    reason: str
    name: str = ""
    cut: bool = False

    def may_hold(self, name: str) -> bool:
        return name.startswith(self.name) if self.cut else name == self.name


@dataclass(frozen=True)
class Trace:
    """What one log says about one pixel. `pixel` is (slow, fast), None where the log does not say.

    ours: the log says that its names and units are ours already.
    """

    source: str
    prefix: str
    pixel: tuple[int, int] | None
    records: tuple[TraceRecord, ...]
    phi_rows: tuple[PhiRecord, ...]
    skipped: tuple[Skipped, ...]
    ignored: int  # lines that are no trace
    ours: bool = False

    @cached_property
    def _by_name(self) -> dict[str, tuple[TraceRecord, ...]]:
        by_name: dict[str, list[TraceRecord]] = {}
        for record in self.records:
            by_name.setdefault(record.name, []).append(record)
        return {name: tuple(records) for name, records in by_name.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order of first occurrence; PHI rows are not among them."""
        return tuple(self._by_name)

    def occurrences(self, name: str) -> tuple[TraceRecord, ...]:
        """Every record of `name`, text values included."""
        return self._by_name.get(name, ())

    def numbers(self, name: str) -> tuple[TraceRecord, ...]:
        """The records of `name` that hold numbers."""
        return tuple(record for record in self.occurrences(name) if record.values)


@dataclass(frozen=True)
class Inspection:
    """Return whether a trace has what a scaling comparison needs; `problems` are lines for a reader."""

    source: str
    counts: dict[str, int]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def number(token: str) -> float | None:
    """The float64 that `token` spells in C's decimal form, else None.

    NaN and infinities count when spelled so. A decimal that float64 cannot hold (1e999, 1e-999)
    is None: its infinity or zero would be a number that the file does not have.
    """
    if _NONFINITE.fullmatch(token):
        return float(token)
    match = _NUMBER.fullmatch(token) if len(token) <= 64 else None
    if match is None:
        return None
    value = float(token)
    lost = math.isinf(value) or (value == 0.0 and match[1].strip("0.") != "")
    return None if lost else value


def read_trace(path: str | Path, source: str | None = None) -> Trace:
    """`parse_trace` of a file or a pipe; `source` names it in messages and reports, by default the path itself.

    Raises BadInput (one line) where it cannot be read or holds no trace.
    """
    path = Path(path)
    source = str(path) if source is None else source
    data = read_stream(path, source, "a trace file", MAX_BYTES)
    if len(data) > MAX_BYTES:
        raise BadInput(f"{source}: expected a trace of at most {MAX_BYTES >> 20} MiB, got a larger file")
    return parse_trace(data, source)


def parse_trace(data: bytes, source: str) -> Trace:
    """The trace in `data`; `source` names it in messages.

    Raises BadInput for an empty file, one without a trace line, and one that mixes TRACE_C with
    TRACE_PY or holds two pixels.
    """
    if not data.strip():
        raise BadInput(f"{source}: expected lines that begin with TRACE_C or TRACE_PY, got an empty file")
    if b"TRACE_" not in data and b"\0" in data:  # known at once, however long it is
        raise BadInput(f"{source}: expected lines that begin with TRACE_C or TRACE_PY, got binary data")
    reader = _TraceReader(source)
    lines = data.decode("ascii", "backslashreplace").split("\n")
    unfinished = lines.pop()  # empty where the file ends with a line end
    for line, text in enumerate(lines, start=1):
        for part in text.split("\r"):
            reader.read(line, part)
    parts = unfinished.split("\r")
    for part in parts[:-1]:
        reader.read(len(lines) + 1, part)
    reader.read_torn(len(lines) + 1, parts[-1])
    if reader.prefix is None:
        got = f"none in {len(lines) + bool(unfinished)} lines"
        if b"\0" in data:
            got = "binary data"
        raise BadInput(f"{source}: expected lines that begin with TRACE_C or TRACE_PY, got {got}")
    return replace(reader.trace(), ours=data.startswith(OURS))


class _TraceReader:
    """What parse_trace has gathered so far."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.prefix: str | None = None
        self.pixel: tuple[int, int] | None = None
        self.records: list[TraceRecord] = []
        self.phi_rows: list[PhiRecord] = []
        self.skipped: list[Skipped] = []
        self.ignored = 0
        self.seen: Counter[str] = Counter()

    def trace(self) -> Trace:
        assert self.prefix is not None
        return Trace(
            source=self.source,
            prefix=self.prefix,
            pixel=self.pixel,
            records=tuple(self.records),
            phi_rows=tuple(self.phi_rows),
            skipped=tuple(self.skipped),
            ignored=self.ignored,
        )

    def read(self, line: int, text: str) -> None:
        marks = list(_MARK.finditer(text))
        if not marks:
            bare = _BARE.match(text)
            if bare:
                self._record(line, bare[1], bare[2] or "")
            elif text.strip():
                self.ignored += 1
            return
        ends = [mark.start() for mark in marks[1:]] + [len(text)]
        bodies = [text[mark.end() : end] for mark, end in zip(marks, ends)]
        before = text[: marks[0].start()]
        prose = bool(before.strip()) and before[-1].isspace()
        if prose and not any(_holds_numbers(mark, body) for mark, body in zip(marks, bodies)):
            self.ignored += 1
            return
        if bare := _BARE.match(before):
            self._skip(line, f"another trace line begins inside it: {_shown(text)}", bare[1])
        for i, (mark, body) in enumerate(zip(marks, bodies)):
            self._segment(line, mark, body, torn=i + 1 < len(marks))

    def read_torn(self, line: int, text: str) -> None:
        """The last line of a file without a final line end: its last number may be cut short."""
        marks = list(_MARK.finditer(text))
        if marks or _BARE.match(text):
            if marks and marks[-1][1]:
                self._claim(line, marks[-1][1])
            named = _NAMED.match(text[marks[-1].end() :] if marks else text)
            name = f"{marks[-1][2]}." if marks and marks[-1][2] else ""
            reason = "the last line has no line end: its last value may be cut short"
            self._skip(line, reason, name + (named[1] if named else ""), cut=True)

    def _segment(self, line: int, mark: re.Match[str], body: str, torn: bool) -> None:
        if mark[1]:
            self._claim(line, mark[1])
        group = mark[2]
        if group and (indexed := _INDEXED.match(body)):
            group, body = group + indexed[1], body[indexed.end() :]
        if torn:
            named = _NAMED.match(body)
            name = (f"{mark[2]}." if mark[2] else "") + (named[1] if named else "")
            self._skip(line, f"another trace line begins inside it: {_shown(mark[0] + body)}", name, cut=True)
            if mark[1] and not mark[2] and named:
                self._add(line, named[1], (), named[2])
        elif mark[3] or mark[2] == "CONFIG":
            self._config(line, body)
        elif mark[2] == "PHI":
            self._phi(line, body)
        elif group and (fields := _fields(body)):
            for name, text in fields:
                self._value(line, f"{group}.{name}", text)
        else:
            named = _NAMED.match(body)
            if named is None:
                self._skip(line, f"expected a name after {mark[0]}, got {_shown(body)}", cut=True)
            else:
                self._record(line, f"{group}.{named[1]}" if group else named[1], named[2])

    def _claim(self, line: int, prefix: str) -> None:
        if self.prefix not in (None, prefix):
            raise BadInput(f"{self.source}:{line}: expected {self.prefix} lines only, got {prefix}")
        self.prefix = prefix

    def _skip(self, line: int, reason: str, name: str = "", cut: bool = False) -> None:
        self.skipped.append(Skipped(line, reason, name, cut))

    def _add(self, line: int, name: str, values: tuple[float, ...], text: str | None = None) -> None:
        self.records.append(TraceRecord(name, values, self.seen[name], line, text))
        self.seen[name] += 1

    def _config(self, line: int, body: str) -> None:
        match = _PIXEL.search(body)
        if match is None:
            self._skip(line, f"expected (spixel=S, fpixel=F), got {_shown(body)}")
            return
        pixel = (int(match[1]), int(match[2]))
        if self.pixel not in (None, pixel):
            raise BadInput(f"{self.source}:{line}: expected one traced pixel, got slow, fast {self.pixel} and {pixel}")
        self.pixel = pixel

    def _phi(self, line: int, body: str) -> None:
        texts = _fields(body)
        values = {name: number(text) for name, text in texts}
        fields = {name: value for name, value in values.items() if value is not None}
        tic = fields.pop("phi_tic", math.nan)
        if not tic.is_integer() or not fields or len(fields) + 1 != len(texts):
            self._skip(line, f"expected phi_tic=INTEGER and key=number fields, got {_shown(body)}", "PHI.", cut=True)
            return
        key = f"PHI {int(tic)}"
        self.phi_rows.append(PhiRecord(int(tic), fields, self.seen[key], line))
        self.seen[key] += 1

    def _record(self, line: int, name: str, text: str) -> None:
        labelled = [_LABELLED.fullmatch(token) for token in _tokens(text)]
        if labelled and all(labelled):
            for match in labelled:
                if match:
                    self._value(line, f"{name}.{match[1]}", match[2])
        else:
            self._value(line, name, text.strip(_BLANKS))

    def _value(self, line: int, name: str, text: str) -> None:
        values = _numbers(text)
        self._add(line, name, values or (), None if values else text)
        if not values and name not in _TEXT_NAMES:
            self._skip(line, f"{name}: expected numbers, got {_shown(text)}", name)


def _holds_numbers(mark: re.Match[str], body: str) -> bool:
    """Return whether what follows the prefix is a traced value, and not the rest of a sentence."""
    if mark[3] or mark[2] == "CONFIG":
        return _PIXEL.search(body) is not None
    named = _NAMED.match(body)
    return bool(mark[2] and _fields(body)) or (named is not None and _numbers(named[2].strip(_BLANKS)) is not None)


def _numbers(text: str) -> tuple[float, ...] | None:
    """The numbers of "1 2 3" or of a matrix "[a b c; d e f; g h i]"; None unless all are numbers."""
    if text.startswith("["):
        rows = [_tokens(row) for row in text[1:-1].split(";")]
        if not text.endswith("]") or len({len(row) for row in rows}) != 1 or len(rows) != len(rows[0]):
            return None
        tokens = [token for row in rows for token in row]
    else:
        tokens = _tokens(text)
    values = [number(token) for token in tokens]
    if not values or None in values:
        return None
    return tuple(value for value in values if value is not None)


def _tokens(text: str) -> list[str]:
    """Split at blanks alone: str.split() would also cut a number at a stray control byte."""
    return re.split(r"[ \t]+", text.strip(_BLANKS)) if text.strip(_BLANKS) else []


def _fields(body: str) -> list[tuple[str, str]]:
    """`key=value key=value value`: each key with the text up to the next key; else empty."""
    fields: list[tuple[str, list[str]]] = []
    for token in _tokens(body):
        match = _FIELD.fullmatch(token)
        if match:
            fields.append((match[1], [match[2]]))
        elif fields:
            fields[-1][1].append(token)
        else:
            return []
    return [(name, " ".join(tokens).strip(_BLANKS)) for name, tokens in fields]


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:57] + "...")


def inspect_trace(trace: Trace) -> Inspection:
    """Are the nine factors there, and of a TRACE_PY log both polar values?

    Each once where the trace shows a single subpixel, else at least once; each a finite number.
    PRE_POLAR stands for I_before_scaling in a TRACE_PY log.
    """
    single = len(trace.occurrences("pixel_pos_meters")) <= 1
    port = trace.prefix == "TRACE_PY"
    wanted = [*FACTOR_NAMES, *((PRE_POLAR, POST_POLAR) if port else ())]
    counts: dict[str, int] = {}
    problems: list[str] = []
    for name in wanted:
        records = trace.numbers(name)
        if name == "I_before_scaling" and port and not records:
            records = trace.numbers(PRE_POLAR)
        counts[name] = len(records)
        if not records or (single and len(records) != 1):
            expected = "once" if single else "at least once"
            problems.append(f"{trace.source}: expected {name} {expected}, got it {len(records)} times")
        for record in records:
            if len(record.values) != 1 or not math.isfinite(record.values[0]):
                got = " ".join(f"{value:.15g}" for value in record.values)
                problems.append(f"{trace.source}:{record.line}: expected one finite {name}, got {got}")
    return Inspection(trace.source, counts, tuple(problems))
