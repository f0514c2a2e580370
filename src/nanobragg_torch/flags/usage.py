"""What the program says about itself: its help, one example, its version."""

from __future__ import annotations

import textwrap
from importlib import metadata

from nanobragg_torch.flags.record import Flag
from nanobragg_torch.flags.table import GROUPS

EXAMPLE = (
    "python -m nanobragg_torch -cell 74 74 36 90 90 90 -misset 10 20 30 -default_F 100 -N 10 -lambda 1 \\\n"
    "        -distance 100 -detpixels 256 -pixel 0.4 -seed 1"
)

USAGE = f"""\
usage: python -m nanobragg_torch FLAGS

for instance, without any file:

    {EXAMPLE}

with a matrix and a reflection list:

    python -m nanobragg_torch -mat A.mat -hkl P1.hkl -lambda 0.9768 -distance 231.27 -detpixels 512 -pixel 0.172

--help lists all flags, with their defaults.
"""

_ABOUT = """\
Simulates X-ray diffraction from a nanocrystal, with nanoBragg's own flags, and writes what nanoBragg writes:
floatimage.bin (little-endian float32, slow-major), intimage.img and noiseimage.img (SMV), image.pgm, and after
-hkl also Fdump.bin, in the working directory; -nonoise, -nopgm and /dev/null as a name leave files out.

Values in [brackets] are defaults. A * stands for any longer spelling.
"""

# names, value, meaning, default: not the flag parser's
_PROGRAM = (
    ("--device", "name", "cpu, cuda, cuda:1, ...", "cpu"),
    ("--dtype", "name", "float64 or float32", "float64"),
    ("--threads", "integer", "threads on the CPU", "one for each core that this process may use"),
    (
        "--block",
        "integer",
        "terms that a thread evaluates at a time: fewer need less memory",
        "",
    ),
    ("--max-terms", "number", "a run of more terms (pixels times steps of all kinds) is refused", "1e12"),
    ("--version", "", "also -version: the version, and which nanoBragg.c this is the port of", ""),
    ("--help", "", "also -help -h: this text", ""),
)

_LEFT, _WIDTH = 36, 118


def help_text() -> str:
    """Every flag in columns: name and value, meaning and default, other spellings."""
    lines = [USAGE.rpartition("\n--help")[0], _ABOUT]
    for title, group in GROUPS.items():
        lines.append(f"{title}:\n")
        lines += [_flag_row(flag) for flag in group]
        if title == "ours":
            lines += [_row(f"{name} {value}".rstrip(), meaning, default) for name, value, meaning, default in _PROGRAM]
        lines.append("")
    return "\n".join(lines).rstrip()


def _flag_row(flag: Flag) -> str:
    name, *others = flag.names.split()
    meaning = f"no effect in the reference (Q35); {flag.ignored} has" if flag.ignored else flag.meaning
    also = f"; also {' '.join(others)}" if others else ""
    left = f"{name} {flag.kind.shown}" if flag.kind is not None else name
    return _row(left, meaning + also, flag.default or flag.otherwise)


def _row(left: str, meaning: str, default: str) -> str:
    text = meaning + (f" [{default}]" if default else "")
    right = textwrap.wrap(text, _WIDTH - _LEFT, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * _LEFT).join([f"  {left:<{_LEFT - 2}}{right[0]}", *right[1:]])


def version() -> str:
    """One line: this package, the program that it is the port of, and torch."""
    return (
        f"nanobragg_torch {installed('nanobragg-torch')}, port of nanoBragg.c as of hoidn/nanoBragg 22f3ae43"
        f" (2025-10-10); torch {installed('torch')}"
    )


def installed(package: str) -> str:
    """The version of an installed package, or the words (not installed)."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
