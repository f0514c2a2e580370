"""The cell that a MOSFLM matrix file states behind its matrix, against the cell that follows from the matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from nanobragg_torch.io.inputs import read_text
from nanobragg_torch.io.numbers import number

Cell = tuple[float, ...]  # a b c in Angstrom, alpha beta gamma in degrees

_LENGTHS, _DEGREES = 2e-3, 0.2  # relative and absolute: far above what the digits of a file leave


def disagreement(path: Path, matrix: Sequence[float], wavelength_angstrom: float) -> str:
    """Return a warning if the cell that `path` states is not that of its `matrix` at this wavelength; else empty."""
    named = named_cell(path)
    if named is None:
        return ""
    derived = matrix_cell(matrix, wavelength_angstrom)
    ratios = [x / y for x, y in zip(named[:3], derived[:3])]
    mean = sum(ratios) / 3
    alike = all(abs(x / mean - 1) < _LENGTHS for x in ratios)
    alike = alike and all(abs(x - y) < _DEGREES for x, y in zip(named[3:], derived[3:]))
    if alike and abs(mean - 1) < _LENGTHS:
        return ""
    agree = f"they agree at {mean * wavelength_angstrom:.6g} A" if alike else "they agree at no wavelength"
    return (
        f"{path}: the matrix gives the cell {_shown(derived)} at {wavelength_angstrom:.6g} A, the file says "
        f"{_shown(named)}: {agree}"
    )


def named_cell(path: Path) -> Cell | None:
    """Return the cell on the first line behind the matrix that holds three lengths and three angles; None without."""
    before = 0
    for line in read_text(path, per_byte=2).splitlines():
        words = line.split()
        if before >= 9 and len(words) == 6:
            values = [number(word) for word in words]
            cell = tuple(x for x in values if x is not None)
            if len(cell) == 6 and min(cell[:3]) > 1.0 and all(10.0 < x < 170.0 for x in cell[3:]):
                return cell
        before += len(words)
    return None


def matrix_cell(matrix: Sequence[float], wavelength_angstrom: float) -> Cell:
    """Return the direct cell of a matrix of nine numbers: rows x y z, columns a* b* c* times the wavelength."""
    a, b, c = (tuple(x / wavelength_angstrom for x in matrix[i::3]) for i in range(3))
    volume = _dot(a, _cross(b, c))
    direct = [tuple(x / volume for x in _cross(u, v)) for u, v in ((b, c), (c, a), (a, b))]
    lengths = [math.hypot(*v) for v in direct]
    cosines = [_dot(direct[i], direct[j]) / lengths[i] / lengths[j] for i, j in ((1, 2), (2, 0), (0, 1))]
    return (*lengths, *(math.degrees(math.acos(max(-1.0, min(1.0, x)))) for x in cosines))


def _dot(u: Sequence[float], v: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(u, v))


def _cross(u: Sequence[float], v: Sequence[float]) -> tuple[float, float, float]:
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]


def _shown(cell: Cell) -> str:
    return " ".join(f"{x:.5g}" for x in cell)
