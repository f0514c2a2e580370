"""`python -m tools.scaling`."""

import os
import signal
import sys
from contextlib import suppress

from tools.scaling.base.errors import Unavailable, no_package

WORKER = sys.argv[1:] == ["worker"]
if WORKER or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    # nothing is begun yet that is to be tidied up, and a traceback of the imports tells nothing
    signal.signal(signal.SIGINT, signal.SIG_DFL)
if WORKER:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # held back for us by the runner

try:
    from tools.scaling.base.repo import port_on_path

    port_on_path()
    from nanobragg_torch.io.standard_output import open_closed

    open_closed()  # before anything is opened that stays so
    from tools.scaling.cli import main  # it takes a while
except ModuleNotFoundError as error:
    with suppress(OSError, AttributeError):  # standard error may be full, or closed
        sys.stderr.write(f"error: {no_package(error)}\n")
    sys.exit(Unavailable.exit_code)

if __name__ == "__main__":
    if not WORKER and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # in a worker it would be a command that failed
    if "NOX_CURRENT_SESSION" in os.environ:  # nox, killed, would leave us running
        from tools.scaling.guard.parent import die_with_parent

        die_with_parent()
    sys.exit(main())
