"""The known causes of a difference between two images: quirks, other programs, flags left out, common mistakes.

Each is a command line of our port; a few also change what the command line cannot say.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nanobragg_torch.flags.record import Flag
from nanobragg_torch.flags.table import GROUPS, REFERENCE
from nanobragg_torch.flags.values import INTEGER
from nanobragg_torch.quirks import MODES, TABLE, Quirks, of_mode
from nanobragg_torch.units import radians, thousandth

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config
    from nanobragg_torch.scan.experiment import Experiment

Words = tuple[str, ...]
PROGRAMS = "the switches of "  # begins the name of a cause that is another program
PER_RADIAN = 180.0 / math.pi
HC = 12398.42  # eV Angstrom, as the reference has it
_OTHER_HC = (12398.0, 12398.4, 12398.4198, 12398.4245, 12400.0)
_UNCOUNTED = ("seed", "detpixels")


@dataclass(frozen=True)
class KnownCause:
    """What may have made another image of a command line.

    name: in words, as in "Q24 off" or "-flux 1e18 left out". words: the command line. settings: what becomes of the
    settings that it gives. factor: (fast, slow) of pixels -> what their intensity is divided by; None where nothing.
    """

    name: str
    words: Words
    settings: "Callable[[Config], Config] | None" = None
    factor: "Callable[[Experiment, Tensor, Tensor], Tensor] | None" = None


def beside(first: KnownCause, second: KnownCause) -> KnownCause:
    """Both at once; `second` is one of the known causes of the words of `first`."""
    factors = [each.factor for each in (first, second) if each.factor is not None]
    settings = [each.settings for each in (first, second) if each.settings is not None]

    def factor(exp: "Experiment", fast: "Tensor", slow: "Tensor") -> "Tensor":
        return math.prod((each(exp, fast, slow) for each in factors), start=fast.new_ones(()))

    def changed(config: "Config") -> "Config":
        for each in settings:
            config = each(config)
        return config

    name = f"{first.name}, and {second.name}"
    return KnownCause(name, second.words, changed if settings else None, factor if factors else None)


def known_causes(words: Words, quirks: Quirks) -> Iterator[KnownCause]:
    """Every known cause that may show in `words`, whose switches are `quirks`."""
    for quirk in TABLE:
        state, does = ("off", quirk.right) if quirks.on(quirk.id) else ("on", quirk.reference)
        yield KnownCause(f"{quirk.id} {state} ({does})", (*words, "--quirk", f"{quirk.id}={state}"))
    programs: dict[frozenset[str], list[str]] = {}
    for mode in MODES:
        programs.setdefault(of_mode(mode).off, []).append(mode)
    for modes in (modes for off, modes in programs.items() if off != quirks.off):
        yield KnownCause(PROGRAMS + ", ".join(modes), (*_without_switches(words), "--mode", modes[0]))
    yield KnownCause("detector and beam vectors taken as given (not unitised)", (*words, "--vectors", "as-given"))
    for start, end in _groups(words):
        yield from _of_flag(words, start, end)
    yield from _exchanged(words)
    yield from _other_scan(words)
    yield from _factors(words)
    yield from _other_choice(words)
    if "-hkl" in words:
        yield from _reflections(words)


def _without_switches(words: Words) -> Words:
    """The words without those that switch quirks: a mode sets them all."""
    switches = ("--mode", "--quirk", "--phi-mode")
    dropped = {i + step for i, word in enumerate(words) if word in switches for step in (0, 1)}
    return tuple(word for i, word in enumerate(words) if i not in dropped)


def _with(words: Words, *more: str) -> Words:
    """The words and `more`, behind all but a -curved_det, which counts as the last word otherwise (Q67)."""
    return (*words[:-1], *more, words[-1]) if words[-1].startswith("-curved_det") else (*words, *more)


def _groups(words: Words) -> list[tuple[int, int]]:
    """Where each flag begins, and where its values end."""
    starts = [i for i, word in enumerate(words) if word.startswith("-") and _number(word) is None]
    return list(zip(starts, [*starts[1:], len(words)]))


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _row(argument: str) -> Flag | None:
    return next((flag for flag in REFERENCE if flag.matches(argument)), None)


def _of_flag(words: Words, start: int, end: int) -> Iterator[KnownCause]:
    """What may be done wrong with one flag: left out, its numbers in another unit, of another sign, off by one."""
    name, values = words[start], [_number(word) for word in words[start + 1 : end]]
    row = _row(name)
    if row is None or row in GROUPS["output"]:  # these change no float image
        return
    shown = " ".join(words[start:end])
    yield KnownCause(f"{shown} left out", words[:start] + words[end:])
    numbers = [value for value in values if value is not None]
    if not numbers or len(numbers) < len(values):
        return

    def put(text: str, *new: float) -> KnownCause:
        return KnownCause(text, (*words[: start + 1], *map(_written, new), *words[end:]))

    if row.unit is radians or name == "-misset":
        yield put(f"{shown} taken as radians", *(x * PER_RADIAN for x in numbers))
        yield put(f"{shown} turned into radians twice", *(x / PER_RADIAN for x in numbers))
        yield put(f"{shown} with the opposite sign", *(-x for x in numbers))
    if name == "-misset" and len(numbers) == 3:
        yield from (put(f"{shown} {text}", *angles) for text, angles in _other_orders(numbers))
    if row.unit is thousandth:
        yield put(f"{shown} taken as metres or radians", *(x * 1000.0 for x in numbers))
        yield put(f"{shown} divided by 1000 twice", *(x / 1000.0 for x in numbers))
    if row.kind is INTEGER and not any(part in name for part in _UNCOUNTED):
        yield put(f"{shown} one too many", numbers[0] + 1)
        yield put(f"{shown} one too few", numbers[0] - 1)
    if name == "-energy":
        yield from (put(f"wavelength by hc = {hc:.9g} eV A", numbers[0] * HC / hc) for hc in _OTHER_HC)
    if name in ("-ORGX", "-ORGY"):
        yield from (put(f"{shown} shifted by {by:+g} pixels", numbers[0] + by) for by in (0.5, -0.5, 1.0, -1.0))
    if name in ("-Xbeam", "-Ybeam", "-Xclose", "-Yclose"):
        pixel = _value(words, "-pixel") or 0.1
        for by in (0.5, -0.5, 1.0, -1.0):
            yield put(f"{shown} shifted by {by:+g} pixels", numbers[0] + by * pixel)
    if name.endswith("_vector") and len(numbers) == 3:
        yield put(f"{shown} with the opposite sign", *(-x for x in numbers))


def _written(number: float) -> str:
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def _value(words: Words, flag: str) -> float | None:
    at = max((i for i, word in enumerate(words[:-1]) if word == flag), default=None)
    return None if at is None else _number(words[at + 1])


def _other_orders(degrees: Sequence[float]) -> Iterator[tuple[str, list[float]]]:
    """Rotations about x, then y, then z by other angles, which do what a wrong order or sense does (semantics 3.2)."""
    import numpy

    x, y, z = (_turn(axis, angle / PER_RADIAN) for axis, angle in enumerate(degrees))
    matrices = {
        "in the order z, y, x": x @ y @ z,
        "in the opposite sense (the inverse rotation)": (z @ y @ x).T,
        "about axes that turn along, in the opposite sense": (x @ y @ z).T,
    }
    for text, m in matrices.items():
        angles = (
            math.atan2(m[2, 1], m[2, 2]),
            -math.asin(numpy.clip(m[2, 0], -1.0, 1.0)),
            math.atan2(m[1, 0], m[0, 0]),
        )
        yield text, [angle * PER_RADIAN for angle in angles]
    for axis, name in enumerate("xyz"):
        if degrees[axis]:
            yield f"with the opposite sign about {name}", [-a if i == axis else a for i, a in enumerate(degrees)]


def _turn(axis: int, angle: float) -> Any:
    import numpy

    matrix = numpy.eye(3)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[i, i] = matrix[j, j] = math.cos(angle)
    matrix[j, i] = math.sin(angle)
    matrix[i, j] = -matrix[j, i]
    return matrix


def _exchanged(words: Words) -> Iterator[KnownCause]:
    """Two flags whose values have changed places."""
    pairs = (
        ("-Xbeam", "-Ybeam"), ("-Xclose", "-Yclose"), ("-ORGX", "-ORGY"), ("-fdet_vector", "-sdet_vector"),
        ("-detector_rotx", "-detector_roty"), ("-detector_roty", "-detector_rotz"), ("-hdivrange", "-vdivrange"),
        ("-hdivsteps", "-vdivsteps"), ("-Na", "-Nb"), ("-Nb", "-Nc"), ("-Na", "-Nc"),
    )  # fmt: skip
    for one, other in pairs:
        if one in words and other in words:
            names = {one: other, other: one}
            yield KnownCause(f"{one} and {other} exchanged", tuple(names.get(word, word) for word in words))


def _other_scan(words: Words) -> Iterator[KnownCause]:
    """The phi steps at other places than their left edges."""
    osc, steps = _value(words, "-osc"), _value(words, "-phisteps")
    if osc is None or osc <= 0:
        return
    step = _value(words, "-phistep") or osc / (steps or 2)
    start = _value(words, "-phi") or 0.0
    yield KnownCause("phi steps at their mid-points", _with(words, "-phi", repr(start + step / 2)))
    yield KnownCause("phi steps at their right edges", _with(words, "-phi", repr(start + step)))
    if steps and steps > 1:
        yield KnownCause("phi steps from end to end, both included", _with(words, "-phistep", repr(osc / (steps - 1))))


def _factors(words: Words) -> Iterator[KnownCause]:
    """A factor of every pixel that is left out, or is there twice."""
    from nanobragg_torch.scan.evaluate import final_capture, final_solid_angle

    if "-nopolar" not in words:
        yield KnownCause("the polarization factor left out", _with(words, "-nopolar"))
    yield KnownCause("the solid angle left out", words, factor=final_solid_angle)
    yield KnownCause(
        "the solid angle there twice", words, factor=lambda exp, fast, slow: 1.0 / final_solid_angle(exp, fast, slow)
    )
    if "-point_pixel" not in words:
        plain = _with(words, "-point_pixel", "--quirk", "Q16=off")
        yield KnownCause("the obliquity factor left out", plain)
    if "-detector_thick" in words:
        yield KnownCause("the capture fraction left out", words, factor=final_capture)


def _other_choice(words: Words) -> Iterator[KnownCause]:
    """A choice that is made otherwise where the flags leave it open, or in spite of them."""
    choices = (
        "-square_xtal", "-round_xtal", "-gauss_xtal", "-tophat_spots", "-mosflm", "-adxv", "-denzo", "-xds", "-dials",
        "-interpolate", "-nointerpolate", "-square_div", "-round_div",
    )  # fmt: skip
    for word in choices:
        if word not in words:
            yield KnownCause(f"{word} added", _with(words, word))
    for flag, value in (("-polar", "1"), ("-polar", "0"), ("-oversample", "1"), ("-oversample", "2")):
        if _value(words, flag) != float(value):
            yield KnownCause(f"{flag} {value} added", _with(words, flag, value))


def _reflections(words: Words) -> Iterator[KnownCause]:
    """The reflections under other indices, or with another F."""
    orders = {"k h l": (1, 0, 2), "h l k": (0, 2, 1), "l k h": (2, 1, 0), "k l h": (1, 2, 0), "l h k": (2, 0, 1)}
    yield KnownCause("the indices -h -k -l for h k l", words, settings=partial(_indexed, order=(0, 1, 2), sign=-1))
    for text, order in orders.items():
        yield KnownCause(f"the indices {text} for h k l", words, settings=partial(_indexed, order=order, sign=1))
    yield KnownCause("F not squared", words, settings=lambda config: _with_F(config, lambda F: abs(F) ** 0.5))
    yield KnownCause("F squared twice", words, settings=lambda config: _with_F(config, lambda F: F * F))


def _indexed(config: "Config", order: tuple[int, int, int], sign: int) -> "Config":
    """The settings with listed indices in another order or of the other sign."""
    import numpy

    listed = config.structure.reflections
    if listed is None or listed.hkl is None:
        return config
    hkl = sign * listed.hkl[:, list(order)]
    lowest = hkl.min(axis=0)
    moved = replace(
        listed, hkl=numpy.ascontiguousarray(hkl), lowest=_three(lowest), counts=_three(hkl.max(axis=0) - lowest + 1)
    )
    return replace(config, structure=replace(config.structure, reflections=moved))


def _three(numbers: Sequence[int]) -> tuple[int, int, int]:
    first, second, third = map(int, numbers)
    return first, second, third


def _with_F(config: "Config", changed: Callable[[Any], Any]) -> "Config":
    listed = config.structure.reflections
    if listed is None:
        return config
    structure = replace(
        config.structure,
        reflections=replace(listed, F=changed(listed.F)),
        default_F=changed(config.structure.default_F),
    )
    return replace(config, structure=structure)
