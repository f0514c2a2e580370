"""nanoBragg's command line: argv -> Config (semantics section 1).

The names and aliases are the reference's, and every spelling that its documents have; the matching is strict where
the reference looks for substrings and ignores what it does not know (Q35).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanobragg_torch.config import Config
from nanobragg_torch.errors import FlagError, InputError
from nanobragg_torch.flags.assemble import assemble
from nanobragg_torch.flags.header import read_headers
from nanobragg_torch.flags.hints import hint
from nanobragg_torch.flags.record import Field, Flag
from nanobragg_torch.flags.table import PORT, REFERENCE, Given
from nanobragg_torch.flags.values import (
    AS_GIVEN,
    CACHE_FILE,
    CELL,
    INPUT_FILE,
    LAST,
    MODE,
    PHI_MODE,
    QUIRK,
    LackingError,
)
from nanobragg_torch.io.inputs import kind_at
from nanobragg_torch.io.numbers import leading_number, number
from nanobragg_torch.io.sources import read_columns
from nanobragg_torch.quirks import IDS, Quirks
from nanobragg_torch.units import RTD, radians


@dataclass(frozen=True)
class _Word:
    """One flag of the command line with the value that follows it; lacking: what is said where too little does."""

    flag: Flag
    argument: str
    value: Any = None
    lacking: str = ""


def parse(argv: Sequence[str], folders: Sequence[Path] = (Path(),), dump: Path | None = None) -> Config:
    """Read the reference's command line.

    Args:
        argv: the words of the command line, without the program's name.
        folders: where files that flags name are looked for, in order.
        dump: the Fdump.bin that the reference would read where there is no -hkl (Q57); None is none.

    Returns:
        The simulation that the flags describe; the files that it names are read by `loaded` or `simulate`.

    Raises:
        FlagError: for an unknown or malformed flag.
        InputError: for a file that is missing, and a header that cannot be read.
    """
    port, rest = _port_words(argv, folders)
    quirks = _quirks(port)
    words = [*port, *_reference_words(rest, folders, quirks)]
    named = tuple((word.argument, word.value) for word in words if word.flag.kind is INPUT_FILE and not word.lacking)
    given = Given(quirks, dump, named)
    # the reference reads the headers first, the mask's before the image's, so that flags override them
    files = {word.flag.fields[0]: word.value for word in words if word.flag.kind is INPUT_FILE}
    read_headers(given, files.get(Given.mask), files.get(Given.img))
    for word in words:
        _store(word, given)
    return assemble(given)


def _port_words(argv: Sequence[str], folders: Sequence[Path]) -> tuple[list[_Word], list[str]]:
    """The words of the port's own flags, and what is left: the reference takes its values as if alone there."""
    port, reference, rest = [], [], list(argv)
    while rest:
        name, equals, given = rest.pop(0).partition("=")
        flag = _find(name, PORT)
        if flag is None:
            reference.append(name + equals + given)
            continue
        if equals:
            rest.insert(0, given)
        value, taken = _value(flag, name, rest, folders)
        port.append(_Word(flag, name, value))
        del rest[:taken]
    return port, reference


def _reference_words(rest: list[str], folders: Sequence[Path], quirks: Quirks) -> list[_Word]:
    words = []
    while rest:
        argument = rest.pop(0)
        flag = _find(argument, REFERENCE)
        if flag is None:
            raise FlagError(_unknown(argument))
        other, taken = _also_matched(argument, rest, folders, quirks)
        if other is not None:
            words.append(other)
        if taken:
            del rest[:taken]
            continue
        try:
            value, taken = _value(flag, argument, rest, folders)
            words.append(_Word(flag, argument, value))
        except LackingError as error:
            if flag.needed:
                raise
            words.append(_Word(flag, argument, lacking=str(error)))
            taken = next((i for i, word in enumerate(rest) if _is_flag(word)), len(rest))
        del rest[:taken]
    return words


def _also_matched(
    argument: str, rest: Sequence[str], folders: Sequence[Path], quirks: Quirks
) -> tuple[_Word | None, int]:
    """The other flag whose name the program finds in `argument`, and how many words it takes if matching ends there."""
    if argument == "-misset_seed" and quirks.on("Q53") and rest:
        if "rand" in rest[0]:
            return _Word(_MISSET, argument, "random"), 1
        if len(rest) >= 3:
            x, y, z = (radians(leading_number(text)) for text in rest[:3])
            return _Word(_MISSET, argument, (x, y, z)), 0
    if argument == "-dump_pixel" and quirks.on("Q61") and rest:
        name, _ = _value(_DUMP, argument, rest, folders)
        return _Word(_DUMP, argument, name), 1 + (len(rest) > 1 and not _is_flag(rest[1]))
    return None, 0


def _value(flag: Flag, argument: str, rest: Sequence[str], folders: Sequence[Path]) -> tuple[Any, int]:
    """What follows a flag, and how many words that are."""
    if flag.kind is None:
        return None, 0
    value, taken = flag.kind.take(argument, rest)
    if flag.kind is INPUT_FILE:
        value = _existing(argument, value, folders)
    elif flag.kind is CACHE_FILE:
        value = next((folder / value for folder in folders if kind_at(folder / value) == ""), value)
    return value, taken


def _quirks(words: Sequence[_Word]) -> Quirks:
    """The switches: the last --mode first, then --quirk and --phi-mode in order."""
    modes = [word.value for word in words if word.flag.kind is MODE]
    quirks = dataclasses.replace(modes[-1], chosen=frozenset(IDS)) if modes else Quirks()
    for word in words:
        if word.flag.kind in (QUIRK, PHI_MODE):
            quirks = dataclasses.replace(quirks.switched(*word.value), chosen=quirks.chosen | {word.value[0]})
        elif word.flag.kind is AS_GIVEN:
            quirks = dataclasses.replace(quirks, as_given=word.value)
    return quirks


def _find(argument: str, table: Sequence[Flag]) -> Flag | None:
    return next((flag for flag in table if flag.matches(argument)), None)


def _is_flag(word: str) -> bool:
    return word.startswith("-") and number(word) is None


def _unknown(argument: str) -> str:
    if not _is_flag(argument):
        return f"{argument}: expected a flag, got a value that no flag takes"
    meant = hint(argument)
    return f"{argument}: unknown flag" + (f", perhaps {meant} is meant" if meant else "; --help lists all")


def _store(word: _Word, given: Given) -> None:
    """Put the value of a flag, in the Config's unit, into `given`, and what else the flag gives."""
    flag = word.flag
    without_effect = _without_effect(word, given.quirks)
    if without_effect or flag.warning:
        given.warnings.append(f"{word.argument}: {without_effect or flag.warning}")
    if without_effect:
        return
    earlier = given.typed(*flag.marked[:1])
    if earlier and _find(earlier, REFERENCE) is not flag and flag.marked[0] not in _TOLD:
        given.warnings.append(f"{earlier}: no effect, {word.argument} follows it")
    given.words.update(dict.fromkeys(flag.marked, word.argument))
    # Q54: any vector flag of the reference leaves the named convention
    if flag.sets and (flag.sets.get(Given.convention) != "CUSTOM" or given.on("Q54")):
        given.values.update(flag.sets)
    value = flag.converted(word.value)
    if flag.kind is CELL and (earlier_numbers := given.cell[len(value) :]):
        value += earlier_numbers
        given.warnings.append("-cell: what it lacks is as in the -cell before it")
    given.values.update(dict.fromkeys(flag.fields, value))
    for field in flag.fields:
        if field in _ALSO:
            _ALSO[field](given)


def _without_effect(word: _Word, quirks: Quirks) -> str:
    """Why the reference passes over this flag; empty where it does not. Raises FlagError without Q35."""
    if word.lacking:
        if not quirks.on("Q35") or (word.flag.crashes and quirks.on("Q36")):
            raise FlagError(word.lacking)
        return f"has no effect without its value, as in the reference (Q35): {word.lacking.partition(': ')[2]}"
    if word.argument in _BY_X_AND_Y and quirks.on("Q65"):
        return f"has no effect, as in this program (Q65); {_BY_X_AND_Y[word.argument]} has"
    if word.flag.ignored and quirks.on("Q35"):
        return f"has no effect, as in the reference (Q35); {word.flag.ignored} has"
    if word.flag.ignored and not word.flag.fields:
        raise FlagError(f"{word.argument}: expected {word.flag.ignored}, which the reference has")
    if word.flag is _DUMP and not quirks.on("Q61") and quirks.on("Q35") and "Q61" in quirks.chosen:
        return "has no effect, as in this program (Q61)"
    if Given.misset_seed in word.flag.fields and quirks.on("Q63"):
        return "has no effect, as in this program (Q63); -seed has"
    if word.value is LAST and quirks.on("Q67"):
        return "has no effect as the last word, as in the reference (Q67)"
    return ""


def _no_sensor(given: Given) -> None:
    if given.mu == 0.0:
        given.thick = 0.0


def _axis_as_angle(given: Given) -> None:
    """Q01: the name of the flag also matches -twotheta, which takes the axis's x as an angle."""
    if given.twotheta_axis is not None and given.on("Q01"):
        degrees = given.twotheta_axis[0]
        given.twotheta, given.pivot = radians(degrees), "SAMPLE"
        given.warnings.append(f"-twotheta_axis also sets twotheta to {degrees:g} degrees and the pivot to SAMPLE (Q01)")


def _distance_of_header(given: Given) -> None:
    if Given.close_distance in given.from_header:
        if given.on("Q07"):
            given.warnings.append("-distance: has no effect, the header's CLOSE_DISTANCE wins (Q07)")
        elif not given.typed(Given.close_distance):
            del given.close_distance


def _by_its_name(given: Given) -> None:
    """Q53: -misset_seed has set the misset."""
    if given.words[Given.misset] == "-misset_seed":
        angles = given.misset
        shown = " ".join(f"{x * RTD:g}" for x in angles) if isinstance(angles, tuple) else f"{angles}"
        given.warnings.append(f"-misset_seed: counts as -misset too: {shown} (Q53)")


def _cache_named(given: Given) -> None:
    word = given.words[Given.dump_file]
    if word == "-dump_pixel":
        given.warnings.append(f"-dump_pixel: counts as -dump {given.dump_file}: the cache; -trace_pixel traces (Q61)")
    elif not given.on("Q61"):
        given.warnings.append(f"-dump: {_CACHE}")


def _read_stol(given: Given) -> None:
    if given.stol is not None:
        read_columns(given.stol, "amorphous scattering (stol F)", 2)


_MISSET, _DUMP = (next(flag for flag in REFERENCE if field in flag.fields) for field in (Given.misset, Given.dump_file))
_BY_X_AND_Y = {"-detpixels_x": "-detpixels_f", "-detpixels_y": "-detpixels_s"}
_CACHE = "names the cache in the place of Fdump.bin; the reference of the golden cases ignores it (Q61)"

# what advice says of two flags for one thing, where more than their order counts
_TOLD = (Given.convention, Given.pivot, Given.printout)

# what else comes of a field
_ALSO: dict[Field[Any], Callable[[Given], None]] = {
    Given.mu: _no_sensor,
    Given.twotheta_axis: _axis_as_angle,
    Given.distance: _distance_of_header,
    Given.stol: _read_stol,
    Given.misset: _by_its_name,
    Given.dump_file: _cache_named,
}


def _existing(argument: str, name: Path, folders: Sequence[Path]) -> Path:
    kinds = {folder / name: kind_at(folder / name) for folder in folders}
    for path, kind in kinds.items():
        if kind == "":
            return path
    got = next(filter(None, kinds.values()), None)
    places = ", ".join(str(folder) for folder in folders)
    raise InputError(f"{argument} {name}: expected a file, {f'got {got}' if got else f'found none in {places}'}")
