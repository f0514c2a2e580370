"""The exceptions of the automation and the exit code of each.

One exception per cause, one line per message; only the CLI turns them into an exit.
"""

import importlib.util
import sys
from collections.abc import Sequence

EXIT_OK = 0
PACKAGES = ("numpy", "torch", "psutil", "typer", "rich", "jinja2")  # without which most subcommands do nothing


def why(error: Exception) -> str:
    """Return what went wrong in words, without the number and the path that an OSError puts around it."""
    if isinstance(error, RecursionError):
        return "too many levels, one in another"
    return getattr(error, "strerror", None) or str(error)


def no_package(error: ModuleNotFoundError) -> str:
    """Return the line for a user whose Python lacks a package of the tools: every one that it lacks, and where all are.

    What is missing that the tools do not know of is named alone.
    """
    return lacking(list(dict.fromkeys([*missing(), *filter(None, [error.name])])))


def missing(packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return those of `packages` that this Python has not."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


def lacking(packages: Sequence[str]) -> str:
    """Return the line that names packages which this Python lacks."""
    return (
        f"{sys.executable} has no {', '.join(packages)}; the environment that nox makes has it: "
        "source .nox/shared/bin/activate"
    )


class ScalingError(Exception):
    """The work cannot go on. `str(error)` is the one line that the user reads."""

    exit_code = 1


class GateFailed(ScalingError):
    """A gate did not pass: --gate, check, verify, a mapped test."""

    exit_code = 1


class BadInput(ScalingError):
    """Bad usage, unreadable input, a RUN_DIR that exists, no git repository."""

    exit_code = 2


class Unavailable(ScalingError):
    """A reference, a device or a package is missing."""

    exit_code = 3


class MemoryStopped(ScalingError):
    """The memory guard stopped a child."""

    exit_code = 4


class Killed(ScalingError):
    """A child, or the run itself, was killed or interrupted from outside."""

    exit_code = 5


def of_port(error: Exception) -> ScalingError:
    """Return the port's error as one of the automation: MemoryStopped if the input does not fit, else BadInput."""
    from nanobragg_torch.errors import DoesNotFit  # not here before the port is on the path

    return (MemoryStopped if isinstance(error, DoesNotFit) else BadInput)(str(error))
