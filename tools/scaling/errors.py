"""The exceptions of the automation and the exit code of each.

One exception per cause, one line per message; only the CLI turns them into an exit.
"""

EXIT_OK = 0


def why(error: Exception) -> str:
    """What the system says, without the number and the path that an OSError puts around it."""
    return getattr(error, "strerror", None) or str(error)


class ScalingError(Exception):
    """A run cannot go on. `str(error)` is the one line that the user reads."""

    exit_code = 1


class GateFailed(ScalingError):
    """A gate (--gate, check, verify, a mapped test) said no."""

    exit_code = 1


class BadInput(ScalingError):
    """Bad usage, unreadable input, a RUN_DIR that exists, no git repository."""

    exit_code = 2


class Unavailable(ScalingError):
    """A reference or a device is missing."""

    exit_code = 3


class MemoryStopped(ScalingError):
    """The memory guard stopped a child."""

    exit_code = 4


class Killed(ScalingError):
    """A child, or the run itself, was killed or interrupted from outside."""

    exit_code = 5
