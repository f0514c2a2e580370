"""Reading a file that the user names: a regular one, or a pipe where a stream is as good; never waiting in vain."""

import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from nanobragg_torch.errors import InputError
from nanobragg_torch.io.inputs import kind_of, open_file
from tools.scaling.base.errors import BadInput, why

WAIT = 5.0  # seconds, for somebody who writes to a pipe


def read_file(path: Path, most: int, source: str | None = None) -> bytes:
    """Return the first `most` + 1 bytes of a regular file; `source` is its name in messages. Raises BadInput."""
    try:
        with open_file(path) as stream:
            return stream.read(most + 1)
    except InputError as error:
        raise BadInput(str(error).replace(str(path), source or str(path), 1)) from error


def read_stream(path: Path, source: str, what: str, most: int) -> bytes:
    """Return the first `most` + 1 bytes of a regular file or a pipe, such as /dev/stdin or a process substitution.

    source: its name in messages. what: what it should be, in words. Raises BadInput for a folder, a device, and a pipe
    to which nobody writes.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise BadInput(f"{source}: expected {what}, got: {why(error)}") from error
    try:
        mode = os.fstat(handle).st_mode
        if kind_of(mode) and not stat.S_ISFIFO(mode):
            raise BadInput(f"{source}: expected {what}, got {kind_of(mode)}")
        data = b"".join(_pieces(handle, most + 1, pipe=stat.S_ISFIFO(mode)))
    except OSError as error:
        raise BadInput(f"{source}: expected {what}, got: {why(error)}") from error
    finally:
        os.close(handle)
    if not data and stat.S_ISFIFO(mode):
        raise BadInput(f"{source}: expected {what}, got a pipe to which nobody writes")
    return data


def _pieces(handle: int, most: int, *, pipe: bool) -> Iterator[bytes]:
    """Yield at most `most` bytes, in pieces, until the file or the other end of the pipe ends.

    A pipe that nobody has opened for writing after WAIT seconds has ended.
    """
    begin, heard = time.monotonic(), not pipe
    while most > 0:
        try:
            data = os.read(handle, min(most, 1 << 20))
        except BlockingIOError:  # somebody holds the other end
            heard = True
            select.select([handle], [], [])
            continue
        if data:
            yield data
            most, heard = most - len(data), True
        elif heard or time.monotonic() > begin + WAIT:
            return
        else:
            time.sleep(0.02)
