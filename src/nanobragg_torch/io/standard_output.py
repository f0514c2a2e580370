"""The one way onto standard output, for who is watching: at once, and whatever becomes of the watcher."""

import os
import sys


def say(text: str, end: str = "\n") -> None:
    """Write `text` and `end`, and flush them.

    Who has stopped watching (a closed pipe, as of `| head -1`) does not end the work, which is in the files: from
    then on nobody hears what is said. Raises OSError where standard output cannot be written otherwise, as on a full
    disk. Either way nothing stays behind that the interpreter would try to write at its end.
    """
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except OSError as error:
        stdout, gone = sys.stdout.fileno(), isinstance(error, BrokenPipeError)
        kept, nowhere = os.dup(stdout), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout)
        sys.stdout.flush()
        if not gone:
            os.dup2(kept, stdout)
        os.close(kept)
        os.close(nowhere)
        if not gone:
            raise
