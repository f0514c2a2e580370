"""What the files of a command line hold, read a second time: matrix, reflections, their dump, sources (semantics 2)."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np

from nanobragg_torch.config import Reflections, SourceRow
from nanobragg_torch.quirks import Quirks
from tools.scaling.oracle.reading.variables import real
from tools.scaling.oracle.uncovered import Uncovered

Index: TypeAlias = tuple[int, int, int]

_BLANK = b" \t\n\v\f\r"
_INT = r"\s*+([+-]?+\d++)"
_DECIMAL = r"[+-]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+"
_FLOAT = rf"\s*+({_DECIMAL}|[+-]?+(?i:inf|nan))"
_LISTED = re.compile(_INT * 3 + _FLOAT)
_COUNTED = re.compile(_FLOAT * 4)
_ORDINARY = re.compile(r"(?:\s*+" + r"[+-]?\d++\s++" * 3 + _DECIMAL + r"(?=\s|\Z))++\s*+")
_RARE = re.compile(r"0[xX]|[\d.][eE](?![+-]?\d)|(?i:nan|inf)[(\w]")  # which scanf reads in a way of its own
_DELIMITERS = " \t,;:!"
_NUMERIC = frozenset("0123456789-+.EGeg")


def read_matrix(path: Path) -> tuple[float, ...]:
    """Return the first nine numbers of a MOSFLM matrix (2.1): rows x, y, z; columns a*, b*, c* times the wavelength."""
    words = path.read_text(encoding="latin-1").split()[:9]
    if len(words) < 9:
        raise Uncovered(f"{path.name}: fewer than nine numbers")
    return tuple(real(word) for word in words)


def read_reflections(path: Path, quirks: Quirks) -> Reflections:
    """Return the reflections of a list, h k l F (2.3)."""
    return _reflections(path.read_text(encoding="latin-1"), quirks.on("Q10"), quirks.on("Q11"))


@lru_cache(maxsize=8)
def _reflections(text: str, by_tokens: bool, ending: bool) -> Reflections:
    """by_tokens: Q10 is on. ending: Q11 is on, an index written as 1.0 ends the list."""
    if not by_tokens:
        lines = (line.partition("#")[0].split()[:4] for line in text.splitlines())
        text = "\n".join(" ".join(line) for line in lines if line)
    if _ORDINARY.fullmatch(text):
        table = np.fromstring(text, sep=" ").reshape(-1, 4)
        indices = table[:, :3].astype(np.int64)
        return Reflections(indices, table[:, 3], *_limits(indices.min(0).tolist(), indices.max(0).tolist()))
    if found := _RARE.search(text):
        raise Uncovered(f"a number of the form {found[0]}")
    counted = _groups(_COUNTED, text)
    if not counted:
        raise Uncovered("a list without a reflection")
    listed = _groups(_LISTED, text) if ending else counted
    indices = np.array([[int(float(word)) for word in row[:3]] for row in listed], np.int64).reshape(-1, 3)
    lowest, counts = _box(counted)
    if ((indices < lowest) | (indices > np.add(lowest, counts))).any():
        raise Uncovered("a reflection that is written behind the grid")
    return Reflections(indices, np.array([float(row[3]) for row in listed]), lowest, counts)


def _groups(pattern: re.Pattern[str], text: str) -> list[tuple[str, ...]]:
    """Return what scanf reads until a group fails."""
    rows, at = [], 0
    while found := pattern.match(text, at):
        rows.append(found.groups())
        at = found.end()
    return rows


def _limits(lowest: list[int], highest: list[int]) -> tuple[Index, Index]:
    """Return the lowest index along h, k, l and how many there are."""
    counts = [high - low + 1 for low, high in zip(lowest, highest)]
    return (lowest[0], lowest[1], lowest[2]), (counts[0], counts[1], counts[2])


def _box(counted: list[tuple[str, ...]]) -> tuple[Index, Index]:
    """Return the limits of the groups of four numbers, whose indices need not be whole."""
    lowest, highest = [], []
    for axis in range(3):
        low, high = 1_000_000_000, -1_000_000_000
        for x in [float(row[axis]) for row in counted]:
            if not math.isfinite(x):
                raise Uncovered(f"an index {x}")
            low = math.trunc(x) if x < low else low
            high = math.trunc(x) if x > high else high
        lowest.append(low)
        highest.append(high)
    return _limits(lowest, highest)


def read_dump(path: Path, quirks: Quirks) -> Reflections:
    """Return the grid of an earlier run (2.7); with Q22 its first bytes are lost where they look like white space."""
    data = path.read_bytes()
    header = re.match(rb"\s*(-?\d+)" + rb"\s+(-?\d+)" * 5, data)
    if header is None:
        raise Uncovered(f"{path.name}: no dump")
    low_high = [int(word) for word in header.groups()]
    lowest, counts = _limits(low_high[::2], low_high[1::2])
    shape = tuple(count + 1 for count in counts)
    values = data[header.end() :]
    values = values.lstrip(_BLANK) if quirks.on("Q22") else values[2:]
    size = 8 * math.prod(shape)
    grid = np.frombuffer(values[:size].ljust(size, b"\0"), "<f8").reshape(shape)
    return Reflections(None, grid, lowest, counts)


def read_sources(path: Path, quirks: Quirks) -> tuple[SourceRow, ...]:
    """Return x, y, z, weight and wavelength of each source, None for what its line lacks (2.5)."""
    text = path.read_bytes().decode("latin-1")
    if not quirks.on("Q12"):
        lines = [f"{line.partition('#')[0].rstrip()}\n" for line in text.splitlines()]
    else:
        lines = text.splitlines(keepends=True) if "\r" not in text else re.findall(r"[^\n]*\n|[^\n]+", text)
    rows = (_columns(line) for line in lines)
    sources = tuple(row for row in rows if row is not None)
    if not sources:
        raise Uncovered(f"{path.name}: no source")
    return sources


def _columns(line: str) -> SourceRow | None:
    """The five columns of a line, None for a line that is skipped."""
    at = _skip(line, 0, _DELIMITERS)
    if line[at:] == "\n":
        return None
    columns: list[float | None] = [None] * 5
    for i in range(5):
        columns[i] = real(line[at:])
        at = _skip(line, at, _NUMERIC)
        if line[at:] == "\n":
            break
        while at < len(line) and line[at] not in _DELIMITERS:
            at += 1
        at = _skip(line, at, _DELIMITERS)
        if line[at : at + 1] == "\n":
            break
    return tuple(columns)


def _skip(line: str, at: int, characters: str | frozenset[str]) -> int:
    while at < len(line) and line[at] in characters:
        at += 1
    return at
