"""Files of columns of numbers, above all the source file: X Y Z weight wavelength (semantics 2.5)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from nanobragg_torch.errors import InputError
from nanobragg_torch.io.inputs import read_text
from nanobragg_torch.io.numbers import number
from nanobragg_torch.quirks import Quirks

SourceLine = tuple[float | None, ...]

_DELIMITERS = " \t,;:!"
_NUMERIC = re.compile(r"[0-9+\-.EGeg]*")
_LEADING = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SOURCES = "sources (X Y Z weight wavelength)"
_WAY_OUT = "; --quirk Q12=off skips # comments and takes any line end; --mode c-parity reads as the reference does"
_PER_BYTE = 64  # bytes of memory, of rows of two bytes each
_SHORTEST, _LONGEST = 1e-16, 1e-6  # m; what is beyond is in Angstrom, nm or keV


@dataclass(frozen=True)
class SourceList:
    """The sources of a file.

    rows: of each source X Y Z (m), weight and wavelength (m), None for what its line lacks. warnings: a line for each
    thing about them that nobody means.
    """

    rows: list[SourceLine]
    warnings: tuple[str, ...] = ()


def read_sources(path: Path, quirks: Quirks | None = None) -> SourceList:
    """Return the sources in `path`, one of each line; of a position (m) the direction counts.

    Where nobody asked for Q12, only what the reference and every other reader would read alike. With Q12 off a '#'
    starts a comment, and any line end ends a line. Either way a line that no source can have is an error: no
    direction, a wavelength that is not above 0 or surely not in metres. With Q12 asked for, the file is read as the
    reference reads it, and the warnings say what comes of it. With Q13 off, weights below 0 or all 0 are an error.

    Raises InputError, also where there is no source.
    """
    quirks = quirks or Quirks()
    if quirks.strict("Q12") or not quirks.on("Q12"):
        rows, warnings = _by_lines(path, strict=quirks.on("Q12")), []
    else:
        rows = read_columns(path, _SOURCES, 5)
        warnings = [f"{path}: {said} (Q12)" for said in _damage(rows)]
    weights = [1.0 if row[3] is None else row[3] for row in rows]
    if quirks.on("Q13"):
        if len(set(weights)) > 1:
            warnings.append(f"{path}: the weights have no effect, all sources count the same (Q13)")
    elif min(weights) < 0.0 or not 0.0 < sum(weights) < math.inf:
        raise InputError(f"{path}: expected weights of at least 0, not all of them 0, got {_few(weights)}")
    return SourceList(rows, tuple(warnings))


def read_columns(path: Path, what: str, columns: int) -> list[SourceLine]:
    """Return rows of `columns` numbers as the reference's column reader takes them from `path`.

    '#' is no comment marker, and a line that a bare newline does not end has its missing columns filled with 0 (Q12).
    Raises InputError when there is no row.
    """
    # a line ends at \n only; splitlines would end it at a lone CR or a form feed too
    lines = re.findall(r"[^\n]*\n|[^\n]+", read_text(path, per_byte=_PER_BYTE))
    rows = [_row(line, columns) for line in lines if line.strip(_DELIMITERS) != "\n"]
    if not rows:
        raise InputError(f"{path}:1: expected {what}, got none")
    return rows


def _row(line: str, columns: int) -> SourceLine:
    numbers: list[float | None] = [None] * columns
    cursor = _skip(line, 0)
    for column in range(columns):
        match = _LEADING.match(line, cursor)
        numbers[column] = float(match.group()) if match else 0.0
        cursor = _NUMERIC.match(line, cursor).end()  # type: ignore[union-attr]
        if line[cursor:] == "\n":
            break
        while cursor < len(line) and line[cursor] not in _DELIMITERS:
            cursor += 1
        cursor = _skip(line, cursor)
        if line[cursor : cursor + 1] == "\n":
            break
    return tuple(numbers)


def _skip(line: str, cursor: int) -> int:
    while cursor < len(line) and line[cursor] in _DELIMITERS:
        cursor += 1
    return cursor


def _damage(rows: list[SourceLine]) -> list[str]:
    """Return a line for each thing that nobody means in what the reference reads."""
    dark = sum(row[4] == 0.0 for row in rows)
    lost = sum(row[:3] == (0.0, 0.0, 0.0) for row in rows)
    long = [row[4] for row in rows if row[4] is not None and row[4] > _LONGEST]
    lines = []
    if dark:
        lines.append(f"{dark} of {len(rows)} sources have the wavelength 0: pixels are NaN")
    if lost:
        lines.append(f"{lost} of {len(rows)} sources are at 0 0 0, in no direction")
    if long:
        lines.append(f"a wavelength of {long[0]:g} is taken for metres")
    return lines


def _by_lines(path: Path, *, strict: bool) -> list[SourceLine]:
    """Return a row for each line of numbers in `path`.

    strict: refuse what the reference would read as something else, and name the switches that would take it.
    """
    rows = []
    text = read_text(path, per_byte=_PER_BYTE)
    lines = re.findall(r"[^\n]*\n|[^\n]+", text) if strict else re.split(r"\r\n?|\n", text)
    for at, line in enumerate(lines, start=1):
        words = [word for word in re.split(rf"[{_DELIMITERS}\v\f\r\n]+", line.partition("#")[0]) if word][:5]
        values = [number(word) for word in words]
        if None in values:
            raise InputError(f"{path}:{at}: expected {_SOURCES}, got {_shown(words[values.index(None)])}")
        if strict and _reference(line) != ((*values, *[None] * (5 - len(values))) if values else None):
            raise InputError(f"{path}:{at}: expected {_SOURCES}, got {_shown(line)}{_WAY_OUT}")
        if values:
            rows.append(_checked(f"{path}:{at}", [value for value in values if value is not None], words))
    if not rows:
        raise InputError(f"{path}:1: expected {_SOURCES}, got none")
    return rows


def _reference(line: str) -> SourceLine | None:
    """Return the row that the reference makes of a line; None for a line that it skips."""
    return None if line.strip(_DELIMITERS) == "\n" else _row(line, 5)


def _checked(where: str, values: list[float], words: list[str]) -> SourceLine:
    # squares of what is beyond leave float64
    if not 1e-100 < math.hypot(*values[:3]) < 1e100:
        raise InputError(f"{where}: expected a position X Y Z in some direction, got {' '.join(words[:3])}")
    if len(values) == 5 and values[4] <= 0.0:
        raise InputError(f"{where}: expected a wavelength above 0 m, got {words[4]}")
    if len(values) == 5 and not _SHORTEST < values[4] <= _LONGEST:
        raise InputError(f"{where}: expected a wavelength in metres, such as 1e-10, got {words[4]}: in Angstrom?")
    return (*values, *(None,) * (5 - len(values)))


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return ascii(text if len(text) <= 60 else text[:60] + "...")


def _few(numbers: list[float]) -> str:
    return " ".join(f"{x:g}" for x in numbers[:5]) + (" ..." if len(numbers) > 5 else "")
