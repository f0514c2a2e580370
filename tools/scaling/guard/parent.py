"""A process that does not outlive its parent, however the parent ends."""

import os
import select
import signal
import threading
import time


def die_with_parent() -> None:
    """Have this process get SIGTERM when its parent is gone, from now on.

    A thread waits for the parent process: PR_SET_PDEATHSIG would fire already at the end of the thread that
    started this one.
    """
    parent = os.getppid()
    try:
        handle = os.pidfd_open(parent) if hasattr(os, "pidfd_open") else None
    except OSError:  # gone already, or an old kernel
        handle = None

    def watch() -> None:
        if handle is not None:
            select.select([handle], [], [])
        while os.getppid() == parent:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="die-with-parent", daemon=True).start()
