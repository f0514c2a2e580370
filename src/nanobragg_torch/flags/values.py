"""Kinds of values that follow a flag: words of the command line -> a value and how many words it took.

Strict where the reference's atof and atoi read what they can: every value is a whole number or number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nanobragg_torch.errors import FlagError
from nanobragg_torch.flags.record import Kind
from nanobragg_torch.io.numbers import integer, number
from nanobragg_torch.quirks import IDS, MODES, PHI_MODES, VECTORS, Quirks, of_mode
from nanobragg_torch.units import radians

LAST = object()


class LackingError(FlagError):
    """The command line ends before the values of a flag do."""


def _values(argument: str, rest: Sequence[str], count: int, expected: str) -> Sequence[str]:
    if len(rest) < count:
        raise LackingError(f"{argument}: expected {expected}, got {' '.join(rest) or 'nothing'}")
    return rest[:count]


def _number(argument: str, text: str, expected: str) -> float:
    value = number(text)
    if value is None:
        raise FlagError(f"{argument}: expected {expected}, got {text!a}")
    return value


def _whole(argument: str, text: str, expected: str) -> int:
    value = integer(text)
    if value is None:
        raise FlagError(f"{argument}: expected {expected}, got {text!a}")
    return value


def _several(
    count: int, read: Callable[[str, str, str], float] = _number, one: str = "a number"
) -> Callable[[str, Sequence[str]], tuple[Any, int]]:
    expected = one if count == 1 else f"{count} {one.partition(' ')[2]}s"

    def take(argument: str, rest: Sequence[str]) -> tuple[Any, int]:
        values = tuple(read(argument, text, expected) for text in _values(argument, rest, count, expected))
        return (values[0] if count == 1 else values), count

    return take


def _positive(argument: str, rest: Sequence[str]) -> tuple[float, int]:
    text = _values(argument, rest, 1, "a number above 0")[0]
    if _number(argument, text, "a number above 0") <= 0:
        raise FlagError(f"{argument}: expected a number above 0, got {text!a}")
    return float(text), 1


def _text(argument: str, rest: Sequence[str]) -> tuple[str, int]:
    return _values(argument, rest, 1, "a value")[0], 1


def _file(argument: str, rest: Sequence[str]) -> tuple[Path, int]:
    return Path(_values(argument, rest, 1, "a file name")[0]), 1


def _cell(argument: str, rest: Sequence[str]) -> tuple[tuple[float, ...], int]:
    """Up to six values, ended by anything that starts with '-'."""
    count = 0
    while count < min(len(rest), 6) and not rest[count].startswith("-"):
        count += 1
    if count == 0:
        _values(argument, rest, 1, "1 to 6 numbers")
        raise FlagError(f"{argument}: expected 1 to 6 numbers, got {rest[0]}")
    return tuple(_number(argument, text, "1 to 6 numbers") for text in rest[:count]), count


def _misset(argument: str, rest: Sequence[str]) -> tuple[tuple[float, float, float] | str, int]:
    if rest and "rand" in rest[0]:
        return "random", 1
    expected = "'random' or 3 numbers"
    x, y, z = (radians(_number(argument, text, expected)) for text in _values(argument, rest, 3, expected))
    return (x, y, z), 3


def _pivot(argument: str, rest: Sequence[str]) -> tuple[str, int]:
    text = _values(argument, rest, 1, "'sample' or 'beam'")[0]
    for name in ("beam", "sample"):
        if name in text:
            return name.upper(), 1
    raise FlagError(f"{argument}: expected 'sample' or 'beam', got {text!a}")


def _maybe_number(_: str, rest: Sequence[str]) -> tuple[object, int]:
    """A number that nothing uses; LAST where nothing at all follows."""
    return ("", int(number(rest[0]) is not None)) if rest else (LAST, 0)


def _absorption(argument: str, rest: Sequence[str]) -> tuple[float, int]:
    """Attenuation per metre; 0 means no sensor at all."""
    expected = "a depth in um or 'inf'"
    text = _values(argument, rest, 1, expected)[0]
    depth = 0.0 if "inf" in text else _number(argument, text, expected)
    return (1.0 / (depth * 1e-6) if depth != 0.0 else 0.0), 1


def _choice(choices: Sequence[str]) -> Callable[[str, Sequence[str]], tuple[str, int]]:
    expected = " or ".join(choices)

    def take(argument: str, rest: Sequence[str]) -> tuple[str, int]:
        text = _values(argument, rest, 1, expected)[0]
        if text not in choices:
            raise FlagError(f"{argument}: expected {expected}, got {text!a}")
        return text, 1

    return take


def _mode(argument: str, rest: Sequence[str]) -> tuple[Quirks, int]:
    expected = f"{', '.join(MODES)} or a file PROFILE.toml"
    text = _values(argument, rest, 1, expected)[0]
    if text not in MODES and not text.endswith(".toml"):
        raise FlagError(f"{argument}: expected {expected}, got {text!a}")
    return of_mode(text), 1


def _phi_mode(argument: str, rest: Sequence[str]) -> tuple[tuple[str, bool], int]:
    text, taken = _choice(PHI_MODES)(argument, rest)
    return ("Q29", text == PHI_MODES[0]), taken


def _quirk(argument: str, rest: Sequence[str]) -> tuple[tuple[str, bool], int]:
    expected = "a quirk such as Q29=off or Q29=on"
    text = _values(argument, rest, 1, expected)[0]
    name, _, state = text.partition("=")
    if state not in ("on", "off"):
        raise FlagError(f"{argument}: expected {expected}, got {text!a}")
    if name not in IDS:
        raise FlagError(f"{argument}: expected a quirk that has a switch ({IDS[0]}..{IDS[-1]}), got {name!a}")
    return (name, state == "on"), 1


def _as_given(argument: str, rest: Sequence[str]) -> tuple[frozenset[str], int]:
    expected = f"reference, as-given or a list of {','.join(VECTORS)}"
    text = _values(argument, rest, 1, expected)[0]
    names = {"reference": (), "as-given": VECTORS}.get(text, tuple(text.split(",")))
    if not set(names) <= set(VECTORS):
        raise FlagError(f"{argument}: expected {expected}, got {text!a}")
    return frozenset(names), 1


NUMBER: Kind[float] = Kind("number", _several(1))
ABOVE_0: Kind[float] = Kind("number", _positive)
NUMBERS_3: Kind[tuple[float, float, float]] = Kind("3 numbers", _several(3))
INTEGER: Kind[int] = Kind("integer", _several(1, _whole, "an integer"))
INTEGERS_2: Kind[tuple[int, int]] = Kind("2 integers", _several(2, _whole, "an integer"))
INTEGERS_4: Kind[tuple[int, int, int, int]] = Kind("4 integers", _several(4, _whole, "an integer"))
TEXT: Kind[str] = Kind("file", _text)
INPUT_FILE: Kind[Path] = Kind("file", _file, file=True)
CACHE_FILE: Kind[Path] = Kind("file", _file)
CELL: Kind[tuple[float, ...]] = Kind("1-6 numbers", _cell)
MISSET: Kind[tuple[float, float, float] | str] = Kind("3 numbers", _misset)
PIVOT: Kind[str] = Kind("name", _pivot)
MAYBE_NUMBER: Kind[object] = Kind("[number]", _maybe_number)
ABSORPTION: Kind[float] = Kind("number", _absorption)
MODE: Kind[Quirks] = Kind("name", _mode)
QUIRK: Kind[tuple[str, bool]] = Kind("Qnn=on|off", _quirk)
PHI_MODE: Kind[tuple[str, bool]] = Kind("name", _phi_mode)
AS_GIVEN: Kind[frozenset[str]] = Kind("names", _as_given)
