"""How many digits a trace prints: what its numbers cannot tell. It needs no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tools.scaling.traces.read import Trace

USUAL = 15  # digits of %.15g
_FEW = 9  # more than these are taken for USUAL: a double in short
_MOST = 0.9  # of the numbers; the others may have got digits by a label's factor
_ENOUGH = 10  # numbers, to tell


@dataclass(frozen=True)
class Printing:
    """digits: significant ones of every number; decimals: behind the point, of a trace with a fixed number of them."""

    digits: int = USUAL
    decimals: int | None = None

    @property
    def words(self) -> str | None:
        """Return how the numbers are printed, None for the usual form."""
        if self.decimals is not None:
            return f"{self.decimals} decimals"
        return f"{self.digits} digits" if self.digits < USUAL else None

    def relative(self) -> float:
        """Return half a unit of the last digit of a number that begins with 1; 0 for the usual form."""
        return 0.5 * 10.0 ** (1 - self.digits) if self.digits < USUAL else 0.0


def reals_of(trace: Trace) -> list[float]:
    """Return the numbers of a trace that are finite and not whole."""
    numbers = [x for record in trace.records for x in record.values]
    numbers += [x for row in trace.phi_rows for x in row.values.values()]
    return [x for x in numbers if math.isfinite(x) and x != round(x)]


def printing_of(trace: Trace) -> Printing:
    """Return how the numbers of `trace` are printed, as far as they show it."""
    reals = reals_of(trace)
    if len(reals) < _ENOUGH:
        return Printing()
    digits = _most([_digits(x) for x in reals])
    if digits <= _FEW:
        return Printing(digits)
    decimals = _most([_decimals(x) for x in reals])
    return Printing(USUAL, decimals) if decimals <= _FEW else Printing()


def _most(counts: Sequence[int]) -> int:
    return sorted(counts)[math.ceil(_MOST * len(counts)) - 1]


def _digits(x: float) -> int:
    """Return how many significant digits it takes to print `x`, which a factor may have rounded once."""
    return next((n for n in range(1, USUAL) if abs(float(f"{x:.{n - 1}e}") - x) <= 4e-16 * abs(x)), USUAL)


def _decimals(x: float) -> int:
    return next((n for n in range(USUAL) if abs(round(x, n) - x) <= 4e-16 * abs(x)), USUAL)
