# ruff: noqa: E741 -- l is a Miller index
"""Reflection list: h k l F (semantics 2.3)."""

import io
import math
import re
import warnings
from pathlib import Path

import numpy as np

from nanobragg_torch.config import Reflections
from nanobragg_torch.errors import InputError
from nanobragg_torch.io.inputs import read_text
from nanobragg_torch.io.room import require_room
from nanobragg_torch.quirks import Quirks

_COLUMNS = np.dtype([("h", np.int64), ("k", np.int64), ("l", np.int64), ("F", np.float64)])
_LARGEST_GRID = 2**31  # cells of the index box: more is a mistyped index, not a crystal
_EXPECTED = "expected h k l F (three integers and a number)"
_REAL = re.compile(r"\s*([+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan))", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"\s*([+-]?\d+)", re.ASCII)
_BLANKS = re.compile(r"[ \t\v\f]+")
_PLAIN = bytes((*range(9, 14), *range(32, 127)))  # numpy takes some other characters for blanks
_PER_BYTE, _PER_BYTE_SLOWLY = 20, 48  # bytes of memory, where a line has eight


def read_hkl(path: Path, quirks: Quirks | None = None) -> Reflections:
    """Read a reflection list: lines of h k l F.

    Where nobody asked for Q10 or Q11, every line holds four numbers, the first three of them integers; all else is an
    error. Otherwise:

    Q10: in groups of four numbers wherever the lines end, up to the first word that is none; off: one a line, where
    further columns and # comments are skipped. Q11: an index that is not written as an integer ends the list, though
    the box counts what follows; off: it is read as a number.

    Args:
        path: the list.
        quirks: the switches; None is as the command line without --mode and --quirk.

    Returns:
        The reflections in the order of the file, and their box of indices.

    Raises:
        InputError: where there is no reflection, and for a line that is none.
        DoesNotFit: for too many.
    """
    quirks = quirks or Quirks()
    text = read_text(path, per_byte=_PER_BYTE)
    fast = _all_alike(path, text)
    if fast is not None:
        return fast
    require_room(_PER_BYTE_SLOWLY * len(text), f"{path}, {len(text)} bytes")
    if quirks.strict("Q10", "Q11"):
        return _strictly(path, text)
    return _by_tokens(path, text, quirks.on("Q11")) if quirks.on("Q10") else _by_lines(path, text, quirks.on("Q11"))


def _all_alike(path: Path, text: str) -> Reflections | None:
    """Read a list by numpy, quickly; return None unless every line holds three integers, a number and nothing else."""
    if not text.isascii() or text.encode().translate(None, _PLAIN):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            warnings.simplefilter("ignore", UserWarning)
            table = np.loadtxt(io.StringIO(text), dtype=_COLUMNS, comments=None, ndmin=1)
    except (ValueError, OverflowError, DeprecationWarning):
        return None
    if table.size == 0:
        raise InputError(f"{path}:1: expected reflections (h k l F), got none")
    hkl, f = np.stack([table["h"], table["k"], table["l"]], axis=1), table["F"]
    if not np.isfinite(f).all() or hkl.max() >= 1e9 or hkl.min() <= -1e9:
        return None
    return _boxed(path, hkl, f, hkl)


def _boxed(path: Path, hkl: np.ndarray, f: np.ndarray, counted: np.ndarray, warning: str = "") -> Reflections:
    """Return the record of a list. counted: the indices (n, 3) whose extremes are the box, perhaps more than `hkl`."""
    low, high = counted.min(axis=0), counted.max(axis=0)
    (h, k, l), (h_n, k_n, l_n) = low.tolist(), (high - low + 1).tolist()
    if (h_n + 1) * (k_n + 1) * (l_n + 1) > _LARGEST_GRID:
        raise InputError(f"{path}: expected indices of one crystal, got a box of {(h_n, k_n, l_n)} indices")
    return Reflections(hkl, f, (h, k, l), (h_n, k_n, l_n), warning)


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n?|\n", text)


def _words(line: str) -> list[str]:
    return [word for word in _BLANKS.split(line) if word]


def _strictly(path: Path, text: str) -> Reflections:
    """Read a list of which every reader would make the same; refuse any other, with the switches that would take it."""
    rows = []
    for number, line in enumerate(_lines(text), start=1):
        words = _words(line)
        if words and not (len(words) == 4 and all(_WHOLE.fullmatch(word) for word in words[:3])):
            raise InputError(f"{path}:{number}: {_EXPECTED}, got {' '.join(words)[:60]!a}{_way_out(words)}")
        if words:
            rows.append(_reflection(path, number, line, words))
    return _finished(path, rows, [row[:3] for row in rows], "")


def _way_out(words: list[str]) -> str:
    """Return which switches would skip or take the line of `words`, to end a message with; empty if none would."""
    listed = _words(" ".join(words).partition("#")[0])
    if listed and not (len(listed) >= 4 and all(_REAL.fullmatch(word) for word in listed[:4])):
        return ""
    if not all(float(word) % 1 == 0 for word in listed[:3]):
        return ""
    hints = []
    if listed != words or len(words) > 4:
        hints.append("--quirk Q10=off skips # comments and further columns")
    if not all(_WHOLE.fullmatch(word) for word in listed[:3]):
        hints.append("--quirk Q11=off takes 1.0 for 1")
    return "".join(f"; {hint}" for hint in [*hints, "--mode c-parity reads as the reference does"])


def _by_lines(path: Path, text: str, whole: bool) -> Reflections:
    rows, ended, lost = [], False, ""
    counted = []
    for number, line in enumerate(_lines(text), start=1):
        words = _words(line.partition("#")[0])[:4]
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


def _by_tokens(path: Path, text: str, whole: bool) -> Reflections:
    """Read as the reference does: one pass for the box, of real numbers, and one for the list, of integers (Q10)."""
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
    """Return the groups of four numbers of these kinds, and where in `text` the first incomplete one begins."""
    rows: list[tuple[float, ...]] = []
    start = 0
    while True:
        cursor, row = start, []
        for kind in kinds:
            match = kind.match(text, cursor)
            if match is None:
                return rows, start
            row.append(float(match[1]))
            cursor = match.end()
        rows.append(tuple(row))
        start = cursor


def _finished(path: Path, rows: list[tuple[float, ...]], counted: list[tuple[float, ...]], lost: str) -> Reflections:
    if not counted:
        raise InputError(f"{path}:1: expected reflections (h k l F), got none")
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return _boxed(path, table[:, :3].astype(np.int64), table[:, 3], np.array(counted).astype(np.int64), lost)


def _line_of(text: str, position: int) -> int:
    """Return the number, from 1, of the line that the first word at or after `position` is on."""
    blank = len(text[position:]) - len(text[position:].lstrip())
    return text.count("\n", 0, position + blank) + 1


def _line_at(text: str, position: int) -> str:
    return " ".join(text[position:].lstrip().partition("\n")[0].split())[:60]
