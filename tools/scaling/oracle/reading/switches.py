"""The port's own words of a command line, and the switches that they set (variants 2, docs/bugs/modes.md)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from nanobragg_torch.quirks import IDS, VECTORS, Quirks

# variants 2: what each program has that golden has not, and, behind "-", what it has not
_MAIN, _TERMS, _LAST = "Q53 Q61", "-Q27 Q66", "-Q36 -Q67"
PROGRAMS = {
    "golden": "",
    "c-parity": "",
    "hoidn-main": "",
    "hoidn-ref": "Q53",
    "hoidn-root": "Q53",
    "bl831-2022": "-Q24 Q53",
    "bl831-main": _MAIN,
    "bl831-phi0-fix": f"{_MAIN} -Q29",
    "bl831-subpixel-fix": f"{_MAIN} {_TERMS}",
    "bl831-flag-guard-fix": f"{_MAIN} {_LAST}",
    "bl831-all-fixes": f"{_MAIN} {_TERMS} {_LAST} -Q29",
    "cctbx-standalone": "-Q24 Q53 Q62 Q63 Q65",
}
_NOT_GOLDEN = frozenset(("Q53", "Q61", "Q62", "Q63", "Q65", "Q66"))


def own_words(argv: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the port's own flags, each with its value, and the words that are left for the reference."""
    own, rest, words = [], [], iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            own.append((name, value if equals else next(words, "")))
        else:
            rest.append(word)
    return own, rest


def switches(own: Sequence[tuple[str, str]], folder: Path) -> Quirks:
    """Return the switches: those of the last --mode, then --quirk and --phi-mode one after the other.

    own: the port's own flags with their values. folder: where a profile is.
    """
    off, chosen, as_given = set(_NOT_GOLDEN), set[str](), frozenset[str]()
    for mode in [value for flag, value in own if flag == "--mode"][-1:]:
        off, chosen = _of_mode(mode, folder), set(IDS)
    for flag, value in own:
        if flag == "--quirk":
            quirk, _, state = value.partition("=")
            (off.discard if state == "on" else off.add)(quirk)
            chosen.add(quirk)
        elif flag == "--phi-mode":
            (off.discard if value == "c-parity" else off.add)("Q29")
            chosen.add("Q29")
        elif flag == "--vectors":
            named = {"reference": (), "as-given": VECTORS}.get(value, tuple(value.split(",")))
            as_given = frozenset(named)
    return Quirks(frozenset(off), as_given, frozenset(chosen))


def _of_mode(mode: str, folder: Path) -> set[str]:
    if mode == "spec":
        return set(IDS)
    if mode.endswith(".toml"):
        states = tomllib.loads((folder / mode).read_text(encoding="utf-8"))["quirks"]
        words = [quirk if state == "on" else f"-{quirk}" for quirk, state in states.items()]
    else:
        words = PROGRAMS[mode].split()
    off = set(_NOT_GOLDEN)
    for word in words:
        (off.add if word.startswith("-") else off.discard)(word.lstrip("-"))
    return off
