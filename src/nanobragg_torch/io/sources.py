"""Column files, above all the source file: X Y Z weight wavelength (semantics 2.5)."""

import re
from pathlib import Path

from nanobragg_torch.errors import InputError

Row = tuple[float | None, ...]

_DELIMITERS = " \t,;:!"
_NUMERIC = re.compile(r"[0-9+\-.EGeg]*")
_LEADING = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?)")
_SOURCES = "sources (X Y Z weight wavelength)"


def read_sources(path: Path, *, comments: bool = False) -> list[Row]:
    """One row of five per line, None for what a line lacks. Raises InputError when there is none.

    By default as the reference reads it: '#' is no comment marker, and a line that a bare newline does not
    end has its missing columns filled with 0 (Q12). With `comments` a '#' starts a comment, any line end
    ends a line, and a word that is no number is an error.
    """
    return _read_lines(path) if comments else read_columns(path, _SOURCES, 5)


def read_columns(path: Path, what: str, columns: int) -> list[Row]:
    """Rows of `columns` numbers as the reference's column reader takes them from `path`."""
    # a line ends at \n only; splitlines would end it at a lone CR or a form feed too
    lines = re.findall(r"[^\n]*\n|[^\n]+", _text(path))
    rows = [_row(line, columns) for line in lines if line.strip(_DELIMITERS) != "\n"]
    if not rows:
        raise InputError(f"{path}:1: expected {what}, got none")
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("latin-1")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _row(line: str, columns: int) -> Row:
    found: list[float | None] = [None] * columns
    cursor = _skip(line, 0)
    for column in range(columns):
        match = _LEADING.match(line, cursor)
        found[column] = float(match.group()) if match else 0.0
        cursor = _NUMERIC.match(line, cursor).end()  # type: ignore[union-attr]
        if line[cursor:] == "\n":
            break
        while cursor < len(line) and line[cursor] not in _DELIMITERS:
            cursor += 1
        cursor = _skip(line, cursor)
        if line[cursor : cursor + 1] == "\n":
            break
    return tuple(found)


def _skip(line: str, cursor: int) -> int:
    while cursor < len(line) and line[cursor] in _DELIMITERS:
        cursor += 1
    return cursor


def _read_lines(path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        words = re.split(rf"[{_DELIMITERS}]+", line.partition("#")[0].strip(_DELIMITERS))[:5]
        if words == [""]:
            continue
        values = tuple(_number(path, number, word) for word in words)
        if len(values) == 5 and values[4] <= 0.0:
            raise InputError(f"{path}:{number}: expected a wavelength above 0 m, got {words[4]}")
        rows.append(values + (None,) * (5 - len(values)))
    if not rows:
        raise InputError(f"{path}:1: expected {_SOURCES}, got none")
    return rows


def _number(path: Path, number: int, word: str) -> float:
    if not _LEADING.fullmatch(word):
        raise InputError(f"{path}:{number}: expected {_SOURCES}, got {word[:40]!a}")
    return float(word)
