"""`python -m tools.scaling`."""

import os
import signal
import sys

if sys.argv[1:] == ["worker"]:  # as an exception it would be taken for a command that failed
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # held back for us by the runner

from tools.scaling.cli import main

if __name__ == "__main__":
    if "NOX_CURRENT_SESSION" in os.environ:  # nox, killed, would leave us running
        from tools.scaling.evidence.memory_guard import die_with_parent

        die_with_parent()
    sys.exit(main())
