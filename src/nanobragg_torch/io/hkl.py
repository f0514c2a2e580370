# ruff: noqa: E741 -- l is a Miller index
"""Reflection list: h k l F (semantics 2.3)."""

import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nanobragg_torch.errors import InputError

_COLUMNS = np.dtype([("h", np.int64), ("k", np.int64), ("l", np.int64), ("F", np.float64)])
_LARGEST_GRID = 2**31  # cells of the index box: more is a mistyped index, not a crystal
_EXPECTED = "expected h k l F (three integers and a number)"
_REAL = re.compile(r"\s*([+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|nan))", re.IGNORECASE)
_WHOLE = re.compile(r"\s*([+-]?\d+)")


@dataclass(frozen=True)
class Reflections:
    """hkl: (n, 3) integers; F: (n,) structure factors, in the order of the file; lowest, counts: the box.

    warning: what the reference loses of the file without a word (Q10, Q11), else empty.
    """

    hkl: np.ndarray
    F: np.ndarray
    lowest: tuple[int, int, int]
    counts: tuple[int, int, int]
    warning: str = ""


def read_hkl(path: Path, *, tokens: bool = False, whole: bool = False, strict: bool = True) -> Reflections:
    """The reflections of `path`.

    strict: every line holds four numbers, the first three of them integers; all else is an error. Otherwise:

    tokens: in groups of four numbers wherever the lines end, up to the first word that is none (Q10), instead
    of one a line, where further columns and # comments are skipped. whole: an index that is not written as
    an integer ends the list, though the box counts what follows (Q11), instead of being read as a number.
    Raises InputError where there is no reflection, and for a line that is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            warnings.simplefilter("ignore", UserWarning)
            table = np.loadtxt(path, dtype=_COLUMNS, comments=None, encoding="latin-1", ndmin=1)
        if table.size == 0:
            raise InputError(f"{path}:1: expected reflections (h k l F), got none")
        hkl, f = np.stack([table["h"], table["k"], table["l"]], axis=1), table["F"]
        if np.isfinite(f).all() and np.abs(hkl).max() < 1e9:
            return _boxed(path, hkl, f, hkl)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, OverflowError, DeprecationWarning):
        pass
    if strict:
        return _strictly(path)
    return _by_tokens(path, whole) if tokens else _by_lines(path, whole)


def _boxed(path: Path, hkl: np.ndarray, f: np.ndarray, counted: np.ndarray, warning: str = "") -> Reflections:
    """counted: the indices that make the box."""
    low, high = counted.min(axis=0), counted.max(axis=0)
    counts = tuple(int(count) for count in high - low + 1)
    if np.prod([float(count) for count in counts]) > _LARGEST_GRID:
        raise InputError(f"{path}: expected indices of one crystal, got a box of {counts} indices")
    h, k, l = (int(index) for index in low)
    return Reflections(hkl, f, (h, k, l), (counts[0], counts[1], counts[2]), warning)


def _strictly(path: Path) -> Reflections:
    """Only what every reader would read alike."""
    rows = []
    with path.open(encoding="latin-1") as stream:
        for number, line in enumerate(stream, start=1):
            words = line.split()
            if words and not (len(words) == 4 and all(_WHOLE.fullmatch(word) for word in words[:3])):
                raise InputError(f"{path}:{number}: {_EXPECTED}, got {' '.join(words)[:60]!a}")
            if words:
                rows.append(_reflection(path, number, line, words))
    return _finished(path, rows, [row[:3] for row in rows], "")


def _by_lines(path: Path, whole: bool) -> Reflections:
    rows, ended, lost = [], False, ""
    counted = []
    with path.open(encoding="latin-1") as stream:
        for number, line in enumerate(stream, start=1):
            words = line.partition("#")[0].split()[:4]
            if not words:
                continue
            values = _reflection(path, number, line, words)
            counted.append(values[:3])
            if whole and not all(_WHOLE.fullmatch(word) for word in words[:3]) and not ended:
                ended, lost = True, f"{path}:{number}: the list ends at an index that is not an integer (Q11)"
            if not ended:
                rows.append(values)
    return _finished(path, rows, counted, lost)


def _reflection(path: Path, number: int, line: str, words: list[str]) -> tuple[float, ...]:
    shown = " ".join(line.split())[:60]
    if len(words) < 4 or not all(_REAL.fullmatch(word) for word in words):
        raise InputError(f"{path}:{number}: {_EXPECTED}, got {shown!a}")
    values = tuple(float(word) for word in words)
    if not all(map(math.isfinite, values)) or any(x != round(x) or abs(x) >= 1e9 for x in values[:3]):
        raise InputError(f"{path}:{number}: {_EXPECTED}, got {shown!a}")
    return values


def _by_tokens(path: Path, whole: bool) -> Reflections:
    """As the reference: one pass for the box with real numbers, one for the list with integers."""
    text = path.read_text(encoding="latin-1")
    counted, end = _groups(text, (_REAL,) * 4)
    rows, stop = (counted, end) if not whole else _groups(text, (_WHOLE, _WHOLE, _WHOLE, _REAL))
    if not counted:
        raise InputError(f"{path}:{_line_of(text, 0)}: {_EXPECTED}, got {_line_at(text, 0)!a}")
    if not np.isfinite(counted).all() or np.abs(np.array(counted)[:, :3]).max() >= 1e9:
        raise InputError(f"{path}: {_EXPECTED} on every line")
    if not whole:
        for row in rows:
            if any(x != round(x) for x in row[:3]):
                raise InputError(f"{path}: {_EXPECTED}, got {' '.join(f'{x:g}' for x in row)!a}")
    lost = ""
    if text[stop:].strip():
        at = _line_of(text, stop)
        lost = f"{path}:{at}: the list ends here, before {_line_at(text, stop)!a}: {len(rows)} reflections (Q10, Q11)"
    elif max(len(line.split()) for line in text.splitlines()) != 4:
        lost = f"{path}: lines are not of four columns, reflections may be shifted (Q10)"
    return _finished(path, rows, [row[:3] for row in counted], lost)


def _groups(text: str, kinds: tuple[re.Pattern[str], ...]) -> tuple[list[tuple[float, ...]], int]:
    """Groups of numbers of these kinds, and where the first one that is incomplete begins."""
    found: list[tuple[float, ...]] = []
    start = 0
    while True:
        cursor, row = start, []
        for kind in kinds:
            match = kind.match(text, cursor)
            if match is None:
                return found, start
            row.append(float(match[1]))
            cursor = match.end()
        found.append(tuple(row))
        start = cursor


def _finished(path: Path, rows: list[tuple[float, ...]], counted: list[tuple[float, ...]], lost: str) -> Reflections:
    if not counted:
        raise InputError(f"{path}:1: expected reflections (h k l F), got none")
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return _boxed(path, table[:, :3].astype(np.int64), table[:, 3], np.array(counted).astype(np.int64), lost)


def _line_of(text: str, position: int) -> int:
    """Number of the line of the first word at or after `position`."""
    blank = len(text[position:]) - len(text[position:].lstrip())
    return text.count("\n", 0, position + blank) + 1


def _line_at(text: str, position: int) -> str:
    return " ".join(text[position:].lstrip().partition("\n")[0].split())[:60]
