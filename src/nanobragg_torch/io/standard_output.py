"""Writing to the standard streams: at once, and whatever becomes of the reader."""

import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str, end: str = "\n") -> None:
    """Write `text` and `end`, and flush them; with escapes for control characters other than tabs and line ends.

    A reader that has stopped reading (a closed pipe, as of `| head -1`) does not end the work, whose results are files;
    what is said from then on is lost. Raises OSError if standard output cannot be written for another reason, as on a
    full disk. Either way nothing is left over that the interpreter would try to write at its end.
    """
    with suppress(BrokenPipeError):
        _write(sys.stdout, _shown(text, kept="\t\n") + end)


def tell(line: str) -> None:
    """Write one line to standard error, with escapes for control characters, which a name or a file may bring.

    If standard error cannot be written, the line is lost, and the exit code has to do.
    """
    with suppress(OSError):
        _write(sys.stderr, _shown(line) + "\n")


def _shown(line: str, kept: str = "") -> str:
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii") for c in line)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        number = stream.fileno()
        kept, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        stream.flush()
        if not isinstance(error, BrokenPipeError):
            os.dup2(kept, number)
        os.close(kept)
        os.close(nowhere)
        raise


def open_closed() -> None:
    """Give each standard stream that was closed (as by `>&-`) a place that keeps nothing.

    To be called before anything else is opened: the next file would take the number of the stream, and with it what
    is printed, here or in a child.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
