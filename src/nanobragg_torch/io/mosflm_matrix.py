"""MOSFLM orientation matrix: nine numbers, three rows (semantics 2.1)."""

import math
import re
from pathlib import Path

from nanobragg_torch.errors import InputError
from nanobragg_torch.io.inputs import read_text
from nanobragg_torch.io.numbers import number

_WORD = re.compile(r"[^ \t\n\v\f\r]+")


def read_matrix(path: Path) -> tuple[float, ...]:
    """Return the first nine numbers of `path`, row by row; what follows is ignored, as in the reference.

    Raises InputError when the file cannot be read, holds fewer than nine numbers, or axes in one plane (Q21:
    the reference goes on with an undefined cell).
    """
    text = read_text(path, per_byte=2)
    numbers: list[float] = []
    for match in _WORD.finditer(text):
        if len(numbers) == 9:
            break
        numbers.append(_number(path, text.count("\n", 0, match.start()) + 1, match[0], len(numbers)))
    if len(numbers) < 9:
        raise InputError(f"{path}:{max(len(text.splitlines()), 1)}: expected 9 numbers, got {len(numbers)}")
    if not _volume(numbers) > 1e-9:
        raise InputError(f"{path}: expected three independent axes, got a cell without volume")
    return tuple(numbers)


def _volume(matrix: list[float]) -> float:
    """Return the volume that the three columns span, relative to the product of their lengths: 0 to 1."""
    a, b, c = (matrix[i::3] for i in range(3))
    cross = (b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0])
    lengths = math.hypot(*a) * math.hypot(*b) * math.hypot(*c)
    return abs(sum(x * y for x, y in zip(a, cross))) / lengths if lengths > 0 else 0.0


def _number(path: Path, line: int, word: str, position: int) -> float:
    value = number(word)
    if value is None:
        shown = ascii(word if len(word) <= 40 else word[:40] + "...")
        raise InputError(f"{path}:{line}: expected a number ({position + 1} of 9), got {shown}")
    return value
