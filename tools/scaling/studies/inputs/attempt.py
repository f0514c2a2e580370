"""One bad input: a command line, the files that it names, and whether it must be refused."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

# A small still that the port renders in a moment; what an attempt adds comes behind it, so that the last flag wins.
STILL = shlex.split(
    "-cell 50 60 70 80 95 105 -default_F 100 -N 5 -nonoise -nopgm -lambda 1.1 -distance 100 -detpixels 32 -pixel 2"
    " -oversample 1"
)
PORT, TOOLS = "nanobragg_torch", "tools.scaling"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A command line, `python -m MODULE WORDS`, to be run in a folder that holds the files of the attempt.

    refused: whether it must end with an exit code above 0; otherwise an answer is as good as a refusal.
    """

    words: tuple[str, ...]
    refused: bool = True
    module: str = PORT


# A kind of bad input: writes the files of an attempt into the folder and returns it; the same Random, the same attempt.
Kind = Callable[[Random, Path], Attempt]


def still(*words: str, refused: bool = True) -> Attempt:
    """Return an attempt: the small still with `words` behind it."""
    return Attempt((*STILL, *words), refused)


def tools(*words: str, refused: bool = True) -> Attempt:
    """Return an attempt: a subcommand of the automation."""
    return Attempt(words, refused, TOOLS)
