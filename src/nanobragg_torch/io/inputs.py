"""Opening the files that a user names as input: regular ones only, as others could keep us waiting for ever."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from nanobragg_torch.errors import InputError
from nanobragg_torch.io.room import require_room

_LINE_END = b"\n"
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(mode: int) -> str:
    """Return in words what a file of this st_mode is, such as "a folder"; empty for a regular file."""
    return next((name for test, name in _KINDS if test(mode)), "")


def kind_at(path: Path) -> str | None:
    """Return what lies at `path`, as `kind_of` does; None where nothing does, or nothing that can be looked at."""
    try:
        return kind_of(path.stat().st_mode)
    except (OSError, ValueError):  # ValueError: a name with a NUL byte
        return None


def open_file(path: Path) -> BinaryIO:
    """Open the regular file `path` for reading. Raises InputError for anything else, at once.

    A pipe that nobody writes to would keep us waiting, a device could go on for ever, and a list is read twice.
    """
    try:
        # without O_NONBLOCK, opening a pipe waits for its writer
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        stream = os.fdopen(handle, "rb") if not (kind := kind_of(os.fstat(handle).st_mode)) else None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected a regular file, got: {getattr(error, 'strerror', None) or error}"
        ) from error
    if stream is None:
        os.close(handle)
        raise InputError(f"{path}: expected a regular file, got {kind}")
    return stream


def size_of(stream: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(stream.fileno()).st_size


def read_text(path: Path, *, per_byte: int) -> str:
    """Return the text in `path`, each byte as one character (Latin-1), with its line ends as they are.

    per_byte: bytes of memory that the caller needs for each byte of the file, to refuse a file that is too long.
    Raises InputError for what is no text (a byte 0), DoesNotFit for what is too long.
    """
    with open_file(path) as stream:
        require_room(per_byte * size_of(stream), f"{path}, {size_of(stream)} bytes")
        data = stream.read()
    at = data.find(b"\0")
    if at >= 0:
        raise InputError(f"{path}:{data.count(_LINE_END, 0, at) + 1}: expected text, got a byte 0: a binary file?")
    return data.decode("latin-1")
