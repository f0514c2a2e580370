"""Numbers in a text: ASCII decimals, with an exponent or without."""

import math
import re

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LEADING = re.compile(rf"{_NUMBER.pattern}|[+-]?(?:inf|nan)", re.IGNORECASE)
_INTEGER = re.compile(r"([+-]?[0-9]{1,20})(?:\.0*)?")


def number(text: str) -> float | None:
    """Return the float64 that all of `text` spells; None for anything else, and for what it cannot hold (1e999).

    Python's float() takes more for a number than other programs do: 1_0, Arabic digits, blanks around it, nan.
    """
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def integer(text: str) -> int | None:
    """Return the 32-bit integer that all of `text` spells, else None: "64.0" is 64, but 2.7 and 1e3 are none."""
    match = _INTEGER.fullmatch(text)
    value = int(match[1]) if match else 2**31
    return value if -(2**31) <= value < 2**31 else None


def leading_number(text: str) -> float:
    """Return the number with which `text` begins, as C's atof reads it: "7mm" is 7, what begins with none is 0."""
    match = _LEADING.match(text)
    return float(match[0]) if match else 0.0
