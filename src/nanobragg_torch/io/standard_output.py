"""The one way onto standard output, for who is watching: at once, and whatever becomes of the watcher."""

import os
import sys


def say(text: str) -> None:
    """Write `text`, which brings its own line ends, and flush it.

    Who has stopped watching (a closed pipe, as of `| head -1`) does not end the work, which is in the files.
    Raises OSError where standard output cannot be written otherwise, as on a full disk.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
