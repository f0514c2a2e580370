"""One child that does the torch work of all steps, so that torch is imported once.

The runner writes one JSON line a command to the worker's standard input:
`{"argv": [...], "stdout": PATH, "stderr": PATH}`; the worker runs that subcommand with its
output in those files and answers `{"exit": N}` on its own standard output. The files belong
to the runner, so what a command printed survives whatever kills the worker.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path


def serve(call: Callable[[Sequence[str]], int]) -> None:
    """Answer commands with `call(argv) -> exit code` until standard input ends."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a command that reads standard input must not eat the next request
    for line in requests:
        request = json.loads(line)
        with Path(request["stdout"]).open("wb") as out, Path(request["stderr"]).open("wb") as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = _survive(call, request["argv"])
            sys.stdout.flush()
            sys.stderr.flush()
        answers.write(json.dumps({"exit": code}) + "\n")
        answers.flush()


def _survive(call: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """Return the exit code of a command; a defect of ours is a failed command with its traceback, no dead worker."""
    try:
        return call(argv)
    except Exception:
        traceback.print_exc()
        return 1
