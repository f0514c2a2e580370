"""Arithmetic as C has it: a division by 0 gives an infinity or no number, a root of -1 none, and nothing raises."""

import ctypes
import math
import struct
from functools import cache
from typing import Any

NAN = math.nan
_LEAST = -(2**31)


def quotient(x: float, y: float) -> float:
    """x / y of IEEE 754."""
    try:
        return x / y
    except ZeroDivisionError:
        if x == 0.0 or math.isnan(x):
            return NAN
        return math.copysign(math.inf, math.copysign(1.0, x) * math.copysign(1.0, y))


def root(x: float) -> float:
    """sqrt; no number below 0."""
    return math.sqrt(x) if not x < 0.0 else NAN


def sine(x: float) -> float:
    """sin; no number of an infinity."""
    return math.sin(x) if math.isfinite(x) else NAN


def cosine(x: float) -> float:
    """cos; no number of an infinity."""
    return math.cos(x) if math.isfinite(x) else NAN


def exponential(x: float) -> float:
    """exp; infinite where it is too large."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def ceiling(x: float) -> float:
    """ceil, as a float."""
    return float(math.ceil(x)) if math.isfinite(x) else x


def integer(x: float) -> int:
    """The cast to int of x86-64, 32 bits wide: what does not fit, and no number, is -2^31."""
    return int(x) if abs(x) < 2147483648.0 else _LEAST


def nearest(x: float) -> int:
    """The nearest whole number, exact halves rounded down (semantics 6.2)."""
    return integer(ceiling(x - 0.5))


def fl32(x: float) -> float:
    """x rounded to float32."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", x))[0])
    except OverflowError:
        return math.copysign(math.inf, x)


@cache
def _powf() -> Any:
    try:
        powf = ctypes.CDLL(None).powf
    except (AttributeError, OSError, TypeError):
        return None
    powf.restype, powf.argtypes = ctypes.c_float, (ctypes.c_float, ctypes.c_float)
    return powf


def power32(base: float, exponent: float) -> float:
    """powf of the C library, which rounds otherwise than pow now and then; pow rounded where there is no such thing."""
    powf = _powf()
    return fl32(math.pow(base, exponent)) if powf is None else float(powf(base, exponent))
