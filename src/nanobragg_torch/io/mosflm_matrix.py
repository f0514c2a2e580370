"""MOSFLM orientation matrix: nine numbers, three rows (semantics 2.1)."""

import math
from pathlib import Path

from nanobragg_torch.errors import InputError


def read_matrix(path: Path) -> tuple[float, ...]:
    """The first nine numbers of `path`, row by row; what follows is ignored, as in the reference.

    Raises InputError when the file cannot be read, holds fewer than nine numbers, or axes in one plane (Q21:
    the reference goes on with an undefined cell).
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    found: list[float] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        for word in line.split():
            if len(found) == 9:
                break
            found.append(_number(path, number, word, len(found)))
    if len(found) < 9:
        raise InputError(f"{path}:{max(len(lines), 1)}: expected 9 numbers, got {len(found)}")
    if not _volume(found) > 1e-9:
        raise InputError(f"{path}: expected three independent axes, got a cell without volume")
    return tuple(found)


def _volume(matrix: list[float]) -> float:
    """Of the cell that the columns span, relative to the product of their lengths."""
    a, b, c = (matrix[i::3] for i in range(3))
    cross = (b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0])
    lengths = math.hypot(*a) * math.hypot(*b) * math.hypot(*c)
    return abs(sum(x * y for x, y in zip(a, cross))) / lengths if lengths > 0 else 0.0


def _number(path: Path, line: int, word: str, position: int) -> float:
    expected = f"expected a number ({position + 1} of 9), got"
    try:
        value = float(word)
    except ValueError:
        raise InputError(f"{path}:{line}: {expected} {_shown(word)}") from None
    if not math.isfinite(value):
        raise InputError(f"{path}:{line}: {expected} {_shown(word)}")
    return value


def _shown(word: str) -> str:
    return ascii(word if len(word) <= 40 else word[:40] + "...")
